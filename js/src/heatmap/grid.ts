// From the `frame` trait to numbers. NaN stays NaN: it means "not computed", never zero.
import { decodeMetric, type Metric, type Reading } from "../shared/measure";
import { list, number, record, text } from "../shared/model";
import { decodeSite, type Site } from "../shared/sites";

export interface Token {
  text: string;
  id: number | null;
  subject: boolean;
  /** Put there by a chat's template, and not part of what is said. */
  template?: boolean;
}

export interface Cell {
  kind: string;
  token: number;
  layer: number;
}

/** Where to edit. */
export interface Suggestion extends Cell {
  /** Of a layer that a calibration has measured: that in words; "" where the trace alone speaks for it. */
  source: string;
}

/** What the ends of a panel's colours stand for. A diverging one runs from -high through zero to high. */
export interface Scale {
  low: number;
  high: number;
  diverging: boolean;
}

export interface Frame {
  run: number;
  kinds: string[];
  /** What each of the kinds restores. */
  sites: Record<string, Site>;
  tokens: Token[];
  layers: number;
  metric: Metric;
  contrast: string;
  low: number;
  high: number;
  answer: string;
  /** The token that was measured, where the answer is shown up to the end of the character in which it ends. */
  answerPart: string;
  prompt: string;
  window: number;
  /** "code" or "paper": on which side a window of an even number of layers reaches further. */
  convention: string;
  samples: number | null;
  /** How many of these every cell has so far. */
  count: number;
  complete: boolean;
  stopped: boolean;
  suggested: Suggestion | null;
  /** C order [kind, token, layer], as are the two below. */
  scores: Float32Array;
  /** Estimates of the same, to be shown where there is no score. */
  estimates: Float32Array;
  /** Half the width of each effect's 95 % interval. */
  half: Float32Array;
  /** 1 where noise explains an effect, which is drawn as none then. */
  noise: Float32Array;
  /** How many cells are finite. */
  computed: number;
  /** How many of the others have an estimate. */
  estimated: number;
  quality: Quality | null;
  /** How far to trust the numbers, in few words, and what to know before reading anything off them. */
  trust: string;
  remarks: string[];
  /** What a figure of this says below itself, and the Python that makes it again. */
  caption: string;
  code: string;
  // The rest is not on the wire: it tells what `prepare` has made of the frame.
  reading: Reading;
  /** Scales of single panels, where they have one of their own. */
  scales: Record<string, Scale>;
  /** The corrupted and the clean run of single panels, where they have their own. */
  ends: Record<string, [number, number]>;
  /** In a comparison each panel stands for one of the trace's kinds, under a title of its own. */
  sources: Record<string, string>;
  titles: Record<string, string>;
  /** Where rows are whole words: the row of each token, and the token that each cell shows. */
  rowOf: number[] | null;
  tokenAt: Int32Array | null;
}

/** How well estimates agree with exact grids: the rank correlation by label, measured on so many facts. */
interface Quality {
  facts: number;
  correlation: [string, number][];
}

/**
 * The floats behind what the widget manager hands out. A manager may give several views into one buffer, so the
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
    const { text: piece, id, subject, template } = record(token);
    const decoded: Token = { text: text(piece), id: number(id), subject: subject === true };
    return template === true ? { ...decoded, template: true } : decoded;
  });
  const layers = Math.max(0, Math.floor(number(fields.layers) ?? 0));
  if (kinds.length === 0 || tokens.length === 0 || layers === 0) return null;

  const size = kinds.length * tokens.length * layers;
  const scores = grid(fields.grid, size);
  const estimates = grid(fields.estimate, size);
  let computed = 0;
  let estimated = 0;
  for (let i = 0; i < size; i += 1) {
    if (Number.isFinite(scores[i])) computed += 1;
    else if (Number.isFinite(estimates[i])) estimated += 1;
  }

  const frame: Frame = {
    run: number(fields.run) ?? 0,
    kinds,
    sites: Object.fromEntries(kinds.map((kind) => [kind, decodeSite(record(fields.sites)[kind], kind)])),
    tokens,
    layers,
    metric: decodeMetric(fields.metric),
    contrast: text(fields.contrast),
    low: number(fields.low) ?? Number.NaN,
    high: number(fields.high) ?? Number.NaN,
    answer: text(fields.answer),
    answerPart: text(fields.answer_part),
    prompt: text(fields.prompt),
    window: Math.max(1, Math.floor(number(fields.window) ?? 1)),
    convention: text(fields.window_convention),
    samples: number(fields.samples),
    count: number(fields.count) ?? 0,
    complete: fields.complete === true,
    stopped: fields.stopped === true,
    suggested: null,
    scores,
    estimates,
    half: grid(fields.half, size),
    noise: grid(fields.noise, size),
    computed,
    estimated,
    quality: decodeQuality(fields.quality),
    trust: text(fields.trust),
    remarks: list(fields.remarks).map(text).filter(Boolean),
    caption: text(fields.caption),
    code: text(fields.code),
    reading: "score",
    scales: {},
    ends: {},
    sources: {},
    titles: {},
    rowOf: null,
    tokenAt: null,
  };
  const suggested = decodeCell(fields.suggested, frame);
  frame.suggested = suggested && { ...suggested, source: text(record(fields.suggested).source) };
  return frame;
}

/** So many floats: NaN where the wire has none. */
function grid(value: unknown, size: number): Float32Array {
  const cells = new Float32Array(size).fill(Number.NaN);
  cells.set(floats(value).subarray(0, size));
  return cells;
}

function decodeQuality(value: unknown): Quality | null {
  const fields = record(value);
  const correlation = Object.entries(record(fields.rank_correlation)).flatMap(([label, given]): [string, number][] => {
    const decoded = number(given);
    return decoded === null ? [] : [[label, decoded]];
  });
  const facts = number(fields.facts);
  return facts === null || correlation.length === 0 ? null : { facts, correlation };
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
