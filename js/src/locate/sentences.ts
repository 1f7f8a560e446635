// What the panel says in words.
import { answerName } from "../shared/a11y";
import { brief, isShare, type Measure, measureName } from "../shared/measure";

/** "Clean run: “Seattle” 93 % · corrupted run: 4 %"; with what is known so far. */
export function answerLine(
  answer: string,
  part: string,
  high: number | null,
  low: number | null,
  measure: Measure,
): string {
  if (!answer) return "";
  const name = isShare(measure) ? "" : ` ${measureName(measure)}`;
  const clean = `Clean run: ${answerName(answer, part)}${high === null ? "" : `${name} ${brief(measure, high)}`}`;
  return low === null ? clean : `${clean} · corrupted run: ${brief(measure, low)}`;
}

export function editsBadge(edits: number): string {
  return `the model’s weights carry ${edits} ${edits === 1 ? "edit" : "edits"}`;
}
