// What screen readers hear: how tokens and numbers are said in words.

import { clipped, isolate, joined, type Part, visible, visibleParts } from "./visible";

const LONGEST_TOKEN = 120;

/** A token for a label: its white space shown too, and only its beginning where some tokenizer holds pages of it. */
export function tokenParts(token: string): Part[] {
  const parts = visibleParts(beginning(token)).map((part) =>
    part.dim ? { ...part, text: part.text.replaceAll(" ", "·") } : part,
  );
  return parts.length > 0 ? parts : [{ text: "∅", dim: true }];
}

/** A token inside a sentence: without the white space around it, unless it is nothing else. */
export function tokenName(token: string): string {
  // `trim` would take a byte order mark for white space, and nothing would be left of it.
  const bare = token.replace(/^[^\S\ufeff]+|[^\S\ufeff]+$/g, "");
  return isolate(visible(beginning(bare)) || joined(tokenParts(token)));
}

/** An answer inside a sentence; one that is shown up to the end of a character, with the token that was measured. */
export function answerName(answer: string, part = ""): string {
  const name = `“${tokenName(answer)}”`;
  return part ? `${tokenName(part)} of ${name}` : name;
}

/** A token as a title that comes up under the pointer. */
export function tokenTitle(token: string): string {
  return isolate(visible(beginning(token)));
}

/** No label is wider than a few words, and ten thousand letters are not read. */
function beginning(token: string): string {
  return clipped(token, LONGEST_TOKEN);
}

/** A probability as people read it: "93 %", "4 %", "0.3 %", "< 0.1 %". */
export function percent(probability: number): string {
  const value = probability * 100;
  if (value !== 0 && Math.abs(value) < 0.1) return "< 0.1 %";
  return `${Math.abs(value) < 1 && value !== 0 ? value.toFixed(1) : Math.round(value)} %`;
}

export function decimal(probability: number): string {
  return Math.abs(probability) < 0.01 && probability !== 0 ? probability.toPrecision(1) : probability.toFixed(2);
}

/** With its sign, as a difference or a logarithm is read: "+3.40", "−0.07", "0.00". */
export function signedDecimal(value: number): string {
  const size = decimal(Math.abs(value));
  if (Number(size) === 0) return size;
  return `${value < 0 ? "−" : "+"}${size}`;
}

/** How much of the gap between the corrupted and the clean run a cell brings back, in percent; null without a gap. */
export function restored(score: number, low: number, high: number): number | null {
  const gap = high - low;
  if (!(Math.abs(gap) > 1e-9)) return null;
  const value = Math.round(((score - low) / gap) * 100);
  return Object.is(value, -0) ? 0 : value;
}
