// The grids as a figure and as a file: always on white, with a caption that says how they were made.
import { tokenParts } from "../shared/a11y";
import { apart, measureName } from "../shared/measure";
import type { Theme } from "../shared/theme";
import { clipped, isolate, joined, line } from "../shared/visible";
import { isNoise, outward, scaleOf, shown, sourceOf } from "./cells";
import type { Frame } from "./grid";
import { panelRamp } from "./legend";
import { css, type PaletteName } from "./palettes";
import { placeOn, ticks } from "./scales";
import { heading, panelTitle } from "./sentences";

const PAPER: Theme = { dark: false, background: [255, 255, 255], foreground: [33, 33, 33] };
const CELL = 22;
const ROW = 20;
const GAP = 26;
const LONGEST_LABEL = 24;
const FONT = "font-family='system-ui, sans-serif'";

/** The picture as SVG: one rectangle for each cell, so that it can be taken apart in a drawing program. */
export function svgOf(frame: Frame, palette: PaletteName): string {
  const labels = frame.tokens.map(
    ({ text, subject }) => `${isolate(clipped(joined(tokenParts(text)), LONGEST_LABEL))}${subject ? "*" : ""}`,
  );
  const labelWidth = 20 + 7.5 * Math.max(...labels.map((label) => [...label].length));
  const plotWidth = CELL * frame.layers;
  const plotHeight = ROW * frame.tokens.length;
  const top = 58;
  const width = Math.max(labelWidth + (plotWidth + GAP) * frame.kinds.length, 520);
  const caption = wrapped(frame.caption, Math.floor(width / 6.2));
  const height = top + plotHeight + 76 + 15 * caption.length;
  const parts = [
    `<svg xmlns='http://www.w3.org/2000/svg' width='${width}' height='${height}' viewBox='0 0 ${width} ${height}' direction='ltr'>`,
    `<rect width='100%' height='100%' fill='#fff'/>`,
    `<g ${FONT} font-size='12' fill='#212121'>`,
    `<text x='8' y='20' font-size='14' font-weight='600'>${escaped(heading(frame))}</text>`,
  ];
  labels.forEach((label, row) => {
    const weight = frame.tokens[row]?.subject ? " font-weight='700'" : "";
    parts.push(
      `<text x='${labelWidth - 8}' y='${top + (row + 0.7) * ROW}' text-anchor='end'${weight}>${escaped(label)}</text>`,
    );
  });
  frame.kinds.forEach((kind, place) => {
    const left = labelWidth + place * (plotWidth + GAP);
    const ramp = panelRamp(frame, kind, palette, PAPER);
    const scale = scaleOf(frame, kind);
    parts.push(`<text x='${left}' y='${top - 10}' font-weight='600'>${escaped(panelTitle(frame, kind))}</text>`);
    for (let token = 0; token < frame.tokens.length; token += 1) {
      for (let layer = 0; layer < frame.layers; layer += 1) {
        const at = (place * frame.tokens.length + token) * frame.layers + layer;
        const drawn = shown(frame, at);
        const share = drawn && !isNoise(frame, at) ? placeOn(scale, drawn.value) : 0;
        const fill = drawn ? css(ramp(share)) : "#f2f2f2";
        const faint = drawn?.estimated ? " fill-opacity='0.5'" : "";
        const [x, y] = [left + layer * CELL, top + token * ROW];
        parts.push(`<rect x='${x}' y='${y}' width='${CELL - 1}' height='${ROW - 1}' fill='${fill}'${faint}/>`);
        if (!drawn)
          parts.push(`<path d='M${x} ${y + ROW - 1}l${CELL - 1} ${1 - ROW}' stroke='#999' stroke-width='.7'/>`);
      }
    }
    parts.push(
      `<rect x='${left - 0.5}' y='${top - 0.5}' width='${plotWidth}' height='${plotHeight}' fill='none' stroke='#bbb'/>`,
    );
    for (const layer of ticks(frame.layers, CELL)) {
      const x = left + (layer + 0.5) * CELL;
      parts.push(`<text x='${x}' y='${top + plotHeight + 15}' text-anchor='middle' fill='#555'>${layer}</text>`);
    }
    const from = scale.diverging ? "−" : "";
    const [low = "", high = ""] = apart(frame, [scale.low, scale.high]);
    // The smaller number is on the left, as in the legend.
    const back = !scale.diverging && scale.high < scale.low;
    const ends = from ? [low, high] : [`corrupted ${low}`, `clean ${high}`];
    const [first = "", second = ""] = back ? ends.reverse() : ends;
    const bar = top + plotHeight + 26;
    for (let i = 0; i < 40; i += 1) {
      const share = scale.diverging ? -1 + i / 19.5 : (back ? 39 - i : i) / 39;
      parts.push(`<rect x='${left + 3 * i}' y='${bar}' width='3.2' height='10' fill='${css(ramp(share))}'/>`);
    }
    parts.push(
      `<text x='${left}' y='${bar + 24}' font-size='11' fill='#555'>${escaped(first)}</text>`,
      `<text x='${left + 126}' y='${bar + 10}' font-size='11' fill='#555'>${escaped(second)}</text>`,
    );
  });
  caption.forEach((line, i) => {
    parts.push(`<text x='8' y='${top + plotHeight + 72 + 15 * i}' font-size='11' fill='#555'>${escaped(line)}</text>`);
  });
  return [...parts, "</g>", "</svg>"].join("\n");
}

