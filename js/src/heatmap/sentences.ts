// Everything the heatmap says in words, for eyes and for screen readers.
import { decimal, percent, restored, tokenName } from "../shared/a11y";
import { type Cell, type Frame, scoreAt } from "./grid";
import { windowAround } from "./scales";

export const EMPTY = "Press Trace to see where the model keeps this fact.";
export const EMPTY_BUSY = "Tracing: the first cells are on their way.";
export const HONEST =
  "Tracing shows where a state carries the answer; it does not prove where to edit (Hase et al. 2023).";

const TITLES: Record<string, string> = { state: "Hidden state", mlp: "MLP", attn: "Attention" };
const NAMES: Record<string, string> = { state: "hidden state", mlp: "MLP", attn: "attention" };

export function kindTitle(kind: string): string {
  return TITLES[kind] ?? kind;
}

export function kindName(kind: string): string {
  return NAMES[kind] ?? kind;
}

/** Below a panel's title: how much is restored for one cell. */
export function kindNote(frame: Frame, kind: string): string {
  return kind === "state" || frame.window === 1 ? "one layer restored" : `${frame.window} layers restored together`;
}

export function heading(frame: Frame): string {
  return frame.answer
    ? `Probability of “${tokenName(frame.answer)}” after restoring one part of the clean run`
    : "Probability of the answer after restoring one part of the clean run";
}

export function progress(frame: Frame, busy: boolean): string {
  if (frame.stopped) return "Stopped: hatched cells were not computed.";
  if (frame.complete) return "";
  const cells = `${frame.computed} of ${frame.scores.length} cells`;
  return busy ? `Tracing: ${cells}.` : `Incomplete (${cells}): hatched cells were not computed.`;
}

export function details(frame: Frame): string {
  if (frame.samples === null) return "";
  return frame.samples === 1 ? "One noise sample." : `Mean of ${frame.samples} noise samples.`;
}

/** "0.41, 43 % restored", or "not computed". */
export function valueText(frame: Frame, cell: Cell, percentSign = " %"): string {
  const score = scoreAt(frame, cell);
  if (!Number.isFinite(score)) return "not computed";
  const back = restored(score, frame.low, frame.high);
  return back === null ? decimal(score) : `${decimal(score)}, ${signed(back)}${percentSign} restored`;
}

/** The label of a cell: "token Needle, subject, layer 2, MLP, 0.41, 43 percent restored". */
export function cellLabel(frame: Frame, cell: Cell): string {
  const token = frame.tokens[cell.token];
  const parts = [`token ${tokenName(token?.text ?? "")}`];
  if (token?.subject) parts.push("subject");
  if (cell.token === frame.tokens.length - 1) parts.push("last");
  parts.push(`layer ${cell.layer}`, kindName(cell.kind), valueText(frame, cell, " percent"));
  return parts.join(", ");
}

/** "Layer 2 · MLP · token “Needle”" */
export function cellName(frame: Frame, cell: Cell): string {
  return `Layer ${cell.layer} · ${kindName(cell.kind)} · token “${tokenName(frame.tokens[cell.token]?.text ?? "")}”`;
}

export function selected(frame: Frame, cell: Cell): string {
  const what = `${cellName(frame, cell)} selected (${valueText(frame, cell)}).`;
  const edit =
    cell.kind === "mlp"
      ? `An edit will change the MLP of layer ${cell.layer}.`
      : `ROME edits the MLP of that layer: an edit will change the MLP of layer ${cell.layer}.`;
  return `${what} ${edit}`;
}

export function pending(frame: Frame, cell: Cell): string {
  return `${cellName(frame, cell)} chosen; waiting for the kernel.`;
}

export function suggestion(frame: Frame, cell: Cell): string {
  const name = cellName(frame, cell);
  return `Suggested: ${name.charAt(0).toLowerCase()}${name.slice(1)}.`;
}

/** The lines of the tooltip: what the cell is, its value, and what was restored for it. */
export function tooltipLines(frame: Frame, cell: Cell): string[] {
  const score = scoreAt(frame, cell);
  const token = frame.tokens[cell.token];
  const id = token?.id === null || token?.id === undefined ? "" : ` (id ${token.id})`;
  const lines = [`Layer ${cell.layer} · ${kindName(cell.kind)}`, `token “${token?.text ?? ""}”${id}`];
  if (Number.isFinite(score)) {
    lines.push(`probability ${decimal(score)} (${percent(score)})`);
    const back = restored(score, frame.low, frame.high);
    if (back !== null) lines.push(`${signed(back)} % restored`);
  } else {
    lines.push(frame.complete || frame.stopped ? "not computed" : "not computed yet");
  }
  const [first, last] = windowAround(cell.kind, cell.layer, frame.window, frame.layers);
  lines.push(first === last ? `restored: layer ${first}` : `restored: layers ${first} to ${last}`);
  return lines;
}

function signed(value: number): string {
  return value < 0 ? `−${-value}` : String(value);
}
