// What the panel says in words.
import { layersWords } from "../shared/layers";

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

/** "at layer 2", "at layers 1 to 3 (the default)" or "at the default layer". */
export function layerWords(layers: number[], chosen: boolean): string {
  if (layers.length === 0) return "at the default layer";
  return `at ${layersWords(layers)}${chosen ? "" : " (the default)"}`;
}
