// From scores to places on the colour bar, and from layers to the axis.

/** 0 at the corrupted run, 1 at the clean run, clamped; NaN stays NaN. Without both ends: the probability itself. */
export function share(score: number, low: number, high: number): number {
  if (!Number.isFinite(score)) return Number.NaN;
  const gap = high - low;
  const value = Number.isFinite(gap) ? (Math.abs(gap) > 1e-9 ? (score - low) / gap : 0) : score;
  return Math.min(1, Math.max(0, value));
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
 * First and last layer that are restored together with `layer`: as ROME's code has it, half the window before and the
 * rest from the layer on, cut off at both ends of the model. A hidden state is always restored alone.
 */
export function windowAround(kind: string, layer: number, window: number, layers: number): [number, number] {
  if (kind === "state") return [layer, layer];
  const first = layer - Math.floor(window / 2);
  return [Math.max(0, first), Math.min(layers - 1, first + window - 1)];
}
