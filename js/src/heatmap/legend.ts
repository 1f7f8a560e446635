// The colour bar. Both ends are said in words: what the corrupted run gives and what the clean run gives.
import { percent } from "../shared/a11y";
import { element, setAttributes, setText, show } from "../shared/dom";
import { gradient, type PaletteName, rampFor } from "../shared/palettes";
import type { Theme } from "../shared/theme";
import type { Frame } from "./grid";

export class Legend {
  private readonly low = element("span", {}, "");
  private readonly high = element("span", {}, "");
  private readonly bar = element("span", { class: "fl-bar", role: "img" });
  private readonly missing = element(
    "span",
    { class: "fl-missing" },
    element("span", { class: "fl-swatch" }),
    "not computed",
  );
  readonly root = element("div", { class: "fl-legend", "data-testid": "factlens-legend" });

  constructor() {
    this.root.append(this.low, this.bar, this.high, this.missing);
  }

  update(frame: Frame, palette: PaletteName, theme: Theme): void {
    setText(this.low, Number.isFinite(frame.low) ? `corrupted ${percent(frame.low)}` : "corrupted run");
    setText(this.high, Number.isFinite(frame.high) ? `clean ${percent(frame.high)}` : "clean run");
    setAttributes(this.bar, {
      "aria-label": `Colours run from ${this.low.textContent} (pale) to ${this.high.textContent} (full).`,
    });
    const kinds = palette === "safe" ? frame.kinds.slice(0, 1) : frame.kinds;
    this.bar.replaceChildren(
      ...kinds.map((kind) => {
        const stripe = element("span");
        stripe.style.background = gradient(rampFor(kind, palette, theme));
        return stripe;
      }),
    );
    show(this.missing, frame.computed < frame.scores.length);
  }
}