/** One line for each cell, as `Trace.to_dataframe` has them, in the reading that is shown. */
export function csvOf(frame: Frame): string {
  const lines = [["kind", "token", "piece", "subject", "layer", measureName(frame), "estimated"].map(quoted).join(",")];
  frame.kinds.forEach((kind, place) => {
    frame.tokens.forEach((piece, row) => {
      for (let layer = 0; layer < frame.layers; layer += 1) {
        const drawn = shown(frame, (place * frame.tokens.length + row) * frame.layers + layer);
        const { token } = outward(frame, { kind, token: row, layer });
        const name = frame.titles[kind] ? `${sourceOf(frame, kind)}: ${panelTitle(frame, kind)}` : kind;
        const value = drawn ? String(drawn.value) : "";
        const cells = [name, token, piece.text, piece.subject, layer, value, drawn?.estimated === true];
        lines.push(cells.map(String).map(quoted).join(","));
      }
    });
  });
  return `${lines.join("\r\n")}\r\n`;
}

/** The SVG as a PNG of twice its size. */
export async function pngOf(svg: string, signal: AbortSignal): Promise<Blob> {
  const picture = new Image();
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  try {
    picture.src = address;
    await picture.decode();
  } finally {
    URL.revokeObjectURL(address);
  }
  signal.throwIfAborted();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * picture.naturalWidth;
  canvas.height = 2 * picture.naturalHeight;
  canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done, fail) => {
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("The picture is too large for this browser."))));
  });
}

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;
const BEFORE_A_FORMULA = /^[\p{C}\p{Z}"'`´‘’‚‛“”„‟]+/u;

/**
 * Spreadsheets take a cell for a formula that begins like one, also behind white space or quotes, and also with a wide
 * or small form of its first sign. What is not a number as a whole gets an apostrophe then, as in
 * `factlens/escaping.py`.
 */
export function quoted(value: string): string {
  const [first = ""] = value.replace(BEFORE_A_FORMULA, "");
  const formula = /^[\t\r]/.test(value) || /[=+\-@]/.test(first.normalize("NFKC"));
  const safe = formula && !NUMBER.test(value) ? `'${value}` : value;
  return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** XML carries neither control characters nor halves of characters; others would turn what stands behind them around. */
function escaped(words: string): string {
  return line(words).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("'", "&apos;");
}

function wrapped(words: string, most: number): string[] {
  const lines: string[] = [];
  for (const word of words.split(" ").filter(Boolean)) {
    const last = lines[lines.length - 1];
    if (last !== undefined && last.length + word.length < most) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  // An isolate ends with its line, and begins anew on the next.
  let open = "";
  return lines.map((line) => {
    const whole = open + line;
    open = whole.lastIndexOf("\u2068") > whole.lastIndexOf("\u2069") ? "\u2068" : "";
    return open ? `${whole}\u2069` : whole;
  });
}
