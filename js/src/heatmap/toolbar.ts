// What the reader chooses about the picture: colours, units, rows, scale, comparison; and what leaves the page.
import { element, isAvailable, onClick, redraw, setAttributes, setAvailable, setPressed, show } from "../shared/dom";
import type { Reading } from "../shared/measure";
import type { PaletteName } from "./palettes";
import { PaperFold } from "./paper";
import type { Options } from "./prepare";
import { READINGS } from "./readings";

export type Leaving = "png" | "svg" | "csv" | "code" | "caption" | "paper";

export interface Choice extends Options {
  palette: PaletteName;
  table: boolean;
}

let lastPalette: PaletteName = "rome"; // new views begin with what this reader chose last

export function firstChoice(): Choice {
  return { palette: lastPalette, table: false, reading: "score", words: false, ownScale: false, compare: null };
}

/** What there is to choose from at the moment. */
export interface Offer {
  readable: (reading: Reading) => boolean;
  /** Has the prompt words of several tokens? */
  words: boolean;
  /** The kinds of the comparison with their titles; empty without one. */
  compare: [kind: string, title: string][];
  /** The one that is compared as long as no other is chosen. */
  first: string;
  /** Is there nothing but the comparison? */
  always: boolean;
  code: boolean;
}

const KEYS: [string, string][] = [
  ["arrows", "to the neighbouring cell"],
  ["Home, End", "to the first or last layer; with Ctrl to the corners"],
  ["Page Up, Page Down", "to the panel before or after"],
  ["Enter", "select the cell, and its layer for the edit"],
  ["P", "pin the cell, or unpin it (also Shift with a click)"],
  ["Shift with arrows", "mark a range of layers or of tokens (also dragging along an axis)"],
  ["Z", "show the marked layers as wide as the page, or all again"],
  ["C", "compare with the trace before, or stop comparing"],
  ["T", "tables instead of colours, or back"],
  ["Escape", "away with the tooltip, then the range, then the pins"],
  ["?", "this list"],
];

