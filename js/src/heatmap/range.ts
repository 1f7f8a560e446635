// What is marked on the axes: a range of layers, a range of rows, and the mean of the cells that lie in both.
import { list, number } from "../shared/model";
import { shown } from "./cells";
import type { Frame } from "./grid";
import type { Span } from "./sentences";

/** What is marked on either axis of the panels. */
export interface Spans {
  layers: Span | null;
  rows: Span | null;
}

export interface Means {
  kind: string;
  /** Null where no cell has been computed. */
  mean: number | null;
  /** Whether all of the cells have. */
  cells: boolean;
}

/** `[first, last]` from Python, or null when it is none within 0 … `length` - 1. */
export function decodeSpan(value: unknown, length: number): Span | null {
  const [first, last] = list(value).map(number);
  if (typeof first !== "number" || typeof last !== "number") return null;
  return Number.isInteger(first) && Number.isInteger(last) && first >= 0 && first <= last && last < length
    ? [first, last]
    : null;
}

export function meansIn(frame: Frame, layers: Span | null, rows: Span | null): Means[] {
  const [left, right] = layers ?? [0, frame.layers - 1];
  const [top, bottom] = rows ?? [0, frame.tokens.length - 1];
  return frame.kinds.map((kind, place) => {
    let sum = 0;
    let count = 0;
    for (let row = top; row <= bottom; row += 1) {
      for (let layer = left; layer <= right; layer += 1) {
        const value = shown(frame, (place * frame.tokens.length + row) * frame.layers + layer);
        if (!value || value.estimated) continue;
        sum += value.value;
        count += 1;
      }
    }
    const all = (right - left + 1) * (bottom - top + 1);
    return { kind, mean: count > 0 ? sum / count : null, cells: count === all };
  });
}
