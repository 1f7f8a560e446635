// The colours of cells as whole numbers, ready to be written into a picture: plain, in stripes, or hatched.
//
// Stripes are diagonals, so that a pixel's ink depends on nothing but its column less its row (estimates, whose stripes
// fall to the right), or on both together (what was not computed, whose lines rise).
import type { Rgb, Theme } from "../shared/theme";
import type { Ramp } from "./palettes";

/** How much of the page's colour lies over an estimate. */
const PALER = 0.5;
/** How much further along the ramp its stripes are: they show on any value, and on the page's own colour too. */
const STRONGER = 0.3;
/** More steps than eyes can tell apart, from -1 to 0 and from 0 to 1. */
const STEPS = 512;

export class Inks {
  /** After so many pixels the diagonals come again. */
  readonly period: number;
  /** What was not computed has a texture, because any colour would read as a value. */
  readonly hatch: Uint32Array;
  /** Between the cells. */
  readonly line: number;
  readonly #stripes: number[];
  readonly #plain: number[] = [];
  readonly #striped: Uint32Array[] = [];

  constructor(
    private readonly ramp: Ramp,
    readonly theme: Theme,
    readonly ratio: number,
  ) {
    this.period = Math.max(4, Math.round(6 * ratio));
    const { background, foreground, dark } = theme;
    const [paper, pen] = [mix(background, foreground, 0.05), mix(background, foreground, dark ? 0.36 : 0.3)];
    const thick = Math.max(1, ratio);
    this.hatch = Uint32Array.from(diagonal(this.period, thick), (share) => packed(mix(paper, pen, share)));
    this.line = packed(mix(background, foreground, dark ? 0.2 : 0.12));
    this.#stripes = diagonal(this.period, 1.5 * thick);
  }

  /** For a place on the colour bar, as `Ramp` takes it. */
  plain(place: number): number {
    const step = Math.round(place * STEPS) + STEPS;
    this.#plain[step] ??= packed(this.ramp(place));
    return this.#plain[step];
  }

  striped(place: number): Uint32Array {
    const step = Math.round(place * STEPS) + STEPS;
    const made = this.#striped[step];
    if (made) return made;
    const [pale, strong] = [mix(this.ramp(place), this.theme.background, PALER), this.ramp(place + STRONGER)];
    const inks = Uint32Array.from(this.#stripes, (share) => packed(mix(pale, strong, share)));
    this.#striped[step] = inks;
    return inks;
  }
}

const made = new WeakMap<Ramp, Inks>();

export function inksOf(ramp: Ramp, theme: Theme, ratio: number): Inks {
  const before = made.get(ramp);
  if (before && before.theme === theme && before.ratio === ratio) return before;
  const inks = new Inks(ramp, theme, ratio);
  made.set(ramp, inks);
  return inks;
}

/** How much of each pixel across a diagonal of this width covers: its middle is at the first one. */
function diagonal(period: number, width: number): number[] {
  return Array.from({ length: period }, (_, i) => {
    const away = Math.min(i, period - i) / Math.SQRT2;
    return Math.min(1, Math.max(0, width / 2 + 0.5 - away));
  });
}

/** As a canvas has its pixels on the little-endian machines that browsers run on. */
function packed([r, g, b]: Rgb): number {
  return ((255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
}

function mix(from: Rgb, to: Rgb, amount: number): Rgb {
  return [0, 1, 2].map((i) => (from[i] ?? 0) + ((to[i] ?? 0) - (from[i] ?? 0)) * amount) as unknown as Rgb;
}
