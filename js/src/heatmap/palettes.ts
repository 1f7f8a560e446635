// Colours for scores: a ramp per family of sites ("rome", recognisable from the paper) or one for all ("safe").
//
// Both begin at the page's own background, so that "nothing restored" looks like nothing, in a light and in a dark
// page. Green against red is lost on many eyes; so the panels are always named in words as well, and "safe" is one
// ramp along blue-yellow whose lightness alone tells the value.
import type { Rgb, Theme } from "../shared/theme";

export type PaletteName = "rome" | "safe";
/** From a place on the colour bar, 0 to 1 (a difference: -1 to 1), to a colour. */
export type Ramp = (share: number) => Rgb;

export function css(colour: Rgb): string {
  return `rgb(${colour.map(Math.round).join(", ")})`;
}

const LIGHT: Record<string, Rgb[]> = {
  state: [
    [214, 205, 232],
    [138, 110, 186],
    [66, 22, 122],
  ],
  mlp: [
    [196, 226, 194],
    [80, 165, 96],
    [0, 78, 36],
  ],
  attn: [
    [246, 203, 188],
    [228, 98, 76],
    [122, 8, 20],
  ],
  safe: [
    [240, 222, 140],
    [146, 140, 118],
    [22, 52, 104],
  ],
};

const DARK: Record<string, Rgb[]> = {
  state: [
    [62, 42, 104],
    [132, 100, 196],
    [222, 208, 255],
  ],
  mlp: [
    [16, 68, 36],
    [56, 146, 80],
    [190, 242, 190],
  ],
  attn: [
    [96, 26, 26],
    [206, 78, 60],
    [255, 206, 186],
  ],
  safe: [
    [24, 50, 104],
    [124, 122, 118],
    [250, 226, 110],
  ],
};

const LIGHT_BELOW: Rgb[] = [
  [150, 190, 235],
  [20, 70, 150],
];
const LIGHT_ABOVE: Rgb[] = [
  [250, 190, 120],
  [165, 70, 0],
];
const DARK_BELOW: Rgb[] = [
  [30, 80, 150],
  [150, 205, 255],
];
const DARK_ABOVE: Rgb[] = [
  [140, 70, 10],
  [255, 200, 130],
];

/** By theme and name: a ramp remembers its colours, and is asked for at every drawing. */
const ramps = new WeakMap<Theme, Map<string, Ramp>>();

function once(theme: Theme, name: string, make: () => Ramp): Ramp {
  const made = ramps.get(theme) ?? new Map<string, Ramp>();
  ramps.set(theme, made);
  const ramp = made.get(name) ?? make();
  made.set(name, ramp);
  return ramp;
}

export function rampFor(family: string, palette: PaletteName, theme: Theme): Ramp {
  const table = theme.dark ? DARK : LIGHT;
  const name = palette === "rome" && table[family] ? family : "safe";
  return once(theme, name, () => through([theme.background, ...(table[name] ?? [])]));
}

/** For differences: blue below zero, orange above it, the page's own colour between. Told apart by most eyes. */
export function divergingRamp(theme: Theme): Ramp {
  return once(theme, "difference", () => {
    const below = through([theme.background, ...(theme.dark ? DARK_BELOW : LIGHT_BELOW)]);
    const above = through([theme.background, ...(theme.dark ? DARK_ABOVE : LIGHT_ABOVE)]);
    return (share) => (share < 0 ? below(-share) : above(share));
  });
}

/** More steps than eyes can tell apart. */
const STEPS = 512;

function through(colours: Rgb[]): Ramp {
  const stops = colours.map(toOklab);
  const known: Rgb[] = []; // a large grid asks for the same colours many thousand times
  return (share) => {
    const step = Math.round(Math.min(1, Math.max(0, share)) * STEPS);
    known[step] ??= between(step / STEPS);
    return known[step];
  };
  function between(share: number): Rgb {
    const place = share * (stops.length - 1);
    const index = Math.min(stops.length - 2, Math.floor(place));
    const from = stops[index] as Rgb;
    const to = stops[index + 1] as Rgb;
    const rest = place - index;
    return fromOklab(from.map((value, i) => value + ((to[i] as number) - value) * rest) as unknown as Rgb);
  }
}

/** The ramp from `first` to 1 as a CSS gradient, for the colour bar; `back` turns it around. */
export function gradient(ramp: Ramp, first = 0, back = false): string {
  const stops = Array.from({ length: 13 }, (_, i) => css(ramp(first + ((1 - first) * i) / 12)));
  return `linear-gradient(to ${back ? "left" : "right"}, ${stops.join(", ")})`;
}

// Oklab (Björn Ottosson's perceptual colour space): equal steps look equal, so the ramps have no false edges.

function toOklab(rgb: Rgb): Rgb {
  const [r, g, b] = rgb.map((channel) => {
    const value = channel / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromOklab([lightness, a, b]: Rgb): Rgb {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((value) => {
    const encoded = value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055;
    return Math.round(Math.min(1, Math.max(0, encoded)) * 255);
  }) as unknown as Rgb;
}
