// From what Python sent to what the page shows: words or tokens, the reading, one trace or two, whose scale.
import type { Reading } from "../shared/measure";
import { shown } from "./cells";
import { type Comparison, compared, firstCompared } from "./comparison";
import type { Frame, Scale } from "./grid";
import { isReadable, read } from "./readings";
import { groupWords } from "./words";

export interface Options {
  reading: Reading;
  words: boolean;
  /** Colours from the corrupted to the clean run in all panels, or to each panel's own largest value. */
  ownScale: boolean;
  /** The kind that is compared; null: one trace, all kinds. */
  compare: string | null;
}

export function prepare(frame: Frame | null, comparison: Comparison | null, options: Options): Frame | null {
  const each = (trace: Frame) => read(options.words ? groupWords(trace) : trace, options.reading);
  if (comparison && (options.compare !== null || !frame)) {
    const kinds = comparison.a.kinds;
    const kind = kinds.includes(options.compare ?? "") ? (options.compare as string) : firstCompared(comparison);
    const pair = { ...comparison, a: each(comparison.a), b: each(comparison.b) };
    return pair.a.reading === pair.b.reading ? compared(pair, kind) : compared(comparison, kind);
  }
  if (!frame) return null;
  const prepared = each(frame);
  return options.ownScale ? { ...prepared, scales: ownScales(prepared) } : prepared;
}

export function readable(frame: Frame | null, comparison: Comparison | null, reading: Reading): boolean {
  return [frame, comparison?.a, comparison?.b].every((one) => !one || isReadable(one, reading));
}

function ownScales(frame: Frame): Record<string, Scale> {
  const size = frame.tokens.length * frame.layers;
  const away = frame.high < frame.low ? -1 : 1;
  return Object.fromEntries(
    frame.kinds.map((kind, place) => {
      let high = frame.low;
      for (let i = place * size; i < (place + 1) * size; i += 1) {
        const value = shown(frame, i)?.value ?? high;
        if (away * value > away * high) high = value;
      }
      return [kind, { low: frame.low, high, diverging: false }];
    }),
  );
}
