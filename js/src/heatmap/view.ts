// Paints the cells of one panel. All the rest (labels, axis, outlines) is DOM above the canvas, so a moving pointer
// never repaints it.
//
// Only the cells in sight are painted, each pixel once and by ourselves: what a picture costs is what one sees of it,
// however long the prompt, and no canvas has to be drawn into another.
import { place } from "../shared/dom";
import type { Theme } from "../shared/theme";
import { isNoise, scaleOf } from "./cells";
import type { Frame } from "./grid";
import { type Inks, inksOf } from "./inks";
import type { Layout } from "./layout";
import type { Ramp } from "./palettes";
import { placeOn } from "./scales";
import type { Span } from "./sentences";
import type { Sight } from "./stage";

/** Narrower cells than this have no line between them: there would be little else. */
const LINED = 5;

/** By canvas, to be written over: a new one for every picture would be megabytes a second. */
const pictures = new WeakMap<HTMLCanvasElement, ImageData>();

export function paint(
  canvas: HTMLCanvasElement,
  frame: Frame,
  kind: string,
  { cellWidth, cellHeight }: Layout,
  sight: Sight,
  ramp: Ramp,
  theme: Theme,
) {
  const ratio = globalThis.devicePixelRatio || 1;
  // Whole device pixels, each of which is one of the canvas: sharp at any ratio, also at 1.25.
  const columns = edges(sight.layers, cellWidth * ratio);
  const rows = edges(sight.rows, cellHeight * ratio);
  const [width, height] = [columns[columns.length - 1] as number, rows[rows.length - 1] as number];
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const [left, top] = [sight.layers[0] * cellWidth, sight.rows[0] * cellHeight];
  place(canvas, left, top, width / ratio, height / ratio);
  // Where the first of all cells lies from the canvas's corner, and their size: enough for a test to find any of them.
  Object.assign(canvas.dataset, { cellLeft: `${0 - left}`, cellTop: `${0 - top}`, cellWidth, cellHeight });
  const context = canvas.getContext("2d");
  if (!context || width === 0 || height === 0) return;
  let picture = pictures.get(canvas);
  if (picture?.width !== width || picture.height !== height) {
    picture = context.createImageData(width, height);
    pictures.set(canvas, picture);
  }
  const pixels = new Uint32Array(picture.data.buffer);
  const line = Math.min(cellWidth, cellHeight) < LINED ? 0 : Math.max(1, Math.round(ratio));
  const inks = inksOf(ramp, theme, ratio);
  const row = new Row();
  const rowAt = (index: number) => {
    row.take(frame, kind, sight.rows[0] + index, sight.layers, inks);
    return row;
  };
  fill(pixels, columns, rows, line, inks, rowAt);
  context.putImageData(picture, 0, 0);
}

/** Where cells begin and the last one ends, in device pixels. */
function edges([first, last]: Span, step: number): number[] {
  return Array.from({ length: last - first + 2 }, (_, i) => Math.round(i * step));
}

/** What the cells of one row are painted with: each with one ink, or with those of a texture that rises or falls. */
class Row {
  readonly plain: number[] = [];
  readonly texture: (Uint32Array | null)[] = [];
  readonly rises: boolean[] = [];
  textured = false;

  take(frame: Frame, kind: string, row: number, [first, last]: Span, inks: Inks): void {
    const { scores, estimates, tokens } = frame;
    const scale = scaleOf(frame, kind);
    const start = (frame.kinds.indexOf(kind) * tokens.length + row) * frame.layers;
    this.textured = false;
    for (let at = start + first, column = 0; at <= start + last; at += 1, column += 1) {
      const score = scores[at] as number;
      const estimated = !Number.isFinite(score);
      const value = estimated ? (estimates[at] as number) : score;
      const place = isNoise(frame, at) ? 0 : placeOn(scale, value);
      const missing = !Number.isFinite(value);
      this.texture[column] = missing ? inks.hatch : estimated ? inks.striped(place) : null;
      this.rises[column] = missing;
      this.plain[column] = estimated ? 0 : inks.plain(place);
      this.textured ||= estimated;
    }
  }
}

/** Textures come again after some lines, and so does all of a row: the first lines are painted, the others copied. */
function fill(pixels: Uint32Array, columns: number[], rows: number[], line: number, inks: Inks, rowAt: RowAt): void {
  const width = columns[columns.length - 1] as number;
  const [across, down] = [columns.length - 1, rows.length - 1];
  for (let i = 0; i < down; i += 1) {
    const row = rowAt(i);
    const [top, end] = [rows[i] as number, rows[i + 1] as number];
    // No line below the last row, nor behind the last column: there is the border of the plot.
    const bottom = i < down - 1 ? end - line : end;
    const period = row.textured ? inks.period : 1;
    for (let y = top; y < bottom; y += 1) {
      if (y >= top + period) {
        pixels.copyWithin(y * width, (y - period) * width, (y - period + 1) * width);
        continue;
      }
      for (let column = 0; column < across; column += 1) {
        let at = y * width + (columns[column] as number);
        const edge = y * width + (columns[column + 1] as number);
        const right = column < across - 1 ? edge - line : edge;
        const texture = row.texture[column];
        if (texture) {
          const shift = row.rises[column] ? y + 1 : inks.period - (y % inks.period);
          let phase = ((columns[column] as number) + shift) % inks.period;
          for (; at < right; at += 1) {
            pixels[at] = texture[phase] as number;
            phase = phase + 1 === inks.period ? 0 : phase + 1;
          }
        }
        const plain = row.plain[column] as number;
        for (; at < right; at += 1) pixels[at] = plain;
        for (; at < edge; at += 1) pixels[at] = inks.line;
      }
    }
    pixels.fill(inks.line, bottom * width, end * width);
  }
}

type RowAt = (index: number) => Row;
