// Any text as something to look at: nothing in it is invisible, and nothing reaches beyond it.
//
// `factlens/visible.py` does the same and says why; test/texts/visible.json holds the two to each other. Both go by
// ranges that are written out, and cut by one rule of their own: a browser and Python know different editions of
// Unicode, and `Intl.Segmenter` would be a second rule besides its stand-in.

export interface Part {
  text: string;
  /** A sign for white space or a control character, and no letter of the text. */
  dim: boolean;
}

/** Characters in what is never cut apart; families of emoji have a dozen, and texts made to do harm have thousands. */
const LONGEST_CLUSTER = 24;

const DOTTED_CIRCLE = "◌";
const JOINER = "\u200d";
const BLACK_FLAG = "\u{1f3f4}";
const PLAIN: Record<string, string> = { "\n": "⏎", "\t": "⇥", "\x7f": "␡" };
const SHAPELESS =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: each of these is meant by itself
  /[\u034f\u0080-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}\u{f0000}-\u{10ffff}]/u;
const FROM_THE_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const SHAPING = /[\u0600-\u0dff\u1000-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc]/u;
const IDEOGRAPH = /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{3ffff}]/u;
const SELECTOR = /[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/u;
const SKIN = /[\u{1f3fb}-\u{1f3ff}]/u;
const TAG = /[\u{e0020}-\u{e007f}]/u;
const TAGS = /[\u{e0020}-\u{e007e}]+\u{e007f}/uy;
const REGION = /[\u{1f1e6}-\u{1f1ff}]/u;
const MARK = /⟨(?:U\+[0-9A-F]{4,6}|[0-9A-F]{2}(?: [0-9A-F]{2})*)⟩/uy;
const ISOLATED = /\u2068([^\u2066-\u2069]*)\u2069/gu;
const COMBINING = /\p{M}/u;
const LETTER = /[\p{L}\p{M}]/u;
const PICTURE = /[\p{So}↔]/u;
const SPACE = /\p{Zs}/u;

/** One line in which everything can be seen, in parts: what is read as it stands, and signs for what is not. */
export function visibleParts(text: string): Part[] {
  const parts: Part[] = [];
  const add = (text: string, dim: boolean) => {
    const last = parts[parts.length - 1];
    if (last?.dim === dim) last.text += text;
    else parts.push({ text, dim });
  };
  let base = ""; // what a combining mark, a selector or a joiner would belong to
  let i = 0;
  while (i < text.length) {
    const mark = matchAt(MARK, text, i);
    if (mark) {
      // The spaces between bytes are ours.
      add(mark, false);
      base = "⟩";
      i += mark.length;
      continue;
    }
    const letter = at(text, i);
    i += letter.length;
    const tags = letter === BLACK_FLAG ? matchAt(TAGS, text, i) : "";
    i += tags.length;
    if (letter < " " || PLAIN[letter] !== undefined) {
      // Control characters have pictures of their own, from U+2400 on.
      add(PLAIN[letter] ?? String.fromCharCode(0x2400 + letter.charCodeAt(0)), true);
      base = "";
    } else if (SPACE.test(letter)) {
      add(" ", true);
      base = "";
    } else if (hasNoShape(letter)) {
      const joined = shapes(letter, base, at(text, i));
      add(joined ? letter : `⟨U+${code(letter).toString(16).toUpperCase().padStart(4, "0")}⟩`, false);
      base = joined ? letter : "";
    } else {
      if (base === "" && COMBINING.test(letter)) add(DOTTED_CIRCLE, false);
      add(letter + tags, false);
      base = letter;
    }
  }
  return parts;
}

export function visible(text: string): string {
  return joined(visibleParts(text));
}

/** `visible` of a text put together from others, some of which `isolated` has isolated: they stay so. */
export function line(text: string): string {
  let found = "";
  let end = 0;
  for (const match of text.matchAll(ISOLATED)) {
    const inner = match[1] ?? "";
    if (!FROM_THE_RIGHT.test(inner) || visible(inner) !== inner) continue;
    found += visible(text.slice(end, match.index)) + match[0];
    end = match.index + match[0].length;
  }
  return found + visible(text.slice(end));
}

/** `visible` of a text that stands among others: if it is written from right to left, in an isolate. */
export function isolated(text: string): string {
  return isolate(visible(text));
}

/** The same for what is visible already. */
export function isolate(shown: string): string {
  return FROM_THE_RIGHT.test(shown) ? `\u2068${shown}\u2069` : shown;
}

export function joined(parts: Part[]): string {
  return parts.map((part) => part.text).join("");
}

/** The beginning of a text of more than `most` characters, with an ellipsis, cut where it can be cut. */
export function clipped(text: string, most: number): string {
  // No text has more characters than it has halves of them.
  if (text.length <= most || [...text].length <= most) return text;
  let short = "";
  let length = 0;
  for (const part of clusters(text)) {
    length += [...part].length;
    if (length > most - 1) break;
    short += part;
  }
  return `${short}…`;
}

/** The parts of a text that cannot be cut: letters with their marks, emoji, flags, syllables, bytes, code points. */
function* clusters(text: string): Generator<string> {
  let i = 0;
  while (i < text.length) {
    const mark = text[i] === "⟨" ? matchAt(MARK, text, i) : "";
    let cluster = mark || at(text, i);
    let size = 1;
    let last = cluster;
    for (let next = at(text, i + cluster.length); !mark && next && size < LONGEST_CLUSTER; size += 1) {
      if (!belongs(cluster, size, last, next)) break;
      cluster += next;
      last = next;
      next = at(text, i + cluster.length);
    }
    yield cluster;
    i += cluster.length;
  }
}

function belongs(cluster: string, size: number, last: string, next: string): boolean {
  if (COMBINING.test(next) || next === JOINER || next === "\u200c" || SELECTOR.test(next) || SKIN.test(next))
    return true;
  if (last === JOINER && PICTURE.test(next)) return true;
  if (TAG.test(next)) return cluster.startsWith(BLACK_FLAG);
  if (REGION.test(next)) return size === 1 && REGION.test(last);
  return oneSyllable(last, next);
}

const SYLLABLES = new Set(["LL", "LV", "LS", "VV", "VT", "ST", "TT"]);

function oneSyllable(before: string, next: string): boolean {
  const pair = hangul(before) + hangul(next);
  return SYLLABLES.has(pair) || (pair === "SV" && (code(before) - 0xac00) % 28 === 0);
}

/** Leading consonants, vowels, trailing consonants, and whole syllables. */
function hangul(letter: string): string {
  if (/[\u1100-\u115f\ua960-\ua97c]/u.test(letter)) return "L";
  if (/[\u1160-\u11a7\ud7b0-\ud7c6]/u.test(letter)) return "V";
  if (/[\u11a8-\u11ff\ud7cb-\ud7fb]/u.test(letter)) return "T";
  return /[\uac00-\ud7a3]/u.test(letter) ? "S" : "-";
}

function hasNoShape(letter: string): boolean {
  return SHAPELESS.test(letter) || (code(letter) & 0xfffe) === 0xfffe;
}

/** Does something without a shape shape what stands before it, and at once after it? */
function shapes(letter: string, base: string, after: string): boolean {
  // A selector belongs to a joiner behind it, as in a heart on fire.
  if (base === "" || SELECTOR.test(base)) return letter === JOINER && base === "\ufe0f" && PICTURE.test(after);
  if (SELECTOR.test(letter)) {
    if (IDEOGRAPH.test(base)) return true;
    // Of letters there is no emoji but one; anywhere else a selector would not be seen.
    return /[\ufe0e\ufe0f]/u.test(letter) && (!LETTER.test(base) || base === "ℹ");
  }
  if ((letter === JOINER || letter === "\u200c") && SHAPING.test(base) && SHAPING.test(after)) return true;
  return letter === JOINER && (PICTURE.test(base) || SKIN.test(base)) && PICTURE.test(after);
}

/** The character at a place, of one half or two; "" behind the end. */
function at(text: string, index: number): string {
  const found = text.codePointAt(index);
  return found === undefined ? "" : String.fromCodePoint(found);
}

function code(letter: string): number {
  return letter.codePointAt(0) ?? 0;
}

function matchAt(pattern: RegExp, text: string, index: number): string {
  pattern.lastIndex = index;
  return pattern.exec(text)?.[0] ?? "";
}
