// Everything the heatmap says in words, for eyes and for screen readers.
import { answerName, percent, restored, signedDecimal, tokenName, tokenTitle } from "../shared/a11y";
import { layersWords } from "../shared/layers";
import { isShare, measureName, precise } from "../shared/measure";
import { number as integer, list, record, text } from "../shared/model";
import { siteTitle } from "../shared/sites";
import { clipped, isolated } from "../shared/visible";
import { halfAt, inward, isNoiseAt, outward, scaleOf, siteOf, sourceOf, type Value, valueAt } from "./cells";
import { isDifference } from "./comparison";
import type { Cell, Frame, Suggestion } from "./grid";
import type { Means } from "./range";
import { windowOf } from "./scales";

export const EMPTY = "Press Trace to see where the model keeps this fact.";
export const EMPTY_BUSY = "Tracing: the first cells are on their way.";
export const HONEST =
  "Tracing shows where a state carries the answer; it does not prove where to edit (Hase et al. 2023, arXiv:2301.04213).";

export const NARROW = "Drag along the numbers of the layers to look at some of them more closely.";

export function panelTitle(frame: Frame, kind: string): string {
  return frame.titles[kind] ?? siteTitle(siteOf(frame, kind));
}

/** Below a panel's title: how much is restored for one cell, and its scale where that is its own. */
export function kindNote(frame: Frame, kind: string): string {
  const compared = sourceOf(frame, kind) !== kind;
  const scale = scaleOf(frame, kind);
  if (isDifference(frame, kind)) return `${number(frame, kind, scale.low)} to ${number(frame, kind, scale.high)}`;
  if (compared) return "";
  if (frame.scales[kind]) {
    const ends = [scale.low, scale.high].sort((a, b) => a - b);
    return ends.map((end) => precise(frame, end)).join(" to ");
  }
  return siteOf(frame, kind).windowed && frame.window > 1
    ? `${frame.window} layers restored together`
    : "one layer restored";
}

export function heading(frame: Frame): string {
  const each = Object.keys(frame.titles).length > 0 ? "each trace’s own answer" : "the answer";
  const answer = frame.answer ? answerName(frame.answer, frame.answerPart) : each;
  const [first = ""] = frame.kinds;
  const rest =
    sourceOf(frame, first) === first
      ? "after restoring one part of the clean run"
      : `after restoring one part of the clean run: ${siteOf(frame, first).label}`;
  if (frame.reading === "effect") return `Indirect effect on ${answer} ${rest}`;
  if (frame.reading === "restored") return `Share of the total effect on ${answer} ${rest}`;
  if (frame.reading === "log_odds") return `Log-odds of ${answer} ${rest}`;
  const title = frame.metric.title.charAt(0).toUpperCase() + frame.metric.title.slice(1);
  if (!frame.metric.contrasted && !frame.contrast) return `${title} of ${answer} ${rest}`;
  const other = frame.contrast ? ` and “${tokenName(frame.contrast)}”` : " and another answer";
  return `${title} between ${answer}${other} ${rest}`;
}

/** While another prompt is being written: which one the grids below belong to. */
export function former(frame: Frame): string {
  const of = frame.prompt ? `of “${isolated(clipped(frame.prompt, 80))}”` : "of the prompt before";
  return `Still the trace ${of}. Press Trace for what is written now.`;
}

export function progress(frame: Frame, busy: boolean): string {
  if (frame.complete) return "";
  const { count, samples } = frame;
  if (samples !== null && count > 0 && count < samples) {
    // The whole grid is there, for some of its noise samples.
    const some = `${count} of ${samples} noise samples`;
    const fate = `all cells are exact for ${count === 1 ? "it" : "them"}`;
    if (frame.stopped) return `Stopped after ${some}: ${fate}.`;
    return busy ? `Tracing: ${some}.` : `Incomplete (${some}): ${fate}.`;
  }
  const cells = `${frame.computed} of ${frame.scores.length} cells`;
  const rest =
    frame.estimated === 0
      ? "hatched cells were not computed"
      : frame.computed + frame.estimated === frame.scores.length
        ? "the others are estimates"
        : "the others are estimates, or were not computed";
  if (frame.stopped) return `Stopped after ${cells}: ${rest}.`;
  return busy ? `Tracing: ${cells}.` : `Incomplete (${cells}): ${rest}.`;
}

