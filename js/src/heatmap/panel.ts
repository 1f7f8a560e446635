// One panel: the title, the token labels, the canvas with its outlines above, and the layer axis below.
import { tokenTitle } from "../shared/a11y";
import { element, place, setAttributes, setText, show } from "../shared/dom";
import { pieceOf } from "../shared/pieces";
import type { Theme } from "../shared/theme";
import { Brush } from "./brush";
import { inward, siteOf, subjectSpans } from "./cells";
import type { Cell, Frame } from "./grid";
import { cellAt } from "./hit";
import type { Layout } from "./layout";
import type { Ramp } from "./palettes";
import { mark } from "./pins";
import { ticks, windowOf } from "./scales";
import { kindNote, panelTitle, type Span } from "./sentences";
import type { Sight } from "./stage";
import { paint } from "./view";

export interface PanelEvents {
  hover(cell: Cell | null): void;
  click(cell: Cell, shift: boolean): void;
  layers(span: Span | null, done: boolean): void;
  rows(span: Span | null, done: boolean): void;
}

export class Panel {
  readonly root: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly labels: HTMLElement;
  /** The window through which its cells are seen: all of them, or those of some layers. */
  readonly plot: HTMLElement;
  readonly #cells: HTMLElement;
  readonly #axis: HTMLElement;
  readonly #scale: HTMLElement;
  readonly #note: HTMLElement;
  readonly #crossRow = overlay("fl-cross");
  readonly #crossColumn = overlay("fl-cross");
  readonly #column = overlay("fl-column", "selected-column");
  readonly #cell = overlay("fl-cell", "selected-cell");
  readonly #dot = overlay("fl-dot", "suggested");
  readonly #marks = element("div", { class: "fl-marks" });
  readonly #caret = element("span", { class: "fl-caret", hidden: true }, "▲");
  readonly #bracket = element("span", { class: "fl-window", hidden: true, testid: "window" });
  readonly #numbers = element("div");
  readonly #brackets: [HTMLElement, number, number][];
  readonly #layersBrush: Brush;
  readonly #rowsBrush: Brush;
  #layout: Layout | null = null;

