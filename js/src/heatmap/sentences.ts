// Everything the heatmap says in words, for eyes and for screen readers.
import { percent, restored, signedDecimal, tokenName } from "../shared/a11y";
import { isWindowed, kindName } from "../shared/kinds";
import { isProbability, measureName, precise } from "../shared/measure";
import { type Cell, type Frame, halfAt, type Value, valueAt } from "./grid";
import { windowAround } from "./scales";

export const EMPTY = "Press Trace to see where the model keeps this fact.";
export const EMPTY_BUSY = "Tracing: the first cells are on their way.";
export const HONEST =
  "Tracing shows where a state carries the answer; it does not prove where to edit (Hase et al. 2023).";

/** Below a panel's title: how much is restored for one cell. */
export function kindNote(frame: Frame, kind: string): string {
  return isWindowed(kind) && frame.window > 1 ? `${frame.window} layers restored together` : "one layer restored";
}

export function heading(frame: Frame): string {
  const answer = frame.answer ? `“${tokenName(frame.answer)}”` : "the answer";
  const rest = "after restoring one part of the clean run";
  if (frame.metric === "log_probability") return `Log-probability of ${answer} ${rest}`;
  if (frame.metric !== "logit_difference") return `Probability of ${answer} ${rest}`;
  const other = frame.contrast ? ` and “${tokenName(frame.contrast)}”` : " and another answer";
  return `Logit difference between ${answer}${other} ${rest}`;
}

export function progress(frame: Frame, busy: boolean): string {
  if (frame.complete) return "";
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
  const each = quality.correlation.map(([kind, value]) => `${kindName(kind)} ${value.toFixed(2).replace("-", "−")}`);
  return (
    `Hatched colours: estimated from gradients, ${fate} ` +
    `(rank correlation with the exact grid on ${quality.facts} atlas facts: ${each.join(", ")}).`
  );
}

export function details(frame: Frame): string {
  if (frame.samples === null) return "";
  return frame.samples === 1 ? "One noise sample." : `Mean of ${frame.samples} noise samples.`;
}

/** "0.41, 43 % restored", "estimate 0.41, 43 % restored", or "not computed". */
export function valueText(frame: Frame, cell: Cell, percentSign = " %"): string {
  const found = valueAt(frame, cell);
  if (!found) return "not computed";
  const number = `${found.estimated ? "estimate " : ""}${precise(frame, found.value)}`;
  const back = restored(found.value, frame.low, frame.high);
  return back === null ? number : `${number}, ${signed(back)}${percentSign} restored`;
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

/** The lines of the tooltip: what the cell is, its value, how sure it is, and what was restored for it. */
export function tooltipLines(frame: Frame, cell: Cell): string[] {
  const found = valueAt(frame, cell);
  const token = frame.tokens[cell.token];
  const id = token?.id === null || token?.id === undefined ? "" : ` (id ${token.id})`;
  const lines = [`Layer ${cell.layer} · ${kindName(cell.kind)}`, `token “${token?.text ?? ""}”${id}`];
  if (found) {
    lines.push(measured(frame, found));
    const back = restored(found.value, frame.low, frame.high);
    if (back !== null) lines.push(`${signed(back)} % restored`);
    const half = found.estimated ? null : halfAt(frame, cell);
    if (half !== null) lines.push(...interval(found.value - frame.low, half));
  } else {
    lines.push(frame.complete || frame.stopped ? "not computed" : "not computed yet");
  }
  const [first, last] = windowAround(cell.kind, cell.layer, frame);
  lines.push(first === last ? `restored: layer ${first}` : `restored: layers ${first} to ${last}`);
  return lines;
}

/** "probability 0.41 (41 %)", "estimate: log p −2.31" */
function measured(frame: Frame, { value, estimated }: Value): string {
  const share = isProbability(frame) ? ` (${percent(value)})` : "";
  return `${estimated ? "estimate: " : ""}${measureName(frame)} ${precise(frame, value)}${share}`;
}

/** "effect +0.37" and "95 % interval +0.31 to +0.43": of score less corrupted run, over the noise samples. */
function interval(effect: number, half: number): string[] {
  const [lower, upper] = [signedDecimal(effect - half), signedDecimal(effect + half)];
  return [`effect ${signedDecimal(effect)}`, `95 % interval ${lower} to ${upper}`];
}

function signed(value: number): string {
  return value < 0 ? `−${-value}` : String(value);
}
