// What a cell says when the pointer or the keyboard is on it. All from data that is here already: never the kernel.
import { element, show } from "../shared/dom";

const GAP = 10;

export class Tooltip {
  readonly root = element("div", {
    class: "fl-tooltip",
    hidden: true,
    role: "tooltip",
    testid: "tooltip",
  });

  constructor(private readonly frame: HTMLElement) {}

  get visible(): boolean {
    return !this.root.hidden;
  }

  hide(): void {
    show(this.root, false);
  }

  /**
   * Inside the widget, so that it never makes the page scroll, and never under the pointer. Where there is room, beside
   * the whole window of layers it speaks of (`from` to `to`); else beside the cell.
   */
  show(lines: string[], cell: DOMRect, from: number, to: number): void {
    this.root.replaceChildren(...lines.map((line, index) => element(index === 0 ? "strong" : "span", {}, line)));
    show(this.root, true);
    const frame = this.frame.getBoundingClientRect();
    const own = this.root.getBoundingClientRect();
    const choices = [to + GAP, cell.right + GAP, from - GAP - own.width, cell.left - GAP - own.width];
    const left = choices.find((x) => x >= frame.left && x + own.width <= frame.right) ?? cell.right + GAP;
    const top = cell.top + cell.height / 2 - own.height / 2;
    this.root.style.left = `${clamp(left - frame.left, frame.width - own.width)}px`;
    this.root.style.top = `${clamp(top - frame.top, frame.height - own.height)}px`;
  }
}

function clamp(value: number, most: number): number {
  return Math.max(0, Math.min(value, most));
}