/** What the hatched colours are, and how far to trust them; "" where no cell shows an estimate. */
export function estimateNote(frame: Frame, busy: boolean): string {
  if (frame.estimated === 0) return "";
  // A stopped trace stays in sight while the next one waits for its turn.
  const fate = busy && !frame.stopped ? "replaced by exact values as they come" : "the exact values were not computed";
  const { quality } = frame;
  if (!quality) return `Hatched colours: estimated from gradients, ${fate}.`;
  const each = quality.correlation.map(([label, value]) => `${label} ${value.toFixed(2).replace("-", "−")}`);
  return (
    `Hatched colours: estimated from gradients, ${fate} ` +
    `(rank correlation with the exact grid on ${quality.facts} atlas facts: ${each.join(", ")}).`
  );
}

/** How far to trust the numbers, and what to know before reading anything off them, as Python says it. */
export function details(frame: Frame): string {
  const words = [frame.trust, ...frame.remarks].filter(Boolean);
  return words.map((each) => `${each.charAt(0).toUpperCase()}${each.slice(1)}.`).join(" ");
}

/** "0.41, 43 % restored", "estimate 0.41, 43 % restored", or "not computed". */
export function valueText(frame: Frame, cell: Cell, percentSign = " %"): string {
  const shown = valueAt(frame, cell);
  if (!shown) return "not computed";
  const words = `${shown.estimated ? "estimate " : ""}${number(frame, cell.kind, shown.value)}`;
  const back = broughtBack(frame, cell.kind, shown.value);
  if (back !== null) return `${words}, ${signed(back)}${percentSign} restored`;
  return frame.reading === "restored" ? `${words.replace(" %", percentSign)} restored` : words;
}

/** The value of a cell; in a comparison those of all panels, each under its name. */
function everyValue(frame: Frame, cell: Cell): string {
  const shown = inward(frame, outward(frame, cell));
  if (shown.length < 2) return valueText(frame, cell);
  return shown.map((each) => `${panelTitle(frame, each.kind)} ${valueText(frame, each)}`).join(" · ");
}

/** A value of a panel; with its sign where the panel shows a difference. */
function number(frame: Frame, kind: string, value: number): string {
  const words = precise(frame, value);
  return isDifference(frame, kind) && value > 0 && !words.startsWith("+") ? `+${words}` : words.replace("-", "−");
}

/** How much of the total effect a value is, where the reading does not say that itself. */
function broughtBack(frame: Frame, kind: string, value: number): number | null {
  if (isDifference(frame, kind) || frame.reading === "restored" || frame.reading === "log_odds") return null;
  const [low, high] = frame.ends[kind] ?? [frame.low, frame.high];
  return restored(value, low, high);
}

/** The label of a cell: "token Needle, subject, layer 2, MLP, 0.41, 43 percent restored". */
export function cellLabel(frame: Frame, cell: Cell): string {
  const token = frame.tokens[cell.token];
  const parts = [`token ${tokenName(token?.text ?? "")}`];
  if (token?.subject) parts.push("subject");
  if (token?.template) parts.push("of the chat's template");
  if (cell.token === frame.tokens.length - 1) parts.push("last");
  parts.push(`layer ${cell.layer}`, siteOf(frame, cell.kind).label);
  if (frame.titles[cell.kind]) parts.push(panelTitle(frame, cell.kind));
  parts.push(valueText(frame, cell, " percent"));
  return parts.join(", ");
}

/** "Layer 2 · MLP · token “Needle”" */
export function cellName(frame: Frame, cell: Cell): string {
  return `Layer ${cell.layer} · ${siteOf(frame, cell.kind).label} · token “${tokenName(frame.tokens[cell.token]?.text ?? "")}”`;
}

/** What an edit from here would change: no layer yet where one is looked for first. A heatmap of its own edits nothing. */
export interface Edit {
  method: string;
  layers: number[];
}

export function decodeEdit(value: unknown): Edit | null {
  const fields = record(value);
  const layers = list(fields.layers).flatMap((layer) => integer(layer) ?? []);
  return text(fields.method) !== "" ? { method: text(fields.method), layers } : null;
}

/** Every method edits MLPs, and some of them several: for any selection, this says which. */
export function selected(frame: Frame, cell: Cell, edit: Edit | null): string {
  const what = `${cellName(frame, cell)} selected (${everyValue(frame, cell)}).`;
  if (!edit || edit.layers.length === 0) return what;
  const { method, layers } = edit;
  const mlps = `${layers.length === 1 ? "MLP" : "MLPs"} of ${layersWords(layers)}`;
  return siteOf(frame, cell.kind).edited
    ? `${what} An edit with ${method} will change the ${mlps}.`
    : `${what} ${capital(method)} edits MLPs: it will change the ${mlps}.`;
}

export function nothingSelected(edit: Edit | null): string {
  return `Nothing selected. Click a cell, or press Enter on it${edit ? ", to choose the layer to edit" : ""}.`;
}

export function pending(frame: Frame, cell: Cell): string {
  return `${cellName(frame, cell)} chosen; waiting for the kernel.`;
}

