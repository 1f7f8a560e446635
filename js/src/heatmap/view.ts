// Paints the cells of one panel. All the rest (labels, axis, outlines) is DOM above the canvas, so a moving pointer
// never repaints it.
//
// The cells are written into a picture of one pixel each, which is then drawn large, so that 500 tokens by 128 layers
// cost no more than a few.

import type { Rgb, Theme } from "../shared/theme";
import { isNoise, scaleOf, shown } from "./cells";
import type { Frame } from "./grid";
import type { Layout } from "./layout";
import { css, type Ramp } from "./palettes";
import { placeOn } from "./scales";

/** Browsers refuse canvases beyond some size; a very long prompt is drawn a little coarser instead. */
const MAX_SIDE = 16_000;
const MAX_AREA = 32_000_000;

/** How much of the page's colour lies over an estimate. */
const PALER = 0.5;
/** How much further along the ramp its stripes are: they show on any value, and on the page's own colour too. */
const STRONGER = 0.3;

/** Narrower cells than this have no line between them: there would be little else. */
const LINED = 5;

export function paint(canvas: HTMLCanvasElement, frame: Frame, kind: string, layout: Layout, ramp: Ramp, theme: Theme) {
  const { cellWidth, cellHeight, plotWidth, plotHeight } = layout;
  const ratio = Math.min(
    globalThis.devicePixelRatio || 1,
    MAX_SIDE / Math.max(plotWidth, plotHeight),
    Math.sqrt(MAX_AREA / (plotWidth * plotHeight)),
  );
  const width = Math.round(plotWidth * ratio);
  const height = Math.round(plotHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.style.width = `${plotWidth}px`;
  canvas.style.height = `${plotHeight}px`;
  const context = canvas.getContext("2d");
  const cells = colours(frame, kind, ramp, theme);
  if (!context || !cells) return;

  context.imageSmoothingEnabled = false;
  if (cells.missing) {
    context.fillStyle = hatch(context, ratio, theme);
    context.fillRect(0, 0, width, height);
  }
  context.drawImage(cells.picture, 0, 0, width, height);
  if (cells.stripes) {
    // One pattern cuts the stripes of all estimates out at once.
    const stripes = canvasOf(width, height);
    if (stripes) {
      stripes.imageSmoothingEnabled = false;
      stripes.drawImage(cells.stripes, 0, 0, width, height);
      stripes.globalCompositeOperation = "destination-in";
      stripes.fillStyle = lines(stripes, ratio, "#000", false) ?? "#000";
      stripes.fillRect(0, 0, width, height);
      context.drawImage(stripes.canvas, 0, 0);
    }
  }
  if (Math.min(cellWidth, cellHeight) < LINED) return;
  // Lines between the cells, in whole device pixels: no blurred seams at any zoom.
  const line = Math.max(1, Math.round(ratio));
  context.fillStyle = css(mix(theme.background, theme.foreground, theme.dark ? 0.2 : 0.12));
  for (let token = 1; token < frame.tokens.length; token += 1) {
    context.fillRect(0, Math.round(token * cellHeight * ratio) - line, width, line);
  }
  for (let layer = 1; layer < frame.layers; layer += 1) {
    context.fillRect(Math.round(layer * cellWidth * ratio) - line, 0, line, height);
  }
}

interface Cells {
  /** One pixel for each cell, transparent where nothing was computed. */
  picture: HTMLCanvasElement;
  /** The stronger colour of the estimates; null where there are none. */
  stripes: HTMLCanvasElement | null;
  missing: boolean;
}

function colours(frame: Frame, kind: string, ramp: Ramp, theme: Theme): Cells | null {
  const { layers, tokens } = frame;
  const picture = canvasOf(layers, tokens.length);
  if (!picture) return null;
  const first = frame.kinds.indexOf(kind) * tokens.length * layers;
  const scale = scaleOf(frame, kind);
  const image = picture.createImageData(layers, tokens.length);
  let stripes: ImageData | null = null;
  let missing = false;
  for (let i = 0; i < tokens.length * layers; i += 1) {
    const value = shown(frame, first + i);
    if (!value) {
      missing = true;
      continue;
    }
    const place = isNoise(frame, first + i) ? 0 : placeOn(scale, value.value);
    const colour = ramp(place);
    if (!value.estimated) {
      set(image, i, colour);
      continue;
    }
    set(image, i, mix(colour, theme.background, PALER));
    stripes ??= picture.createImageData(layers, tokens.length);
    set(stripes, i, ramp(place + STRONGER));
  }
  picture.putImageData(image, 0, 0);
  const over = stripes && canvasOf(layers, tokens.length);
  if (over && stripes) over.putImageData(stripes, 0, 0);
  return { picture: picture.canvas, stripes: over?.canvas ?? null, missing };
}

function set({ data }: ImageData, pixel: number, [r, g, b]: Rgb): void {
  data[4 * pixel] = r;
  data[4 * pixel + 1] = g;
  data[4 * pixel + 2] = b;
  data[4 * pixel + 3] = 255;
}

/** Diagonal lines for "not computed": a texture, because any colour would read as a value. */
function hatch(context: CanvasRenderingContext2D, ratio: number, theme: Theme): CanvasPattern | string {
  const paper = css(mix(theme.background, theme.foreground, 0.05));
  const ink = css(mix(theme.background, theme.foreground, theme.dark ? 0.36 : 0.3));
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

function mix(from: Rgb, to: Rgb, amount: number): Rgb {
  return [0, 1, 2].map((i) => (from[i] ?? 0) + ((to[i] ?? 0) - (from[i] ?? 0)) * amount) as unknown as Rgb;
}
