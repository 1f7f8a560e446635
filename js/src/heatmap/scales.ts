// From scores to places on the colour bar, and from layers to the axis.
import { siteOf } from "./cells";
import type { Frame, Scale } from "./grid";

/**
 * 0 at the corrupted run, 1 at the clean run, clamped; NaN stays NaN. The ends may be negative, and either may be the
 * larger one. Without both ends: the score itself, which is a place on the bar if it is a probability.
 */
export function share(score: number, low: number, high: number): number {
  if (!Number.isFinite(score)) return Number.NaN;
  const gap = high - low;
  const value = Number.isFinite(gap) ? (Math.abs(gap) > 1e-9 ? (score - low) / gap : 0) : score;
  return Math.min(1, Math.max(0, value));
}

/** The place on a panel's own scale: 0 to 1, or -1 to 1 where it is a difference. */
export function placeOn({ low, high, diverging }: Scale, value: number): number {
  if (!diverging) return share(value, low, high);
  return high > 1e-9 ? Math.min(1, Math.max(-1, value / high)) : 0;
}

/** Which layers get a number below them: every 1st, 2nd, 5th, 10th …, as close as they can stand. */
export function ticks(layers: number, cellWidth: number, apart = 22): number[] {
  let step = 1;
  for (const candidate of [1, 2, 5, 10, 20, 50, 100]) {
    step = candidate;
    if (candidate * cellWidth >= apart) break;
  }
  return Array.from({ length: Math.ceil(layers / step) }, (_, i) => i * step);
}

/**
 * First and last layer that are restored together with `layer`, cut off at both ends of the model. A window of an even
 * number of layers reaches further down in ROME's code, further up in the paper.
 */
export function windowAround(
  layer: number,
  { window, layers, convention }: { window: number; layers: number; convention: string },
): [number, number] {
  const first = layer - Math.floor((convention === "paper" ? window - 1 : window) / 2);
  return [Math.max(0, first), Math.min(layers - 1, first + window - 1)];
}

/** The same for a panel of a frame; most sites are restored in one layer alone. */
export function windowOf(frame: Frame, kind: string, layer: number): [number, number] {
  return siteOf(frame, kind).windowed ? windowAround(layer, frame) : [layer, layer];
}
