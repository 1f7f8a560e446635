// Where a key leads from a cell. The whole heatmap is one stop of the Tab key; inside, these keys move.
import type { Cell } from "./grid";
import type { Spans } from "./range";
import type { Span } from "./sentences";

interface Shape {
  kinds: string[];
  tokens: number;
  layers: number;
}

const ARROWS: Record<string, [down: number, right: number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/** The cell the key leads to, possibly the same one; null for a key that is not ours. */
export function move(cell: Cell, key: string, corner: boolean, shape: Shape): Cell | null {
  const panel = shape.kinds.indexOf(cell.kind);
  const to = (token: number, layer: number, kind = panel): Cell => ({
    kind: shape.kinds[clamp(kind, shape.kinds.length)] ?? cell.kind,
    token: clamp(token, shape.tokens),
    layer: clamp(layer, shape.layers),
  });
  const arrow = ARROWS[key];
  if (arrow) return to(cell.token + arrow[0], cell.layer + arrow[1]);
  switch (key) {
    case "Home":
      return to(corner ? 0 : cell.token, 0);
    case "End":
      return to(corner ? shape.tokens - 1 : cell.token, shape.layers - 1);
    case "PageUp":
      return to(cell.token, cell.layer, panel - 1);
    case "PageDown":
      return to(cell.token, cell.layer, panel + 1);
    default:
      return null;
  }
}

function clamp(value: number, length: number): number {
  return Math.min(length - 1, Math.max(0, value));
}

/** Shift with an arrow stretches the marked layers or rows from the cursor on; null for every other key. */
export function stretch(key: string, span: Spans, cell: Cell, shape: Shape): Spans | null {
  const along = (old: Span | null, at: number, by: number, length: number): Span => {
    const [first, last] = old && at >= old[0] && at <= old[1] ? old : [at, at];
    // The end on the arrow's side moves; past the cursor the other end follows.
    if (by > 0) return first < at ? [first + 1, last] : [first, Math.min(length - 1, last + 1)];
    return last > at ? [first, last - 1] : [Math.max(0, first - 1), last];
  };
  const [down, right] = ARROWS[key] ?? [0, 0];
  if (right) return { ...span, layers: along(span.layers, cell.layer, right, shape.layers) };
  return down ? { ...span, rows: along(span.rows, cell.token, down, shape.tokens) } : null;
}
