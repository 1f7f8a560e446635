// The colour bar. Both ends are said in words: what the corrupted run gives and what the clean run gives. The smaller
// number is on the left, as on any scale: where corruption has raised the metric, that is the clean run.
import { element, setAttributes, setText, show } from "../shared/dom";
import { apart, brief, isShare, measureName } from "../shared/measure";
import type { Theme } from "../shared/theme";
import { scaleOf, siteOf, sourceOf } from "./cells";
import type { Frame } from "./grid";
import { css, divergingRamp, gradient, type PaletteName, type Ramp, rampFor } from "./palettes";

/** The colours of one panel. */
export function panelRamp(frame: Frame, kind: string, palette: PaletteName, theme: Theme): Ramp {
  return scaleOf(frame, kind).diverging ? divergingRamp(theme) : rampFor(siteOf(frame, kind).family, palette, theme);
}

export class Legend {
  readonly #measure = element("span", { class: "fl-measure" });
  readonly #low = element("span");
  readonly #high = element("span");
  readonly #bar = element("span", { class: "fl-bar", role: "img" });
  readonly #less = element("span");
  readonly #more = element("span");
  readonly #change = element("span", { class: "fl-bar", role: "img" });
  readonly #difference = element("span", { class: "fl-key" }, this.#less, this.#change, this.#more);
  readonly #guess = element("span", { class: "fl-swatch fl-swatch-guess" });
  readonly #guesses = element("span", { class: "fl-key" }, this.#guess, "estimate");
  readonly #missing = element("span", { class: "fl-key" }, element("span", { class: "fl-swatch" }), "not computed");
  readonly root = element("div", { class: "fl-legend", testid: "legend" });

  constructor() {
    this.root.append(this.#measure, this.#low, this.#bar, this.#high, this.#difference, this.#guesses, this.#missing);
  }

  update(frame: Frame, palette: PaletteName, theme: Theme): void {
    const [lowest = "", highest = ""] = apart(frame, [frame.low, frame.high]);
    const pale = Number.isFinite(frame.low) ? `corrupted ${lowest}` : "corrupted run";
    const own = frame.kinds.some((kind) => frame.scales[kind] && sourceOf(frame, kind) === kind);
    setText(this.#measure, `${measureName(frame)}:`);
    show(this.#measure, !isShare(frame)); // a percent sign says it
    const clean = Number.isFinite(frame.high) ? `clean ${highest}` : "clean run";
    const full = own ? "each panel’s own largest" : clean;
    const back = frame.high < frame.low;
    setText(this.#low, back ? full : pale);
    setText(this.#high, back ? pale : full);
    setAttributes(this.#bar, { "aria-label": `Colours run from ${pale} (pale) to ${full} (full).` });
    const plain = frame.kinds.filter((kind) => !scaleOf(frame, kind).diverging);
    // One stripe for each ramp in use: a dozen heads share theirs.
    const ramps = new Map(plain.map((kind) => [palette === "safe" ? "" : siteOf(frame, kind).family, kind]));
    this.#bar.replaceChildren(
      ...[...ramps.values()].map((kind) => stripe(gradient(panelRamp(frame, kind, palette, theme), 0, back))),
    );
    const [other] = frame.kinds.filter((kind) => scaleOf(frame, kind).diverging);
    show(this.#difference, other !== undefined);
    if (other !== undefined) {
      const { high } = scaleOf(frame, other);
      setText(this.#less, `−${brief(frame, high).replace("+", "")}`);
      setText(this.#more, `+${brief(frame, high).replace("+", "")}`);
      setAttributes(this.#change, {
        "aria-label": `Differences run from ${this.#less.textContent} to ${this.#more.textContent}.`,
      });
      this.#change.replaceChildren(stripe(gradient(divergingRamp(theme), -1)));
    }
    this.#guess.style.setProperty(
      "--fl-guess",
      css(rampFor(siteOf(frame, plain[0] ?? "").family, palette, theme)(0.5)),
    );
    show(this.#guesses, frame.estimated > 0);
    show(this.#missing, frame.computed + frame.estimated < frame.scores.length);
  }
}

function stripe(background: string): HTMLElement {
  const part = element("span");
  part.style.background = background;
  return part;
}
