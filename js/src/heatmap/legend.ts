// The colour bar. Both ends are said in words: what the corrupted run gives and what the clean run gives.
import { element, setAttributes, setText, show } from "../shared/dom";
import { family } from "../shared/kinds";
import { brief, isProbability, measureName } from "../shared/measure";
import { gradient, type PaletteName, rampFor } from "../shared/palettes";
import type { Theme } from "../shared/theme";
import type { Frame } from "./grid";

export class Legend {
  private readonly measure = element("span", { class: "fl-measure" }, "");
  private readonly low = element("span", {}, "");
  private readonly high = element("span", {}, "");
  private readonly bar = element("span", { class: "fl-bar", role: "img" });
  private readonly guess = element("span", { class: "fl-swatch fl-swatch-guess" });
  private readonly guesses = element("span", { class: "fl-key" }, this.guess, "estimate");
  private readonly missing = element(
    "span",
    { class: "fl-key" },
    element("span", { class: "fl-swatch" }),
    "not computed",
  );
  readonly root = element("div", { class: "fl-legend", "data-testid": "factlens-legend" });

  constructor() {
    this.root.append(this.measure, this.low, this.bar, this.high, this.guesses, this.missing);
  }

  update(frame: Frame, palette: PaletteName, theme: Theme): void {
    setText(this.measure, `${measureName(frame)}:`);
    show(this.measure, !isProbability(frame)); // a percent sign says it
    setText(this.low, Number.isFinite(frame.low) ? `corrupted ${brief(frame, frame.low)}` : "corrupted run");
    setText(this.high, Number.isFinite(frame.high) ? `clean ${brief(frame, frame.high)}` : "clean run");
    setAttributes(this.bar, {
      "aria-label": `Colours run from ${this.low.textContent} (pale) to ${this.high.textContent} (full).`,
    });
    // One stripe for each ramp in use: a dozen heads share theirs.
    const ramps = new Map(frame.kinds.map((kind) => [palette === "safe" ? "" : family(kind), kind]));
    this.bar.replaceChildren(
      ...[...ramps.values()].map((kind) => {
        const stripe = element("span");
        stripe.style.background = gradient(rampFor(kind, palette, theme));
        return stripe;
      }),
    );
    const ramp = rampFor(frame.kinds[0] ?? "", palette, theme);
    this.guess.style.setProperty("--fl-guess", ramp(0.5));
    show(this.guesses, frame.estimated > 0);
    show(this.missing, frame.computed + frame.estimated < frame.scores.length);
  }
}
