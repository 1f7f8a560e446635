// One panel: the title, the token labels, the canvas with its outlines above, and the layer axis below.
import { tokenParts, tokenTitle } from "../shared/a11y";
import { element, setAttributes, setText, show } from "../shared/dom";
import type { Ramp } from "../shared/palettes";
import type { Theme } from "../shared/theme";
import { Brush } from "./brush";
import { type Cell, type Frame, inward, siteOf, subjectSpans } from "./grid";
import { cellAt } from "./hit";
import type { Layout } from "./layout";
import { mark } from "./pins";
import { ticks, windowOf } from "./scales";
import { kindNote, panelTitle, type Span } from "./sentences";
import { paint } from "./view";

export interface PanelEvents {
  move(event: PointerEvent): void;
  leave(): void;
  click(event: MouseEvent): void;
  layers(span: Span | null, done: boolean): void;
  rows(span: Span | null, done: boolean): void;
}

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
  private readonly marks = element("div", { class: "fl-marks" });
  private readonly caret = element("span", { class: "fl-caret", hidden: true }, "▲");
  private readonly bracket = element("span", { class: "fl-window", hidden: true, "data-testid": "factlens-window" });
  private readonly numbers = element("div");
  private readonly brackets: [HTMLElement, number, number][];
  private readonly layersBrush: Brush;
  private readonly rowsBrush: Brush;
  private layout: Layout | null = null;

  constructor(
    frame: Frame,
    readonly kind: string,
    events: PanelEvents,
  ) {
    this.canvas = element("canvas");
    this.note = element("span", { class: "fl-note" });
    this.labels = tokenLabels(frame);
    this.brackets = subjectSpans(frame.tokens).map(([first, last]) => {
      const bracket = element("span", { class: "fl-bracket", title: "subject" });
      this.labels.append(bracket);
      return [bracket, first, last];
    });
    this.axis = element(
      "div",
      { class: "fl-axis", "data-testid": "factlens-axis", title: "Drag to mark a range of layers" },
      this.bracket,
      this.numbers,
      this.caret,
    );
    const step = (node: HTMLElement, event: PointerEvent, size: number, count: number, down: boolean) => {
      const box = node.getBoundingClientRect();
      const away = down ? event.clientY - box.top : event.clientX - box.left;
      return Math.min(count - 1, Math.max(0, Math.floor(away / size)));
    };
    this.layersBrush = new Brush(
      this.axis,
      "x",
      (event) => step(this.axis, event, this.layout?.cellWidth ?? 1, frame.layers, false),
      events.layers,
    );
    this.rowsBrush = new Brush(
      this.labels,
      "y",
      (event) => step(this.labels, event, this.layout?.cellHeight ?? 1, frame.tokens.length, true),
      events.rows,
    );
    this.plot = element(
      "div",
      { class: "fl-plot" },
      this.canvas,
      this.layersBrush.band,
      this.rowsBrush.band,
      this.crossRow,
      this.crossColumn,
      this.column,
      this.cell,
      this.dot,
      this.marks,
    );
    const axisName = element("div", { class: "fl-axis-name" }, "layer");
    const name = element("span", { class: "fl-title-name" }, panelTitle(frame, kind));
    const title = element("div", { class: "fl-title" }, element("div", { class: "fl-title-words" }, name, this.note));
    this.root = element(
      "div",
      { class: "fl-panel", "data-kind": kind },
      element("div", { class: "fl-corner" }), // labels that scroll upwards go behind it
      title,
      this.labels,
      this.plot,
      axisName,
      this.axis,
    );
    // These listeners hang on the panel's own nodes and go with them.
    this.plot.addEventListener("pointermove", events.move);
    this.plot.addEventListener("pointerleave", events.leave);
    this.plot.addEventListener("click", events.click);
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
    this.root.style.setProperty("--fl-row", `${layout.cellHeight}px`);
    this.plot.style.width = this.axis.style.width = `${layout.plotWidth}px`;
    this.plot.style.height = `${layout.plotHeight}px`;
    for (const [bracket, first, last] of this.brackets) {
      const inset = layout.cellHeight / 6;
      bracket.style.top = `${first * layout.cellHeight + inset}px`;
      bracket.style.height = `${(last - first + 1) * layout.cellHeight - 2 * inset}px`;
    }
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
    show(this.bracket, here && siteOf(frame, this.kind).windowed);
    if (!cell || !layout) return;
    place(this.crossRow, 0, cell.token * layout.cellHeight, layout.plotWidth, layout.cellHeight);
    if (!here) return;
    place(this.crossColumn, cell.layer * layout.cellWidth, 0, layout.cellWidth, layout.plotHeight);
    const [first, last] = windowOf(frame, cell.kind, cell.layer);
    this.bracket.style.left = `${first * layout.cellWidth}px`;
    this.bracket.style.width = `${(last - first + 1) * layout.cellWidth}px`;
    this.bracket.dataset.first = String(first);
    this.bracket.dataset.last = String(last);
  }

  /** The column of the layer in every panel, with those of all layers that an edit would change; the cell in its own. */
  select(cell: Cell | null, frame: Frame, edited: number[], tentative: boolean): void {
    const layout = this.layout;
    const own = cell && inward(frame, cell).find((each) => each.kind === this.kind);
    show(this.column, cell !== null);
    show(this.cell, own !== null && own !== undefined);
    for (const outline of [this.column, this.cell]) outline.classList.toggle("fl-tentative", tentative);
    if (!cell || !layout) return;
    const [first, last] = [Math.min(cell.layer, ...edited), Math.max(cell.layer, ...edited)];
    place(this.column, first * layout.cellWidth, 0, (last - first + 1) * layout.cellWidth, layout.plotHeight);
    if (own)
      place(
        this.cell,
        cell.layer * layout.cellWidth,
        own.token * layout.cellHeight,
        layout.cellWidth,
        layout.cellHeight,
      );
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

  pin(pins: Cell[], frame: Frame): void {
    const layout = this.layout;
    if (!layout) return;
    this.marks.replaceChildren(
      ...pins.flatMap((cell, index) =>
        inward(frame, cell)
          .filter((own) => own.kind === this.kind)
          .map((own) => {
            const badge = mark(index);
            // In the corner, so that the cell's colour shows.
            badge.style.left = `${(own.layer + 1) * layout.cellWidth - 7}px`;
            badge.style.top = `${own.token * layout.cellHeight + 6}px`;
            return badge;
          }),
      ),
    );
  }

  range(layers: Span | null, rows: Span | null): void {
    const layout = this.layout;
    if (!layout) return;
    this.layersBrush.draw(layers, layout.cellWidth);
    this.rowsBrush.draw(rows, layout.cellHeight);
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
}

function tokenLabels(frame: Frame): HTMLElement {
  const last = frame.tokens.length - 1;
  const column = element("div", { class: "fl-labels", "data-testid": "factlens-labels" });
  frame.tokens.forEach((token, index) => {
    const name = element("span", { class: "fl-token", dir: "auto" });
    for (const part of tokenParts(token.text)) {
      name.append(element("span", part.dim ? { class: "fl-dim" } : {}, part.text));
    }
    const kind = token.subject ? " fl-subject" : token.template ? " fl-template" : "";
    const row = element("div", { class: `fl-label${kind}` });
    if (index === last) row.append(element("span", { class: "fl-last" }, "(last)"));
    row.append(name, element("span", { class: "fl-star" }, token.subject ? "*" : ""));
    const words = `${tokenTitle(token.text)}${token.template ? ", of the chat's template" : ""}`;
    setAttributes(row, { title: token.id === null ? words : `${words} (token id ${token.id})` });
    column.append(row);
  });
  return column;
}

function overlay(name: string, testid?: string): HTMLElement {
  return element("div", { class: `fl-overlay ${name}`, hidden: true, "data-testid": testid });
}

function place(node: HTMLElement, left: number, top: number, width: number, height: number): void {
  Object.assign(node.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}
