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

/** Where the default layer and settings are from: "Default layer 3: calibrated 2026-11-27 …". */
export function sourceWords(layers: number[], source: string, calibrated: boolean): string {
  if (layers.length === 0 || !source) return "";
  return `Default ${layersWords(layers)}: ${source}${calibrated ? "" : " (not calibrated)"}.`;
}

/** "Measure (up to about 5 min)": what has begun when the time is over is finished. */
export function measureWords(budget: string, calibrated: boolean): string {
  return `Measure${calibrated ? " again" : ""} (up to about ${budget})`;
}

export function measureHelp(method: string): string {
  return (
    `Makes trial edits of facts that the model knows with ${method}, at several layers and with several settings, ` +
    "and takes the best of them as the defaults from then on. The weights stay as they are."
  );
}

/** "at layer 2", "at layers 1 to 3 (the default)" or "at a layer that is looked for first". */
export function layerWords(layers: number[], chosen: boolean): string {
  if (layers.length === 0) return "at a layer that is looked for first";
  return `at ${layersWords(layers)}${chosen ? "" : " (the default)"}`;
}