export class Toolbar {
  readonly tools: HTMLElement;
  /** Opens below the tools. */
  readonly folds: HTMLElement;
  readonly #palettes = [
    element("button", { "data-palette": "rome" }, "by kind"),
    element("button", { "data-palette": "safe" }, "colour-blind safe"),
  ];
  readonly #table = quiet("Table", "table-toggle");
  readonly #compare = quiet("Compare", "compare");
  readonly #kinds = element("select", {
    "aria-label": "Kind to compare",
    testid: "compare-kind",
  });
  readonly #reading = element("select", { testid: "reading" });
  readonly #words = element("input", { type: "checkbox", testid: "words" });
  readonly #own = element("input", { type: "checkbox", testid: "own-scale" });
  readonly #wordsLabel = element("label", { class: "fl-check" }, this.#words, "whole words");
  readonly #copy = leaving("code", "Copy code");
  readonly #copyCaption = leaving("caption", "Copy caption");
  readonly paper: PaperFold;
  readonly #folding: [HTMLButtonElement, HTMLElement][];

  constructor(
    private readonly choice: Choice,
    private readonly changed: () => void,
    private readonly leave: (how: Leaving) => void,
    signal: AbortSignal,
  ) {
    this.paper = new PaperFold(() => this.leave("paper"), signal);
    const options = element(
      "div",
      { class: "fl-fold", testid: "view-fold" },
      element("label", { class: "fl-check" }, "Values", this.#reading),
      this.#wordsLabel,
      element("label", { class: "fl-check" }, this.#own, "a scale for each panel"),
    );
    const files = element(
      "div",
      { class: "fl-fold", testid: "export-fold" },
      leaving("png", "PNG"),
      leaving("svg", "SVG"),
      leaving("csv", "CSV"),
      this.#copy,
      this.#copyCaption,
      this.paper.button,
      this.paper.root,
    );
    const list = element("ul", { class: "fl-keys" });
    for (const [key, what] of KEYS) list.append(element("li", {}, element("strong", {}, key), ` ${what}`));
    const keys = element("div", { class: "fl-fold", testid: "keys" }, list);
    this.#folding = [
      [quiet("Options", "view"), options],
      [quiet("Export", "export"), files],
      [quiet("Keys", "keys-toggle"), keys],
    ];
    const control = element(
      "div",
      { class: "fl-segmented", role: "group", "aria-label": "Colours", testid: "palette" },
      element("span", { class: "fl-segmented-name", "aria-hidden": "true" }, "Colours"),
      ...this.#palettes,
    );
    const buttons = this.#folding.map(([button]) => button);
    // What comes and goes stands first: the others, at the right, stay where they are.
    this.tools = element("div", { class: "fl-tools" }, this.#kinds, this.#compare, control, this.#table, ...buttons);
    this.folds = element("div", {}, ...this.#folding.map(([, fold]) => fold));
    for (const [button, fold] of this.#folding) {
      onClick(button, () => this.#open(fold), signal);
    }
    this.#open(null);
    const set = (change: Partial<Choice>) => {
      Object.assign(this.choice, change);
      lastPalette = this.choice.palette;
      this.changed();
    };
    for (const button of this.#palettes) {
      const palette = button.dataset.palette as PaletteName;
      onClick(button, () => set({ palette }), signal);
    }
    onClick(this.#table, () => this.toggleTable(), signal);
    onClick(this.#compare, () => this.toggleCompare(), signal);
    this.#kinds.addEventListener("change", () => set({ compare: this.#kinds.value }), { signal });
    this.#reading.addEventListener("change", () => set({ reading: this.#reading.value as Reading }), { signal });
    this.#words.addEventListener("change", () => set({ words: this.#words.checked }), { signal });
    this.#own.addEventListener("change", () => set({ ownScale: this.#own.checked }), { signal });
    files.addEventListener(
      "click",
      (event) => {
        const button = (event.target as HTMLElement).closest("button");
        if (button?.dataset.leave && isAvailable(button)) this.leave(button.dataset.leave as Leaving);
      },
      { signal },
    );
  }

  /** One fold at a time; the open one closes, and null closes all. */
  #open(chosen: HTMLElement | null): void {
    for (const [button, fold] of this.#folding) {
      show(fold, fold === chosen && fold.hidden === true);
      setAttributes(button, { "aria-expanded": String(!fold.hidden) });
    }
  }

  toggleKeys(): void {
    const keys = this.#folding[2];
    if (keys) this.#open(keys[1]);
  }

  toggleTable(): void {
    this.choice.table = !this.choice.table;
    this.changed();
  }

  toggleCompare(): void {
    if (this.#compare.hidden) return;
    const { choice } = this;
    choice.compare = choice.compare === null ? this.#kinds.value : null;
    this.#suit(choice.compare !== null);
    this.changed();
  }

  /**
   * Two corrupted runs differ, and so every score does: effects are what two traces have in common. So a comparison
   * begins with effects, unless another reading was chosen.
   */
  #suit(comparing: boolean): void {
    const { choice } = this;
    if (comparing === this.#suited) return;
    this.#suited = comparing;
    if (comparing && choice.reading === "score") choice.reading = "effect";
    else if (!comparing && choice.reading === "effect") choice.reading = "score";
  }
  #suited = false;
  #always = false;

  update(offer: Offer): void {
    const { choice } = this;
    for (const button of this.#palettes) setPressed(button, button.dataset.palette === choice.palette);
    setPressed(this.#table, choice.table);
    if (offer.compare.length === 0) choice.compare = null;
    const comparing = offer.always || choice.compare !== null;
    if (offer.always !== this.#always) {
      this.#always = offer.always;
      this.#suit(comparing && offer.compare.length > 0);
    }
    show(this.#compare, offer.compare.length > 0 && !offer.always);
    setPressed(this.#compare, comparing);
    fill(this.#kinds, offer.compare, choice.compare ?? offer.first);
    show(this.#kinds, comparing && offer.compare.length > 1);
    if (!offer.readable(choice.reading)) choice.reading = "score";
    fill(
      this.#reading,
      READINGS.filter(([reading]) => offer.readable(reading)),
      choice.reading,
    );
    show(this.#wordsLabel, offer.words);
    this.#words.checked = choice.words;
    this.#own.checked = choice.ownScale;
    setAvailable(this.#copy, offer.code, "There is no code for this.");
  }
}

function fill(box: HTMLSelectElement, options: [string, string][], chosen: string): void {
  redraw(box, options, () => options.map(([value, name]) => element("option", { value }, name)));
  box.value = chosen;
}

function quiet(name: string, testid: string): HTMLButtonElement {
  return element("button", { class: "fl-quiet", testid }, name);
}

function leaving(how: Leaving, name: string): HTMLButtonElement {
  return element("button", { "data-leave": how }, name);
}
