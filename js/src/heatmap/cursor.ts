// The heatmap for the keyboard and for screen readers: an ARIA grid that holds one real cell, the one with the cursor.
//
// Every move puts a new cell in the old one's place and focuses it. A screen reader reads an element when the focus
// comes to it; were it the same element with a new label, many would stay silent.
import { element, OWN_KEYS, place, setAttributes } from "../shared/dom";
import type { Cell, Frame } from "./grid";
import { cellLabel } from "./sentences";
import type { Box } from "./stage";

export class Cursor {
  readonly root = element("div", {
    class: "fl-grid",
    role: "grid",
    "aria-readonly": "true",
    testid: "grid",
  });
  readonly #row = element("div", { role: "row" });
  #node: HTMLElement | null = null;

  constructor() {
    this.root.append(this.#row);
  }

  get focused(): boolean {
    // Not document.activeElement, which stops at a shadow root (marimo): it names the element that holds it.
    return this.#node?.matches(":focus") ?? false;
  }

  rect(): DOMRect | null {
    return this.#node?.getBoundingClientRect() ?? null;
  }

  describe(frame: Frame): void {
    setAttributes(this.root, {
      "aria-label": "Causal tracing: tokens down, layers across, one group of columns for each kind",
      "aria-rowcount": frame.tokens.length,
      "aria-colcount": frame.kinds.length * frame.layers,
    });
  }

  /** Moves to `cell`; `box` is where it lies inside the panels. */
  place(frame: Frame, cell: Cell, box: Box, chosen: boolean) {
    const key = `${cell.kind} ${cell.token} ${cell.layer}`;
    const focused = this.focused;
    let node = this.#node;
    if (node?.dataset.cell !== key) {
      node = element("div", {
        ...OWN_KEYS,
        role: "gridcell",
        tabindex: 0,
        "data-cell": key,
        testid: "cursor",
      });
      const old = this.#node;
      this.#node = node;
      this.#row.append(node);
      if (focused) node.focus({ preventScroll: true });
      old?.remove();
    }
    setAttributes(this.#row, { "aria-rowindex": cell.token + 1 });
    setAttributes(node, {
      "aria-label": cellLabel(frame, cell),
      "aria-colindex": frame.kinds.indexOf(cell.kind) * frame.layers + cell.layer + 1,
      "aria-selected": chosen ? "true" : "false",
    });
    place(node, box.left, box.top, box.width, box.height);
  }

  focus(): void {
    this.#node?.focus({ preventScroll: true });
  }

  /** Leaves room for the sticky labels, titles and axis when it scrolls the cell into view. */
  reveal(labelWidth: number): void {
    if (!this.#node) return;
    this.#node.style.scrollMargin = `56px 12px 56px ${labelWidth + 12}px`;
    this.#node.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}
