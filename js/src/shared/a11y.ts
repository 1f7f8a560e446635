// What screen readers hear: how tokens and numbers are said in words.

const LONGEST_TOKEN = 120;

/** Shows the whitespace of a token: the dim parts are markers, not letters of the token. */
export function tokenParts(token: string): { text: string; dim: boolean }[] {
  const parts: { text: string; dim: boolean }[] = [];
  const markers: Record<string, string> = { " ": "·", "\n": "↵", "\r": "↵", "\t": "⇥", "\u00a0": "·" };
  for (const letter of clipped(token)) {
    // Control characters have pictures of their own, from U+2400 on.
    const marker = markers[letter] ?? (letter < " " ? String.fromCharCode(0x2400 + letter.charCodeAt(0)) : undefined);
    const previous = parts[parts.length - 1];
    const dim = marker !== undefined;
    if (previous && previous.dim === dim) previous.text += marker ?? letter;
    else parts.push({ text: marker ?? letter, dim });
  }
  return parts.length > 0 ? parts : [{ text: "∅", dim: true }];
}

/** The beginning of a token that is too long to be shown: some tokenizers hold pages of white space. */
export function clipped(token: string): string {
  let short = "";
  for (const letter of token) {
    if (short.length + letter.length > LONGEST_TOKEN) return `${short}…`;
    short += letter;
  }
  return short;
}

/** A token inside a sentence: without the whitespace around it, unless it is nothing else. */
export function tokenName(token: string): string {
  return (
    clipped(token.trim()) ||
    tokenParts(token)
      .map((part) => part.text)
      .join("")
  );
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