export function suggestion(frame: Frame, cell: Suggestion): string {
  const name = cellName(frame, cell);
  const why = cell.source
    ? `by the calibration and not by this trace (${cell.source})`
    : "the last layer with much of the MLP’s effect at the subject’s last token, by this trace and no calibration";
  return `Suggested: ${name.charAt(0).toLowerCase()}${name.slice(1)}, ${why}.`;
}

/** The lines of the tooltip: what the cell is, its value, how sure it is, and what was restored for it. */
export function tooltipLines(frame: Frame, cell: Cell): string[] {
  const shown = valueAt(frame, cell);
  const token = frame.tokens[cell.token];
  const id = token?.id === null || token?.id === undefined ? "" : ` (id ${token.id})`;
  const name = `Layer ${cell.layer} · ${siteOf(frame, cell.kind).label}`;
  const lines = [
    frame.titles[cell.kind] ? `${panelTitle(frame, cell.kind)}: ${name}` : name,
    `token “${tokenTitle(token?.text ?? "")}”${id}`,
  ];
  if (shown) {
    lines.push(measured(frame, cell.kind, shown));
    const back = broughtBack(frame, cell.kind, shown.value);
    if (back !== null) lines.push(`${signed(back)} % restored`);
    const half = shown.estimated || isDifference(frame, cell.kind) ? null : halfAt(frame, cell);
    const [low] = frame.ends[cell.kind] ?? [frame.low];
    if (half !== null) lines.push(...interval(shown.value, low, half, frame));
    if (isNoiseAt(frame, cell)) lines.push("within the noise: drawn as no effect");
  } else {
    lines.push(frame.complete || frame.stopped ? "not computed" : "not computed yet");
  }
  const [first, last] = windowOf(frame, cell.kind, cell.layer);
  lines.push(first === last ? `restored: layer ${first}` : `restored: layers ${first} to ${last}`);
  return lines;
}

/** "probability 0.41 (41 %)", "estimate: log p −2.31" */
function measured(frame: Frame, kind: string, { value, estimated }: Value): string {
  const share = isShare(frame) && !isDifference(frame, kind) ? ` (${percent(value)})` : "";
  const what = isDifference(frame, kind) ? "difference" : measureName(frame);
  return `${estimated ? "estimate: " : ""}${what} ${number(frame, kind, value)}${share}`;
}

/** "effect +0.37" and "95 % interval +0.31 to +0.43": of score less corrupted run, over the noise samples. */
function interval(value: number, low: number, half: number, frame: Frame): string[] {
  if (frame.reading === "restored") return [`95 % interval ${percent(value - half)} to ${percent(value + half)}`];
  const effect = frame.reading === "effect" ? value : value - low;
  const [lower, upper] = [signedDecimal(effect - half), signedDecimal(effect + half)];
  const words = `95 % interval ${lower} to ${upper}`;
  return frame.reading === "effect" ? [words] : [`effect ${signedDecimal(effect)}`, words];
}

/** What a pin says: "Layer 3 · MLP · token “Needle”: 0.41, 43 % restored" */
export function pinned(frame: Frame, cell: Cell): string {
  return `${cellName(frame, cell)}: ${everyValue(frame, cell)}`;
}

/** A pin of a kind, or of a row, that the picture does not show at the moment. */
export function pinnedElsewhere(frame: Frame, cell: Cell): string {
  return `Layer ${cell.layer} · ${siteOf(frame, cell.kind).label}: not in this ${Object.keys(frame.titles).length > 0 ? "comparison" : "picture"}`;
}

/** What is marked on the axes, and the mean of the cells that lie there. */
export function range(frame: Frame, layers: Span | null, rows: Span | null, means: Means[]): string {
  const parts = [];
  if (layers) parts.push(layers[0] === layers[1] ? `layer ${layers[0]}` : `layers ${layers[0]} to ${layers[1]}`);
  if (rows) {
    const [first, last] = rows.map((row) => `“${tokenName(frame.tokens[row]?.text ?? "")}”`);
    parts.push(rows[0] === rows[1] ? `token ${first}` : `tokens ${first} to ${last}`);
  }
  const where = capital(parts.join(", "));
  const each = means.map(({ kind, mean, cells }) => {
    const name = frame.titles[kind] ?? siteOf(frame, kind).label;
    return mean === null
      ? `${name} not computed`
      : `${name} ${number(frame, kind, mean)}${cells ? "" : " (part of it)"}`;
  });
  return `${where}, mean ${measureName(frame)}: ${each.join(" · ")}.`;
}

export type Span = [first: number, last: number];

function capital(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}

function signed(value: number): string {
  return value < 0 ? `−${-value}` : String(value);
}
