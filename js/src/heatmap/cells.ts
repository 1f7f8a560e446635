// The cells of a frame: what each shows, and which cells on the page stand for which of the trace.
import { decodeSite, type Site } from "../shared/sites";
import type { Cell, Frame, Scale, Token } from "./grid";

export interface Value {
  value: number;
  estimated: boolean;
}

/** The kind that a panel shows. */
export function sourceOf(frame: Frame, kind: string): string {
  return frame.sources[kind] ?? kind;
}

/** What a panel restores. */
export function siteOf(frame: Frame, kind: string): Site {
  return frame.sites[sourceOf(frame, kind)] ?? decodeSite(null, sourceOf(frame, kind));
}

export function scaleOf(frame: Frame, kind: string): Scale {
  return frame.scales[kind] ?? { low: frame.low, high: frame.high, diverging: false };
}

/** The cell of the trace that a cell on the page stands for. */
export function outward(frame: Frame, cell: Cell): Cell {
  const token = frame.tokenAt?.[indexOf(frame, cell)] ?? cell.token;
  return { kind: sourceOf(frame, cell.kind), token, layer: cell.layer };
}

/** The cells on the page that stand for a cell of the trace. */
export function inward(frame: Frame, cell: Cell): Cell[] {
  const token = frame.rowOf ? (frame.rowOf[cell.token] ?? -1) : cell.token;
  return frame.kinds
    .filter((kind) => sourceOf(frame, kind) === cell.kind)
    .map((kind) => ({ kind, token, layer: cell.layer }));
}

function indexOf(frame: Frame, cell: Cell): number {
  return (frame.kinds.indexOf(cell.kind) * frame.tokens.length + cell.token) * frame.layers + cell.layer;
}

/** What a cell shows: its score, else the estimate of it, else null. */
export function valueAt(frame: Frame, cell: Cell): Value | null {
  return shown(frame, indexOf(frame, cell));
}

/** The same by place in the grids. */
export function shown(frame: Frame, index: number): Value | null {
  const score = frame.scores[index] ?? Number.NaN;
  if (Number.isFinite(score)) return { value: score, estimated: false };
  const estimate = frame.estimates[index] ?? Number.NaN;
  return Number.isFinite(estimate) ? { value: estimate, estimated: true } : null;
}

/** Half the width of a cell's interval; null where there is none. */
export function halfAt(frame: Frame, cell: Cell): number | null {
  const half = frame.half[indexOf(frame, cell)] ?? Number.NaN;
  return Number.isFinite(half) ? half : null;
}

/** Whether noise explains the effect of the cell at a place in the grids, so that it is drawn as none. */
export function isNoise(frame: Frame, index: number): boolean {
  return frame.noise[index] === 1;
}

export function isNoiseAt(frame: Frame, cell: Cell): boolean {
  return isNoise(frame, indexOf(frame, cell));
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
