// One panel: the title, the token labels, the canvas with its outlines above, and the layer axis below.
import { tokenParts } from "../shared/a11y";
import { element, setText, show } from "../shared/dom";
import { isWindowed, kindTitle } from "../shared/kinds";
import type { Ramp } from "../shared/palettes";
import type { Theme } from "../shared/theme";
import { type Cell, type Frame, subjectSpans } from "./grid";
import { cellAt } from "./hit";
import { CELL_HEIGHT, type Layout } from "./layout";
import { ticks, windowAround } from "./scales";
import { kindNote } from "./sentences";
import { paint } from "./view";

export class Panel {
  readonly root: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly labels: HTMLElement;
  private readonly plot: HTMLElement;
  private readonly axis: HTMLElement;
  private readonly note: HTMLElement;
  private readonly crossRow = overlay("fl-cross");
  private readonly crossColumn = overlay("fl-cross");
  private readonly column = overlay("fl-column", "factlens-selected-column");
  private readonly cell = overlay("fl-cell", "factlens-selected-cell");
  private readonly dot = overlay("fl-dot", "factlens-suggested");
  private readonly caret = element("span", { class: "fl-caret", hidden: true }, "▲");
  private readonly bracket = element("span", { class: "fl-window", hidden: true, "data-testid": "factlens-window" });
  private readonly numbers = element("div");
  private layout: Layout | null = null;

  constructor(
    frame: Frame,
    readonly kind: string,
  ) {
    this.canvas = element("canvas");
    this.plot = element(
      "div",
      { class: "fl-plot" },
      this.canvas,
      this.crossRow,
      this.crossColumn,
      this.column,
      this.cell,
      this.dot,
    );
    this.note = element("span", { class: "fl-note" });
    this.labels = tokenLabels(frame);
    this.axis = element("div", { class: "fl-axis" }, this.bracket, this.numbers, this.caret);
    const axisName = element("div", { class: "fl-axis-name" }, "layer");
    const name = element("span", { class: "fl-title-name" }, kindTitle(kind));
    const title = element("div", { class: "fl-title" }, element("div", { class: "fl-title-words" }, name, this.note));
    this.root = element(
      "div",
      { class: "fl-panel", "data-kind": kind },
      title,
      this.labels,
      this.plot,
      axisName,
      this.axis,
    );
  }

  paint(frame: Frame, layout: Layout, ramp: Ramp, theme: Theme): void {
    setText(this.note, kindNote(frame, this.kind));
    paint(this.canvas, frame, this.kind, layout, ramp, theme);
    if (this.layout === layout) return;
    this.layout = layout;
    // Cells lie from the canvas's top left corner on, all alike: enough for a test to find any of them.
    Object.assign(this.canvas.dataset, {
      cellLeft: "0",
      cellTop: "0",
      cellWidth: String(layout.cellWidth),
      cellHeight: String(layout.cellHeight),
    });
    this.plot.style.width = this.axis.style.width = `${layout.plotWidth}px`;
    this.plot.style.height = `${layout.plotHeight}px`;
    this.numbers.replaceChildren(
      ...ticks(frame.layers, layout.cellWidth).map((layer) => {
        const tick = element("span", { class: "fl-tick" }, String(layer));
        tick.style.left = `${(layer + 0.5) * layout.cellWidth}px`;
        return tick;
      }),
    );
  }

  /** Crosshair on the row in every panel, on the column in the panel of the cell; its window, if any, on the axis. */
  hover(cell: Cell | null, frame: Frame): void {
    const layout = this.layout;
    const here = cell?.kind === this.kind;
    show(this.crossRow, cell !== null);
    show(this.crossColumn, here);
    show(this.bracket, here && isWindowed(this.kind));
    if (!cell || !layout) return;
    place(this.crossRow, 0, cell.token * layout.cellHeight, layout.plotWidth, layout.cellHeight);
    if (!here) return;
    place(this.crossColumn, cell.layer * layout.cellWidth, 0, layout.cellWidth, layout.plotHeight);
    const [first, last] = windowAround(cell.kind, cell.layer, frame);
    this.bracket.style.left = `${first * layout.cellWidth}px`;
    this.bracket.style.width = `${(last - first + 1) * layout.cellWidth}px`;
    this.bracket.dataset.first = String(first);
    this.bracket.dataset.last = String(last);
  }

  /** The column of the layer in every panel (an edit changes that layer), the cell in its own. */
  select(cell: Cell | null, tentative: boolean): void {
    const layout = this.layout;
    show(this.column, cell !== null);
    show(this.cell, cell?.kind === this.kind);
    for (const outline of [this.column, this.cell]) outline.classList.toggle("fl-tentative", tentative);
    if (!cell || !layout) return;
    const left = cell.layer * layout.cellWidth;
    place(this.column, left, 0, layout.cellWidth, layout.plotHeight);
    place(this.cell, left, cell.token * layout.cellHeight, layout.cellWidth, layout.cellHeight);
  }

  suggest(cell: Cell | null): void {
    const layout = this.layout;
    const here = cell?.kind === this.kind;
    show(this.dot, here);
    show(this.caret, here);
    if (!here || !layout) return;
    place(this.dot, cell.layer * layout.cellWidth, cell.token * layout.cellHeight, layout.cellWidth, layout.cellHeight);
    this.caret.style.left = `${(cell.layer + 0.5) * layout.cellWidth}px`;
  }

  /** The cell under a pointer event. */
  at(event: MouseEvent, frame: Frame): Cell | null {
    if (!this.layout) return null;
    const box = this.canvas.getBoundingClientRect();
    const hit = cellAt(
      event.clientX - box.left,
      event.clientY - box.top,
      this.layout,
      frame.tokens.length,
      frame.layers,
    );
    return hit && { kind: this.kind, ...hit };
  }

  onPointer(move: (event: PointerEvent) => void, leave: () => void, click: (event: MouseEvent) => void): void {
    // These listeners hang on the panel's own nodes and go with them.
    this.plot.addEventListener("pointermove", move);
    this.plot.addEventListener("pointerleave", leave);
    this.plot.addEventListener("click", click);
  }
}

function tokenLabels(frame: Frame): HTMLElement {
  const last = frame.tokens.length - 1;
  const column = element("div", { class: "fl-labels" });
  frame.tokens.forEach((token, index) => {
    const name = element("span", { class: "fl-token" });
    for (const part of tokenParts(token.text)) {
      name.append(element("span", part.dim ? { class: "fl-dim" } : {}, part.text));
    }
    const row = element("div", { class: token.subject ? "fl-label fl-subject" : "fl-label" });
    if (index === last) row.append(element("span", { class: "fl-last" }, "(last)"));
    row.append(name, element("span", { class: "fl-star" }, token.subject ? "*" : ""));
    row.title = token.id === null ? token.text : `${token.text} (token id ${token.id})`;
    column.append(row);
  });
  for (const [first, end] of subjectSpans(frame.tokens)) {
    const bracket = element("span", { class: "fl-bracket", title: "subject" });
    bracket.style.top = `${first * CELL_HEIGHT + 4}px`;
    bracket.style.height = `${(end - first + 1) * CELL_HEIGHT - 8}px`;
    column.append(bracket);
  }
  return column;
}

function overlay(name: string, testid?: string): HTMLElement {
  return element("div", { class: `fl-overlay ${name}`, hidden: true, "data-testid": testid });
}

function place(node: HTMLElement, left: number, top: number, width: number, height: number): void {
  Object.assign(node.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}
