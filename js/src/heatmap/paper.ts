// What a figure for a paper should look like. Python draws it: the page only asks, and is handed a file.
import { element, onClick, setAttributes, show } from "../shared/dom";

/** What Python is asked for; `what` and what else is shown come from the toolbar's choice. */
export interface PaperLook {
  form: string;
  look: { width_mm: number; font_size: number; palette: string; letters: boolean };
}

const COLOURS: [string, string][] = [
  ["kind", "by kind"],
  ["safe", "colour-blind safe"],
  ["grey", "grey"],
];
const FORMS: [string, string][] = [
  ["pdf", "PDF"],
  ["svg", "SVG"],
  ["png", "PNG, 300 dpi"],
];

/** A button that opens the choices, and these with the button that asks. */
export class PaperFold {
  readonly button = element("button", { testid: "paper", "aria-expanded": "false" }, "Figure for a paper…");
  readonly root: HTMLElement;
  readonly #width = numberBox("paper-width", 88, 20, 600);
  readonly #size = numberBox("paper-font-size", 7, 3, 40);
  readonly #colours = choices("paper-colours", COLOURS);
  readonly #form = choices("paper-form", FORMS);
  readonly #letters = element("input", { type: "checkbox", testid: "paper-letters" });

  constructor(ask: () => void, signal: AbortSignal) {
    const make = element("button", { testid: "paper-make" }, "Draw it");
    this.root = element(
      "div",
      { class: "fl-paper", hidden: true, testid: "paper-fold" },
      labelled("Width, mm", this.#width),
      labelled("Letters, pt", this.#size),
      labelled("Colours", this.#colours),
      labelled("File", this.#form),
      element("label", { class: "fl-check" }, this.#letters, "a, b, c"),
      make,
    );
    onClick(
      this.button,
      () => {
        show(this.root, this.root.hidden === true);
        setAttributes(this.button, { "aria-expanded": String(!this.root.hidden) });
      },
      signal,
    );
    onClick(make, ask, signal);
  }

  /** What is chosen; what is no number stays as Python has it, which says what is wrong. */
  get chosen(): PaperLook {
    return {
      form: this.#form.value,
      look: {
        width_mm: this.#width.valueAsNumber || 0,
        font_size: this.#size.valueAsNumber || 0,
        palette: this.#colours.value,
        letters: this.#letters.checked,
      },
    };
  }
}

function numberBox(testid: string, value: number, least: number, most: number): HTMLInputElement {
  return element("input", { type: "number", class: "fl-number", value, min: least, max: most, step: "any", testid });
}

function choices(testid: string, options: [string, string][]): HTMLSelectElement {
  return element("select", { testid }, ...options.map(([value, name]) => element("option", { value }, name)));
}

function labelled(name: string, box: HTMLElement): HTMLElement {
  return element("label", { class: "fl-check" }, name, box);
}
