// What a cell knows, as Python sends it (docs/wire.md): read with care, and said in words.
import { answerName, percent, signedDecimal, tokenName } from "../shared/a11y";
import { type Measure, measureName, precise } from "../shared/measure";
import { list, number, record, text } from "../shared/model";
import { decodeSite, type Site } from "../shared/sites";

export const RUNS = ["clean", "corrupted", "restored"] as const;
type Run = (typeof RUNS)[number];

/** More heads than this, and only the largest are listed. */
const MOST_HEADS = 8;

export interface Answer {
  text: string;
  id: number | null;
  probability: number;
}

/** A row of the table of heads or neurons: its number, and what stands in each column. */
export interface Share {
  index: number;
  values: (number | null)[];
}

export interface CellDetails {
  piece: string;
  layer: number;
  /** The text of the answer's first token, and where that ends inside a character, up to that character's end. */
  shown: string;
  part: string;
  answerId: number | null;
  score: number | null;
  effect: number | null;
  interval: [number, number] | null;
  lens: Record<Run, Answer[]>;
  rank: Record<Run, number | null>;
  probability: Record<Run, number | null>;
  cosine: Record<Run, number | null>;
  total: { clean: number | null; corrupted: number | null } | null;
  /** Clean and corrupted share; the largest first. */
  heads: Share[] | null;
  headCount: number;
  /** Clean and corrupted activation, and what the neuron brings. */
  neurons: Share[] | null;
}

/** What a cell knows; of `head`, if it is about one, always the share. */
export function decodeDetails(value: unknown, head: number | null = null): CellDetails | null {
  if (value === null || typeof value !== "object") return null;
  const fields = record(value);
  const [lower, upper] = list(fields.interval).map(number);
  const total = fields.total ? record(fields.total) : null;
  const heads = shares(fields.heads, "head", ["clean", "corrupted"]);
  heads?.sort((a, b) => Math.abs(b.values[0] ?? 0) - Math.abs(a.values[0] ?? 0));
  return {
    piece: text(fields.piece),
    layer: number(fields.layer) ?? 0,
    shown: text(fields.whole_answer) || text(fields.answer),
    part: text(fields.whole_answer) ? text(fields.answer) : "",
    answerId: number(fields.answer_id),
    score: number(fields.score),
    effect: number(fields.effect),
    interval: typeof lower === "number" && typeof upper === "number" ? [lower, upper] : null,
    lens: byRun(fields.lens, answers),
    rank: byRun(fields.rank, number),
    probability: byRun(fields.probability, number),
    cosine: byRun(fields.cosine, number),
    total: total && { clean: number(total.clean), corrupted: number(total.corrupted) },
    heads: heads && foremost(heads, head),
    headCount: heads?.length ?? 0,
    neurons: shares(fields.neurons, "neuron", ["clean", "corrupted", "contribution"]),
  };
}

function byRun<T>(value: unknown, read: (entry: unknown) => T): Record<Run, T> {
  const fields = record(value);
  return { clean: read(fields.clean), corrupted: read(fields.corrupted), restored: read(fields.restored) };
}

function answers(value: unknown): Answer[] {
  return list(value).map((entry) => {
    const fields = record(entry);
    return { text: text(fields.text), id: number(fields.id), probability: number(fields.probability) ?? 0 };
  });
}

function shares(value: unknown, index: string, columns: string[]): Share[] | null {
  if (!Array.isArray(value)) return null;
  return value.map((entry) => {
    const fields = record(entry);
    return { index: number(fields[index]) ?? 0, values: columns.map((column) => number(fields[column])) };
  });
}

/** The first few; the head that the cell is about is always among them. */
function foremost(heads: Share[], own: number | null): Share[] {
  return heads.filter((share, i) => i < MOST_HEADS || share.index === own);
}

// --- in words ---------------------------------------------------------------------------------------------------------

export interface ChosenCell {
  site: Site;
  layer: number;
  piece: string;
  /** Is it the prompt's last token, from which the answer is read? */
  last: boolean;
}

export function decodeChosen(value: unknown): ChosenCell | null {
  if (value === null || typeof value !== "object") return null;
  const { kind, site, layer, piece, last } = record(value);
  return { site: decodeSite(site, text(kind)), layer: number(layer) ?? 0, piece: text(piece), last: last === true };
}

/** "layer 3 · MLP · token “le”" */
export function cellTitle({ site, layer, piece }: ChosenCell): string {
  return `layer ${layer} · ${site.label} · token “${tokenName(piece)}”`;
}

/** What is read, and of a window what of it can be seen there. */
export function whatIsRead({ site, layer, piece }: ChosenCell): string {
  const read =
    `Reads the residual stream leaving layer ${layer} at token “${tokenName(piece)}”: ` +
    "what the model would say next if that layer were its last (logit lens).";
  return site.windowed ? `${read} Of the restored layers, those up to layer ${layer} have acted there.` : read;
}

/** "probability 0.40, effect +0.10 (95 % interval −0.03 to +0.23)" */
export function scoreLine(details: CellDetails, measure: Measure): string {
  const { score, effect, interval } = details;
  if (score === null) return "The exact value of this cell was not computed.";
  const value = `With this cell restored: ${measureName(measure)} ${precise(measure, score)}`;
  if (effect === null) return `${value}.`;
  const sure = interval ? ` (95 % interval ${interval.map(signedDecimal).join(" to ")})` : "";
  return `${value}, effect ${signedDecimal(effect)}${sure}.`;
}

/** "rank 551 (< 0.1 %)"; in a narrow column it breaks before the bracket only. */
export function rankWords(rank: number | null, probability: number | null): string {
  if (rank === null) return "–";
  const share = probability === null ? "" : ` (${percent(probability).replaceAll(" ", "\u00a0")})`;
  return `rank\u00a0${rank}${share}`;
}

export function orDash(value: number | null): string {
  return value === null ? "–" : signedDecimal(value);
}

/** The answer is read from the last token; anywhere else a share is what would be read there. */
function toTheLogit({ shown, part }: CellDetails, { last }: ChosenCell): string {
  return `directly to the logit of ${answerName(shown, part)}${last ? "" : ", were it read at this token"}`;
}

export function headsCaption(details: CellDetails, cell: ChosenCell): string {
  const shown = details.heads?.length ?? 0;
  const which = shown < details.headCount ? ` (${shown} of ${details.headCount}, the largest first)` : "";
  return `What the attention heads of layer ${details.layer} bring ${toTheLogit(details, cell)}${which}`;
}

export function neuronsCaption(details: CellDetails, cell: ChosenCell): string {
  return `Neurons of layer ${details.layer} that bring most, up or down, ${toTheLogit(details, cell)}`;
}
