// The same grid as a real table, for screen readers, for copying, and for those who like numbers.
import { tokenTitle } from "../shared/a11y";
import { element } from "../shared/dom";
import { brief, measureName, precise } from "../shared/measure";
import { row, table } from "../shared/table";
import { scaleOf, shown, type Value, valueAt } from "./cells";
import { isDifference } from "./comparison";
import type { Frame } from "./grid";
import { panelTitle } from "./sentences";

/** A page with more cells than this in tables cannot be scrolled, nor be listened to. */
const TOO_MANY = 20_000;
const STRONGEST = 100;

export function tables(frame: Frame): HTMLElement[] {
  if (frame.scores.length > TOO_MANY) return frame.kinds.map((kind) => strongest(frame, kind));
  const layers = Array.from({ length: frame.layers }, (_, layer) => layer);
  // In a comparison each trace has runs of its own, and their difference has none.
  const between = (kind: string): string => {
    const [low, high] = frame.ends[kind] ?? [frame.low, frame.high];
    if (isDifference(frame, kind) || !Number.isFinite(low) || !Number.isFinite(high)) return "";
    return ` Corrupted run ${brief(frame, low)}, clean run ${brief(frame, high)}.`;
  };
  const columns = ["token", ...layers.map((layer) => `layer ${layer}`)];
  return frame.kinds.map((kind) => {
    const caption = `${panelTitle(frame, kind)}: ${measureName(frame)} of the answer by token and layer.`;
    const rows = frame.tokens.map(({ text, subject }, token) => {
      const cells = layers.map((layer) => {
        const value = valueAt(frame, { kind, token, layer });
        return element("td", { class: value?.estimated ? "fl-guess" : null }, value ? inWords(frame, value) : "–");
      });
      return row(`${tokenTitle(text)}${subject ? " *" : ""}`, cells, subject ? "fl-subject" : "");
    });
    const words = `${caption}${between(kind)} A dash means not computed.`;
    return table({ "data-kind": kind }, words, columns, element("tbody", {}, ...rows));
  });
}

/** Of a grid too large to read: the cells farthest from the corrupted run. */
function strongest(frame: Frame, kind: string): HTMLElement {
  const size = frame.tokens.length * frame.layers;
  const first = frame.kinds.indexOf(kind) * size;
  const from = scaleOf(frame, kind).diverging ? 0 : frame.low;
  const cells = Array.from({ length: size }, (_, i) => ({ i, value: shown(frame, first + i) }))
    .flatMap(({ i, value }) => (value ? [{ i, ...value }] : []))
    .sort((a, b) => Math.abs(b.value - from) - Math.abs(a.value - from))
    .slice(0, STRONGEST);
  const rows = cells.map((cell) => {
    const token = Math.floor(cell.i / frame.layers);
    const piece = frame.tokens[token];
    const name = `${token}: ${tokenTitle(piece?.text ?? "")}`;
    const words = [String(cell.i % frame.layers), inWords(frame, cell)];
    return row(name, words, piece?.subject ? "fl-subject" : "");
  });
  const caption = `${panelTitle(frame, kind)}: the ${cells.length} cells farthest from the corrupted run, of ${size}. Export has all of them.`;
  const columns = ["token", "layer", measureName(frame)];
  return table({ "data-kind": kind }, caption, columns, element("tbody", {}, ...rows));
}

function inWords(frame: Frame, { value, estimated }: Value): string {
  return `${precise(frame, value)}${estimated ? " (estimate)" : ""}`;
}
