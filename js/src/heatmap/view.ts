// Paints the cells of one panel. All the rest (labels, axis, outlines) is DOM above the canvas, so a moving pointer
// never repaints it.
import type { Ramp } from "../shared/palettes";
import type { Rgb, Theme } from "../shared/theme";
import { type Frame, shown } from "./grid";
import type { Layout } from "./layout";
import { share } from "./scales";

/** Browsers refuse canvases beyond some size; a very long prompt is drawn a little coarser instead. */
const MAX_SIDE = 16_000;

/** How much of the page's colour lies over an estimate. */
const PALER = 0.5;
/** How much further along the ramp its stripes are: they show on any value, and on the page's own colour too. */
const STRONGER = 0.3;

export function paint(canvas: HTMLCanvasElement, frame: Frame, kind: string, layout: Layout, ramp: Ramp, theme: Theme) {
  const { cellWidth, cellHeight, plotWidth, plotHeight } = layout;
  const ratio = Math.min(globalThis.devicePixelRatio || 1, MAX_SIDE / Math.max(plotWidth, plotHeight));
  const width = Math.round(plotWidth * ratio);
  const height = Math.round(plotHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.style.width = `${plotWidth}px`;
  canvas.style.height = `${plotHeight}px`;
  const context = canvas.getContext("2d");
  if (!context) return;

  // Everything in device pixels, edges rounded: no blurred seams at any zoom.
  context.fillStyle = rgb(mix(theme.background, theme.foreground, theme.dark ? 0.2 : 0.12));
  context.fillRect(0, 0, width, height);
  const line = Math.max(1, Math.round(ratio));
  const missing = hatch(context, ratio, theme);
  // Estimates are drawn in three layers: their colour, the page laid half over it, and stripes of a stronger one. The
  // stripes are collected on a canvas of their own, because one pattern then cuts all of them out at once.
  let stripes: CanvasRenderingContext2D | null = null;
  const paper = rgb(theme.background);
  const first = frame.kinds.indexOf(kind) * frame.tokens.length * frame.layers;
  for (let token = 0; token < frame.tokens.length; token += 1) {
    const top = Math.round(token * cellHeight * ratio);
    const bottom = Math.round((token + 1) * cellHeight * ratio);
    for (let layer = 0; layer < frame.layers; layer += 1) {
      const left = Math.round(layer * cellWidth * ratio);
      const right = Math.round((layer + 1) * cellWidth * ratio);
      // The line between two cells is left out at the far edges, where the frame stands already.
      const across = (layer === frame.layers - 1 ? right : right - line) - left;
      const down = (token === frame.tokens.length - 1 ? bottom : bottom - line) - top;
      const found = shown(frame, first + token * frame.layers + layer);
      const place = found ? share(found.value, frame.low, frame.high) : Number.NaN;
      context.fillStyle = found ? ramp(place) : missing;
      context.fillRect(left, top, across, down);
      if (!found?.estimated) continue;
      context.globalAlpha = PALER;
      context.fillStyle = paper;
      context.fillRect(left, top, across, down);
      context.globalAlpha = 1;
      stripes ??= canvasOf(width, height);
      if (!stripes) continue;
      stripes.fillStyle = ramp(place + STRONGER);
      stripes.fillRect(left, top, across, down);
    }
  }
  if (!stripes) return;
  stripes.globalCompositeOperation = "destination-in";
  stripes.fillStyle = lines(stripes, ratio, "#000", false) ?? "#000";
  stripes.fillRect(0, 0, width, height);
  context.drawImage(stripes.canvas, 0, 0);
}

/** Diagonal lines for "not computed": a texture, because any colour would read as a value. */
function hatch(context: CanvasRenderingContext2D, ratio: number, theme: Theme): CanvasPattern | string {
  const paper = rgb(mix(theme.background, theme.foreground, 0.05));
  const ink = rgb(mix(theme.background, theme.foreground, theme.dark ? 0.36 : 0.3));
  return lines(context, ratio, ink, true, paper) ?? paper;
}

/** Parallel diagonals that go up ("not computed") or down (an estimate), on `paper` or on nothing. */
function lines(
  context: CanvasRenderingContext2D,
  ratio: number,
  ink: string,
  up: boolean,
  paper?: string,
): CanvasPattern | null {
  const size = Math.max(4, Math.round(6 * ratio));
  const pen = canvasOf(size, size);
  if (!pen) return null;
  if (paper) {
    pen.fillStyle = paper;
    pen.fillRect(0, 0, size, size);
  }
  pen.strokeStyle = ink;
  pen.lineWidth = Math.max(1, ratio) * (up ? 1 : 1.5);
  pen.beginPath();
  // Three parallels, so that the tile continues over its edges.
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift - 1, up ? size + 1 : -1);
    pen.lineTo(shift + size + 1, up ? -1 : size + 1);
  }
  pen.stroke();
  return context.createPattern(pen.canvas, "repeat");
}

function canvasOf(width: number, height: number): CanvasRenderingContext2D | null {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d");
}

export function mix(from: Rgb, to: Rgb, amount: number): Rgb {
  return [0, 1, 2].map((i) => (from[i] ?? 0) + ((to[i] ?? 0) - (from[i] ?? 0)) * amount) as unknown as Rgb;
}

function rgb(colour: Rgb): string {
  return `rgb(${colour.map(Math.round).join(", ")})`;
}
