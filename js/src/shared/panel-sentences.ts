// What the two panels say in words.
import { tokenName } from "./a11y";
import { brief, isProbability, type Measure, measureName } from "./measure";

/** "Clean run: “Seattle” 93 % · corrupted run: 4 %"; with what is known so far. */
export function answerLine(answer: string, high: number | null, low: number | null, measure: Measure): string {
  if (!answer) return "";
  const name = isProbability(measure) ? "" : ` ${measureName(measure)}`;
  const clean = `Clean run: “${tokenName(answer)}”${high === null ? "" : `${name} ${brief(measure, high)}`}`;
  return low === null ? clean : `${clean} · corrupted run: ${brief(measure, low)}`;
}

/** Why a button that starts something is unavailable. */
export const RUNNING = "Possible when the running work is finished or stopped.";

export function editsBadge(edits: number): string {
  return `the model's weights carry ${edits} ${edits === 1 ? "edit" : "edits"}`;
}

/** "at layer 2", "at layer 1 (the default)" or "at the default layer". */
export function layerWords(layer: number | null, byDefault: number | null): string {
  if (layer !== null) return `at layer ${layer}`;
  return byDefault === null ? "at the default layer" : `at layer ${byDefault} (the default)`;
}
