// Two traces side by side: A, B, and B − A, of one kind at a time.
//
// Each of the three becomes a panel with a name of its own ("a:mlp"), so that everything that works on panels works
// on these. Rows and layers are the same in both: Python has put them side by side.
import { answerName } from "../shared/a11y";
import { list, record, text } from "../shared/model";
import { sourceOf } from "./cells";
import { decodeFrame, type Frame, type Scale } from "./grid";

export interface Comparison {
  a: Frame;
  b: Frame;
  names: [string, string];
}

/** Null for `{}` and for frames that cannot stand side by side. */
export function decodeComparison(value: unknown): Comparison | null {
  const fields = record(value);
  const a = decodeFrame(fields.a);
  const b = decodeFrame(fields.b);
  if (!a || !b) return null;
  const alike =
    a.layers === b.layers && a.tokens.length === b.tokens.length && a.kinds.join("\n") === b.kinds.join("\n");
  const [first, second] = list(fields.names).map(text);
  return alike ? { a, b, names: [first || "A", second || "B"] } : null;
}

/** The kind that is compared as long as no other is chosen: what edits change, since most comparisons are of edits. */
export function firstCompared({ a }: Comparison): string {
  return a.kinds.find((kind) => a.sites[kind]?.edited) ?? a.kinds[0] ?? "";
}

/** The three panels of one kind as one frame. Both traces share a scale; the difference has its own, about zero. */
export function compared({ a, b, names }: Comparison, kind: string): Frame {
  const place = Math.max(0, a.kinds.indexOf(kind));
  const size = a.tokens.length * a.layers;
  const of = (grid: Float32Array) => grid.subarray(place * size, (place + 1) * size);
  const difference = of(b.scores).map((score, i) => score - (of(a.scores)[i] ?? Number.NaN));
  const both: Scale = { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high), diverging: false };
  const reach = difference.reduce((most, value) => (Math.abs(value) > most ? Math.abs(value) : most), 0);
  const none = new Float32Array(size).fill(Number.NaN);
  const [left, right, change] = [`a:${kind}`, `b:${kind}`, `difference:${kind}`];
  // Before and after an edit the model answers differently, and each trace follows its own answer.
  const own = a.answer !== b.answer || a.answerPart !== b.answerPart;
  const [first, second] = own
    ? [`${names[0]}: ${answerName(a.answer, a.answerPart)}`, `${names[1]}: ${answerName(b.answer, b.answerPart)}`]
    : names;
  const scores = join(of(a.scores), of(b.scores), difference);
  return {
    ...b,
    kinds: [left, right, change],
    sources: { [left]: kind, [right]: kind, [change]: kind },
    answer: own ? "" : b.answer,
    answerPart: own ? "" : b.answerPart,
    titles: { [left]: first, [right]: second, [change]: `${names[1]} − ${names[0]}` },
    scales: { [left]: both, [right]: both, [change]: { low: -reach, high: reach, diverging: true } },
    ends: { [left]: [a.low, a.high], [right]: [b.low, b.high] },
    low: both.low,
    high: both.high,
    scores,
    estimates: join(of(a.estimates), of(b.estimates), none),
    half: join(of(a.half), of(b.half), none),
    noise: join(none, none, none),
    tokenAt:
      b.tokenAt &&
      Int32Array.from(
        [1, 2, 3].flatMap(() => [...(b.tokenAt as Int32Array).subarray(place * size, (place + 1) * size)]),
      ),
    suggested: null,
    complete: a.complete && b.complete,
    stopped: a.stopped || b.stopped,
    computed: scores.reduce((count, score) => count + (Number.isFinite(score) ? 1 : 0), 0),
    estimated: 0,
    quality: null,
  };
}

export function isDifference(frame: Frame, kind: string): boolean {
  return sourceOf(frame, kind) !== kind && frame.scales[kind]?.diverging === true;
}

function join(...parts: Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
