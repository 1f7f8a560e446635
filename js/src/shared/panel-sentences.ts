// What the two panels say in words.
import { answerName } from "./a11y";
import { brief, isShare, type Measure, measureName } from "./measure";

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

/** Why a button that starts something is unavailable. */
export const RUNNING = "Possible when the running work is finished or stopped.";

export function editsBadge(edits: number): string {
  return `the model’s weights carry ${edits} ${edits === 1 ? "edit" : "edits"}`;
}

/** Where an edit came from: nothing for one that was made right here. */
export function originWords(origin: string): string {
  if (origin === "lens") return "from another lens";
  return origin === "python" ? "from Python" : "";
}

/** What counts as the new object where: of several tokens, the bars show the first, the checks all of them. */
export function spelling(shown: number, count: number): string {
  if (count === 0) return "no token: write it in other characters";
  if (count === 1) return "one token";
  const dots = shown < count ? "… " : "";
  return `${dots}${count} tokens: the bars show the first, the checks score them all`;
}

/** "layer 2", "layers 2 to 4", or "layers 2, 5". */
export function layersWords(layers: number[]): string {
  const [first, last] = [layers[0], layers[layers.length - 1]];
  if (first === undefined || last === undefined) return "";
  if (layers.length === 1) return `layer ${first}`;
  const gapless = layers.every((layer, i) => layer === first + i);
  return gapless ? `layers ${first} to ${last}` : `layers ${layers.join(", ")}`;
}

/** "at layer 2", "at layers 1 to 3 (the default)" or "at the default layer". */
export function layerWords(layers: number[], chosen: boolean): string {
  if (layers.length === 0) return "at the default layer";
  return `at ${layersWords(layers)}${chosen ? "" : " (the default)"}`;
}
