// Paints the cells of one panel. All the rest (labels, axis, outlines) is DOM above the canvas, so a moving pointer
// never repaints it.
import type { Ramp } from "../shared/palettes";
import type { Rgb, Theme } from "../shared/theme";
import type { Frame } from "./grid";
import type { Layout } from "./layout";
import { share } from "./scales";

/** Browsers refuse canvases beyond some size; a very long prompt is drawn a little coarser instead. */
const MAX_SIDE = 16_000;

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
  const first = frame.kinds.indexOf(kind) * frame.tokens.length * frame.layers;
  for (let token = 0; token < frame.tokens.length; token += 1) {
    const top = Math.round(token * cellHeight * ratio);
    const bottom = Math.round((token + 1) * cellHeight * ratio);
    for (let layer = 0; layer < frame.layers; layer += 1) {
      const left = Math.round(layer * cellWidth * ratio);
      const right = Math.round((layer + 1) * cellWidth * ratio);
      const score = frame.scores[first + token * frame.layers + layer] ?? Number.NaN;
      context.fillStyle = Number.isFinite(score) ? ramp(share(score, frame.low, frame.high)) : missing;
      // The line between two cells is left out at the far edges, where the frame stands already.
      const x = layer === frame.layers - 1 ? right : right - line;
      const y = token === frame.tokens.length - 1 ? bottom : bottom - line;
      context.fillRect(left, top, x - left, y - top);
    }
  }
}

/** Diagonal lines for "not computed": a texture, because any colour would read as a value. */
function hatch(context: CanvasRenderingContext2D, ratio: number, theme: Theme): CanvasPattern | string {
  const size = Math.max(4, Math.round(6 * ratio));
  const tile = document.createElement("canvas");
  tile.width = size;
  tile.height = size;
  const pen = tile.getContext("2d");
  const paper = rgb(mix(theme.background, theme.foreground, 0.05));
  if (!pen) return paper;
  pen.fillStyle = paper;
  pen.fillRect(0, 0, size, size);
  pen.strokeStyle = rgb(mix(theme.background, theme.foreground, theme.dark ? 0.36 : 0.3));
  pen.lineWidth = Math.max(1, ratio);
  pen.beginPath();
  // Three parallels, so that the tile continues over its edges.
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift - 1, size + 1);
    pen.lineTo(shift + size + 1, -1);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat") ?? paper;
}

export function mix(from: Rgb, to: Rgb, amount: number): Rgb {
  return [0, 1, 2].map((i) => (from[i] ?? 0) + ((to[i] ?? 0) - (from[i] ?? 0)) * amount) as unknown as Rgb;
}

function rgb(colour: Rgb): string {
  return `rgb(${colour.map(Math.round).join(", ")})`;
}