  constructor(
    frame: Frame,
    readonly kind: string,
    events: PanelEvents,
  ) {
    this.canvas = element("canvas");
    this.#note = element("span", { class: "fl-note" });
    this.labels = tokenLabels(frame);
    this.#brackets = subjectSpans(frame.tokens).map(([first, last]) => {
      const bracket = element("span", { class: "fl-bracket", title: "subject" });
      this.labels.append(bracket);
      return [bracket, first, last];
    });
    this.#scale = element("div", { class: "fl-all" }, this.#bracket, this.#numbers, this.#caret);
    const axisWords = "Drag to mark a range of layers, and to look at it more closely";
    this.#axis = element("div", { class: "fl-axis", testid: "axis", title: axisWords }, this.#scale);
    const step = (away: number, size: number | undefined, count: number) =>
      Math.min(count - 1, Math.max(0, Math.floor(away / (size ?? 1))));
    this.#layersBrush = new Brush(
      this.#scale,
      "x",
      ({ clientX }) => step(clientX - this.#scale.getBoundingClientRect().left, this.#layout?.cellWidth, frame.layers),
      events.layers,
    );
    this.#rowsBrush = new Brush(
      this.labels,
      "y",
      ({ clientY }) =>
        step(clientY - this.labels.getBoundingClientRect().top, this.#layout?.cellHeight, frame.tokens.length),
      events.rows,
    );
    this.#cells = element(
      "div",
      { class: "fl-all" },
      this.canvas,
      this.#layersBrush.band,
      this.#rowsBrush.band,
      this.#crossRow,
      this.#crossColumn,
      this.#column,
      this.#cell,
      this.#dot,
      this.#marks,
    );
    this.plot = element("div", { class: "fl-plot" }, this.#cells);
    const axisName = element("div", { class: "fl-axis-name" }, "layer");
    const name = element("span", { class: "fl-title-name" }, panelTitle(frame, kind));
    const title = element("div", { class: "fl-title" }, element("div", { class: "fl-title-words" }, name, this.#note));
    this.root = element(
      "div",
      { class: "fl-panel", "data-kind": kind },
      element("div", { class: "fl-corner" }), // labels that scroll upwards go behind it
      title,
      this.labels,
      this.plot,
      axisName,
      this.#axis,
    );
    // These listeners hang on the panel's own nodes and go with them.
    this.plot.addEventListener("pointermove", (event) => events.hover(this.#at(event, frame)));
    this.plot.addEventListener("pointerleave", () => events.hover(null));
    this.plot.addEventListener("click", (event) => {
      const cell = this.#at(event, frame);
      if (cell) events.click(cell, event.shiftKey);
    });
  }

  /** Gives everything its size and place; `from` is the first layer in sight. */
  lay(frame: Frame, layout: Layout, from: number): void {
    this.#layout = layout;
    this.root.style.setProperty("--fl-row", `${layout.cellHeight}px`);
    this.plot.style.width = this.#axis.style.width = `${layout.viewWidth}px`;
    this.#cells.style.width = this.#scale.style.width = `${layout.plotWidth}px`;
    this.plot.style.height = `${layout.plotHeight}px`;
    setAttributes(this.root, { "data-part": layout.viewWidth < layout.plotWidth });
    this.shift(from);
    for (const [bracket, first, last] of this.#brackets) {
      const inset = layout.cellHeight / 6;
      bracket.style.top = `${first * layout.cellHeight + inset}px`;
      bracket.style.height = `${(last - first + 1) * layout.cellHeight - 2 * inset}px`;
    }
    this.#numbers.replaceChildren(
      ...ticks(frame.layers, layout.cellWidth).map((layer) => {
        const tick = element("span", { class: "fl-tick" }, String(layer));
        // Beside narrow cells, the first number would reach below the labels.
        tick.style.left = `${Math.max(4, (layer + 0.5) * layout.cellWidth)}px`;
        return tick;
      }),
    );
  }

  /** Moves another layer to the left edge. */
  shift(from: number): void {
    this.#cells.style.left = this.#scale.style.left = `${-from * (this.#layout?.cellWidth ?? 0)}px`;
  }

  paint(frame: Frame, sight: Sight, ramp: Ramp, theme: Theme): void {
    if (!this.#layout) return;
    setText(this.#note, kindNote(frame, this.kind));
    paint(this.canvas, frame, this.kind, this.#layout, sight, ramp, theme);
  }

  /** Crosshair on the row in every panel, on the column in the panel of the cell; its window, if any, on the axis. */
  hover(cell: Cell | null, frame: Frame): void {
    const layout = this.#layout;
    const inside = cell?.kind === this.kind;
    show(this.#crossRow, cell !== null);
    show(this.#crossColumn, inside);
    show(this.#bracket, inside && siteOf(frame, this.kind).windowed);
    if (!cell || !layout) return;
    this.#cover(this.#crossRow, 0, cell.token, frame.layers, 1);
    if (!inside) return;
    this.#cover(this.#crossColumn, cell.layer, 0, 1, frame.tokens.length);
    const [first, last] = windowOf(frame, cell.kind, cell.layer);
    this.#bracket.style.left = `${first * layout.cellWidth}px`;
    this.#bracket.style.width = `${(last - first + 1) * layout.cellWidth}px`;
    this.#bracket.dataset.first = String(first);
    this.#bracket.dataset.last = String(last);
  }

  /** The column of the layer in every panel, with those of all layers that an edit would change; the cell in its own. */
  select(cell: Cell | null, frame: Frame, edited: number[], tentative: boolean): void {
    const own = cell && inward(frame, cell).find((each) => each.kind === this.kind);
    show(this.#column, cell !== null);
    show(this.#cell, own !== null && own !== undefined);
    for (const outline of [this.#column, this.#cell]) outline.classList.toggle("fl-tentative", tentative);
    if (!cell) return;
    const [first, last] = [Math.min(cell.layer, ...edited), Math.max(cell.layer, ...edited)];
    this.#cover(this.#column, first, 0, last - first + 1, frame.tokens.length);
    if (own) this.#cover(this.#cell, cell.layer, own.token, 1, 1);
  }

  suggest(cell: Cell | null): void {
    const layout = this.#layout;
    const inside = cell?.kind === this.kind;
    show(this.#dot, inside);
    show(this.#caret, inside);
    if (!inside || !layout) return;
    this.#cover(this.#dot, cell.layer, cell.token, 1, 1);
    this.#caret.style.left = `${(cell.layer + 0.5) * layout.cellWidth}px`;
  }

  pin(pins: Cell[], frame: Frame): void {
    const layout = this.#layout;
    if (!layout) return;
    this.#marks.replaceChildren(
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
    const layout = this.#layout;
    if (!layout) return;
    this.#layersBrush.draw(layers, layout.cellWidth);
    this.#rowsBrush.draw(rows, layout.cellHeight);
  }

  /** Lays an outline over cells: from a layer and a row on, so many across and down. */
  #cover(node: HTMLElement, layer: number, row: number, across: number, down: number): void {
    if (!this.#layout) return;
    const { cellWidth, cellHeight } = this.#layout;
    place(node, layer * cellWidth, row * cellHeight, across * cellWidth, down * cellHeight);
  }

  /** The cell under a pointer event. */
  #at(event: MouseEvent, frame: Frame): Cell | null {
    if (!this.#layout) return null;
    const box = this.#cells.getBoundingClientRect();
    const hit = cellAt(
      event.clientX - box.left,
      event.clientY - box.top,
      this.#layout,
      frame.tokens.length,
      frame.layers,
    );
    return hit && { kind: this.kind, ...hit };
  }
}

function tokenLabels(frame: Frame): HTMLElement {
  const last = frame.tokens.length - 1;
  const column = element("div", { class: "fl-labels", testid: "labels" });
  frame.tokens.forEach((token, index) => {
    const kind = token.subject ? " fl-subject" : token.template ? " fl-template" : "";
    const row = element("div", { class: `fl-label${kind}` });
    if (index === last) row.append(element("span", { class: "fl-last" }, "(last)"));
    row.append(pieceOf(token.text, "fl-token"), element("span", { class: "fl-star" }, token.subject ? "*" : ""));
    const words = `${tokenTitle(token.text)}${token.template ? ", of the chat's template" : ""}`;
    setAttributes(row, { title: token.id === null ? words : `${words} (token id ${token.id})` });
    column.append(row);
  });
  return column;
}

function overlay(name: string, testid?: string): HTMLElement {
  return element("div", { class: `fl-overlay ${name}`, hidden: true, testid });
}
