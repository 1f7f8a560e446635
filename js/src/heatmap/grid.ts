// From the `frame` trait to numbers. NaN stays NaN: it means "not computed", never zero.
import { list, number, record, text } from "../shared/model";

export interface Token {
  text: string;
  id: number | null;
  subject: boolean;
}

export interface Cell {
  kind: string;
  token: number;
  layer: number;
}

export interface Frame {
  run: number;
  kinds: string[];
  tokens: Token[];
  layers: number;
  low: number;
  high: number;
  answer: string;
  window: number;
  samples: number | null;
  complete: boolean;
  stopped: boolean;
  suggested: Cell | null;
  /** C order [kind, token, layer]. */
  scores: Float32Array;
  /** How many cells are finite. */
  computed: number;
}

/**
 * The floats behind whatever the widget manager hands out. A manager may give several views into one buffer, so the
 * offset counts, and it need not be a multiple of four: hence the copy. The wire is little-endian, as are the
 * machines that browsers run on.
 */
export function floats(value: unknown): Float32Array {
  let bytes: Uint8Array;
  if (value instanceof ArrayBuffer) bytes = new Uint8Array(value);
  else if (ArrayBuffer.isView(value)) bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  else return new Float32Array(0);
  const whole = bytes.byteLength - (bytes.byteLength % 4);
  return new Float32Array(bytes.slice(0, whole).buffer);
}

/** Null for `{}` and for anything that is not a frame: nothing has been traced yet. */
export function decodeFrame(value: unknown): Frame | null {
  const fields = record(value);
  const kinds = list(fields.kinds).map(text).filter(Boolean);
  const tokens = list(fields.tokens).map((token) => {
    const { text: piece, id, subject } = record(token);
    return { text: text(piece), id: number(id), subject: subject === true };
  });
  const layers = Math.max(0, Math.floor(number(fields.layers) ?? 0));
  if (kinds.length === 0 || tokens.length === 0 || layers === 0) return null;

  const size = kinds.length * tokens.length * layers;
  const given = floats(fields.grid);
  const scores = new Float32Array(size).fill(Number.NaN);
  scores.set(given.subarray(0, size));
  let computed = 0;
  for (const score of scores) if (Number.isFinite(score)) computed += 1;

  const frame: Frame = {
    run: number(fields.run) ?? 0,
    kinds,
    tokens,
    layers,
    low: number(fields.low) ?? Number.NaN,
    high: number(fields.high) ?? Number.NaN,
    answer: text(fields.answer),
    window: Math.max(1, Math.floor(number(fields.window) ?? 1)),
    samples: number(fields.samples),
    complete: fields.complete === true,
    stopped: fields.stopped === true,
    suggested: null,
    scores,
    computed,
  };
  frame.suggested = decodeCell(fields.suggested, frame);
  return frame;
}

/** A cell of this frame, or null when it is none (any more). */
export function decodeCell(value: unknown, frame: Frame): Cell | null {
  const fields = record(value);
  const kind = text(fields.kind);
  const token = number(fields.token);
  const layer = number(fields.layer);
  if (!frame.kinds.includes(kind) || token === null || layer === null) return null;
  const inside = token >= 0 && token < frame.tokens.length && layer >= 0 && layer < frame.layers;
  return inside ? { kind, token, layer } : null;
}

export function scoreAt(frame: Frame, cell: Cell): number {
  const kind = frame.kinds.indexOf(cell.kind);
  return frame.scores[(kind * frame.tokens.length + cell.token) * frame.layers + cell.layer] ?? Number.NaN;
}

export function sameCell(a: Cell | null, b: Cell | null): boolean {
  return a === b || (a !== null && b !== null && a.kind === b.kind && a.token === b.token && a.layer === b.layer);
}

/** Runs of neighbouring subject tokens as [first, last]. */
export function subjectSpans(tokens: Token[]): [number, number][] {
  const spans: [number, number][] = [];
  tokens.forEach((token, index) => {
    if (!token.subject) return;
    const last = spans[spans.length - 1];
    if (last && last[1] === index - 1) last[1] = index;
    else spans.push([index, index]);
  });
  return spans;
}
