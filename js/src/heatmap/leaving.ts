// Files, code and captions that leave the page. All made here: the kernel may be busy, or gone.
import { copy } from "../shared/clipboard";
import { offer } from "../shared/offer";
import { csvOf, pngOf, svgOf } from "./export";
import type { Frame } from "./grid";
import type { PaletteName } from "./palettes";
import type { Leaving } from "./toolbar";

/** What the page makes by itself. */
type Own = Exclude<Leaving, "paper">;

/** What was done, or why it was not, in words. */
export async function takeAway(how: Own, frame: Frame, palette: PaletteName, signal: AbortSignal): Promise<string> {
  try {
    return await taken(how, frame, palette, signal);
  } catch (error) {
    return `That did not work. ${error instanceof Error ? error.message : ""}`;
  }
}

async function taken(how: Own, frame: Frame, palette: PaletteName, signal: AbortSignal): Promise<string> {
  if (how === "code") {
    await copy(frame.code);
    return "The code that makes this trace again is on the clipboard.";
  }
  if (how === "caption") {
    await copy(frame.caption);
    return "The caption is on the clipboard.";
  }
  const name = `factlens-trace.${how}`;
  if (how === "csv") offer(name, new Blob([csvOf(frame)], { type: "text/csv" }));
  else {
    const svg = svgOf(frame, palette);
    offer(name, how === "svg" ? new Blob([svg], { type: "image/svg+xml" }) : await pngOf(svg, signal));
  }
  return `Saved as ${name}.`;
}
