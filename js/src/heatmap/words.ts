// Rows of whole words instead of tokens: a long prompt becomes half as long.
//
// A row shows, at every layer, its token with the largest effect; a mean would hide one telling token among its
// neighbours. `tokenAt` remembers which token that is, so that choosing a cell chooses it.
import { shown } from "./cells";
import type { Frame, Token } from "./grid";

/** The first token of each word: where white space begins it, or the subject or a chat's template begins or ends. */
export function wordStarts(tokens: Token[]): number[] {
  return tokens.flatMap((token, index) => {
    const before = tokens[index - 1];
    const own =
      !before ||
      /^\s/.test(token.text) ||
      /\s$/.test(before.text) ||
      before.subject !== token.subject ||
      before.template !== token.template;
    // A token without a letter of its own, such as a beginning-of-sequence mark, takes no word behind it along.
    return own || /^<.*>$/.test(before?.text ?? "") ? [index] : [];
  });
}

/** Bytes in a row, as the tokens of a part of a character stand for them. */
const BYTES = /(?:⟨[0-9A-F]{2}(?: [0-9A-F]{2})*⟩)+/gu;

/** The text of several tokens: bytes that make up whole characters are these again, unless the prompt has the signs. */
function joinedText(pieces: string[], prompt: string): string {
  const plain = pieces.join("");
  if (prompt.includes(plain)) return plain;
  return plain.replace(BYTES, (marks) => {
    const bytes = Uint8Array.from(marks.match(/[0-9A-F]{2}/g) ?? [], (digits) => Number.parseInt(digits, 16));
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return marks;
    }
  });
}

export function groupWords(frame: Frame): Frame {
  const starts = wordStarts(frame.tokens);
  const rows = starts.length;
  if (rows === frame.tokens.length) return frame;
  const end = (row: number) => starts[row + 1] ?? frame.tokens.length;
  const tokens = starts.map((start, row) => ({
    text: joinedText(
      frame.tokens.slice(start, end(row)).map((token) => token.text),
      frame.prompt,
    ),
    id: end(row) === start + 1 ? (frame.tokens[start]?.id ?? null) : null,
    subject: frame.tokens[start]?.subject === true,
    ...(frame.tokens[start]?.template ? { template: true } : {}),
  }));
  const rowOf = starts.flatMap((start, row) => Array<number>(end(row) - start).fill(row));
  const size = frame.kinds.length * rows * frame.layers;
  const scores = new Float32Array(size).fill(Number.NaN);
  const estimates = scores.slice();
  const half = scores.slice();
  const noise = scores.slice();
  const tokenAt = new Int32Array(size);
  const sign = frame.high < frame.low ? -1 : 1;
  frame.kinds.forEach((_, kind) => {
    starts.forEach((start, row) => {
      for (let layer = 0; layer < frame.layers; layer += 1) {
        const at = (token: number) => (kind * frame.tokens.length + token) * frame.layers + layer;
        const strength = (token: number) => {
          const value = shown(frame, at(token));
          return value ? sign * value.value : Number.NEGATIVE_INFINITY;
        };
        let best = start;
        for (let token = start + 1; token < end(row); token += 1) if (strength(token) > strength(best)) best = token;
        const to = (kind * rows + row) * frame.layers + layer;
        tokenAt[to] = best;
        scores[to] = frame.scores[at(best)] ?? Number.NaN;
        estimates[to] = frame.estimates[at(best)] ?? Number.NaN;
        half[to] = frame.half[at(best)] ?? Number.NaN;
        noise[to] = frame.noise[at(best)] ?? Number.NaN;
      }
    });
  });
  const suggested = frame.suggested && { ...frame.suggested, token: rowOf[frame.suggested.token] ?? 0 };
  return { ...frame, tokens, rowOf, tokenAt, scores, estimates, half, noise, suggested };
}
