// What is marked beside the selection: pins, and a range of layers or rows, which can be looked at more closely.
//
// Both are shown at once, and told to Python, whose traits have the last word.
import { onClick, setPressed, setText, show } from "../shared/dom";
import type { Cell } from "./grid";
import { decodePins, MOST_PINS, type PinList, toggled } from "./pins";
import { decodeSpan, meansIn, type Spans } from "./range";
import type { Scene } from "./scene";
import { range as rangeWords, type Span } from "./sentences";

const NO_SPANS: Spans = { layers: null, rows: null };

export function buildMarks({ model, shown, page, stage, gesture, schedule, signal }: Scene, pinList: PinList) {
  let pins: Cell[] = []; // the trace's cells; the spans are those on the page
  let spans = NO_SPANS;
  let zoomed = false;

  function takePins(): void {
    pins = shown.cells ? decodePins(model.get("pins"), shown.cells) : [];
  }

  function takeRange(): void {
    const { cells, frame } = shown;
    if (!cells || !frame) return;
    const layers = decodeSpan(model.get("layer_range"), cells.layers);
    const tokens = decodeSpan(model.get("token_range"), cells.tokens.length);
    const rows: Span | null =
      tokens && frame.rowOf ? [frame.rowOf[tokens[0]] ?? 0, frame.rowOf[tokens[1]] ?? 0] : tokens;
    set({ layers, rows });
  }

  function set(next: Spans): void {
    spans = next;
    if (!spans.layers) zoomed = false;
  }

  function draw(): void {
    drawPins();
    drawRange();
  }

  function drawPins(): void {
    const { frame } = shown;
    if (!frame) return;
    for (const panel of stage.panels) panel.pin(pins, frame);
    pinList.update(pins, frame);
    if (pins.length < MOST_PINS) show(page.pinsFull, false);
  }

  function drawRange(): void {
    const { frame } = shown;
    if (!frame) return;
    const { layers, rows } = spans;
    for (const panel of stage.panels) panel.range(layers, rows);
    const marked = layers !== null || rows !== null;
    show(page.range, marked);
    show(page.zoom, layers !== null);
    setPressed(page.zoom, zoomed);
    if (marked) setText(page.rangeText, rangeWords(frame, layers, rows, meansIn(frame, layers, rows)));
  }

  function pin(cell: Cell): void {
    const next = toggled(pins, cell);
    show(page.pinsFull, next === null);
    if (next) setPins(next);
    else setText(page.live, page.pinsFull.textContent ?? "");
  }

  function setPins(next: Cell[]): void {
    setText(page.live, next.length > pins.length ? `Pinned as number ${next.length}.` : "Unpinned.");
    pins = next;
    drawPins();
    gesture("pins", { cells: next });
  }

  /** `done`: the pointer was let go, or a key was pressed; until then nothing is said or sent. */
  function mark(change: Partial<Spans>, done: boolean): void {
    set({ ...spans, ...change });
    drawRange();
    if (!done) return;
    schedule();
    const { layers, rows } = spans;
    setText(page.live, layers || rows ? (page.rangeText.textContent ?? "") : "Range cleared.");
    const rowOf = shown.frame?.rowOf;
    const [first, last] = rows ?? [];
    const tokens = rows && rowOf ? [rowOf.indexOf(first as number), rowOf.lastIndexOf(last as number)] : rows;
    gesture("range", { layers, tokens });
  }

  function zoom(): void {
    zoomed = !zoomed && spans.layers !== null;
    schedule();
  }

  /** Takes the range away, else the pins; false when there is neither. */
  function takeBack(): boolean {
    if (spans.layers || spans.rows) mark(NO_SPANS, true);
    else if (pins.length > 0) setPins([]);
    else return false;
    return true;
  }

  onClick(page.zoom, zoom, signal);
  onClick(page.clear, () => mark(NO_SPANS, true), signal);
  return {
    takePins,
    takeRange,
    draw,
    pin,
    mark,
    zoom,
    takeBack,
    spans: () => spans,
    inView: () => (zoomed ? spans.layers : null),
  };
}

export type Marks = ReturnType<typeof buildMarks>;
