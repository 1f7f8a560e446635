// Pinned cells: numbered marks on the grid, and a list with their values below it.
//
// Number, colour and dashes are those of the layer profile's lines; `docs/wire.md` has the table.
import { element, redraw, setAttributes, setText, show } from "../shared/dom";
import { list } from "../shared/model";
import { inward, sameCell } from "./cells";
import { type Cell, decodeCell, type Frame } from "./grid";
import { pinned, pinnedElsewhere } from "./sentences";

export const MOST_PINS = 4;
const COLOURS = ["#2f7de1", "#d9730d", "#2e9d5b", "#b0479a"];
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];

export function decodePins(value: unknown, frame: Frame): Cell[] {
  return list(value)
    .map((cell) => decodeCell(cell, frame))
    .filter((cell): cell is Cell => cell !== null)
    .slice(0, MOST_PINS);
}

/** With a cell pinned that was not, or the other way round; null when there is no room for another. */
export function toggled(pins: Cell[], cell: Cell): Cell[] | null {
  const others = pins.filter((pin) => !sameCell(pin, cell));
  if (others.length < pins.length) return others;
  return pins.length < MOST_PINS ? [...pins, cell] : null;
}

export class PinList {
  readonly root = element("ol", { class: "fl-pins", hidden: true, testid: "pins" });

  constructor(private readonly unpin: (cell: Cell) => void) {}

  update(pins: Cell[], frame: Frame): void {
    show(this.root, pins.length > 0);
    redraw(this.root, pins, () => pins.map((cell, index) => this.#item(cell, index)));
    // Values that stream in change words only: the focus on a button is kept.
    pins.forEach((cell, index) => {
      const words = this.root.children[index]?.querySelector(".fl-pin-words");
      const place = inward(frame, cell)[0];
      if (words) setText(words, place ? pinned(frame, place) : pinnedElsewhere(frame, cell));
    });
  }

  #item(cell: Cell, index: number): HTMLElement {
    const away = element("button", { class: "fl-small", "aria-label": `Unpin ${index + 1}` }, "Unpin");
    away.addEventListener("click", () => this.unpin(cell));
    return element("li", {}, swatch(index), element("span", { class: "fl-pin-words" }), away);
  }
}

export function mark(index: number): HTMLElement {
  const badge = element("span", { class: "fl-pin", "aria-hidden": "true" }, String(index + 1));
  badge.style.background = COLOURS[index] ?? "";
  return badge;
}

function swatch(index: number): SVGElement {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "line");
  setAttributes(picture, { width: 26, height: 10, "aria-hidden": "true" });
  const [stroke, dashes] = [COLOURS[index], DASHES[index]];
  setAttributes(line, { x1: 0, x2: 26, y1: 5, y2: 5, "stroke-width": 2.5, stroke, "stroke-dasharray": dashes });
  picture.append(line);
  return picture;
}
