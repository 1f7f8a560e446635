// The same grid as a real table, for screen readers, for copying, and for whoever likes numbers.
import { tokenTitle } from "../shared/a11y";
import { element } from "../shared/dom";
import { brief, measureName, precise } from "../shared/measure";
import { isDifference } from "./comparison";
import { type Frame, scaleOf, shown, valueAt } from "./grid";
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
  const unit = measureName(frame);
  return frame.kinds.map((kind) => {
    const caption = element(
      "caption",
      {},
      `${panelTitle(frame, kind)}: ${unit} of the answer by token and layer.${between(kind)} A dash means not computed.`,
    );
    const head = element("tr", {}, element("th", { scope: "col" }, "token"));
    head.append(...layers.map((layer) => element("th", { scope: "col" }, `layer ${layer}`)));
    const body = element("tbody");
    frame.tokens.forEach((token, index) => {
      const name = element("th", { scope: "row" }, `${tokenTitle(token.text)}${token.subject ? " *" : ""}`);
      const row = element("tr", token.subject ? { class: "fl-subject" } : {}, name);
      for (const layer of layers) {
        const found = valueAt(frame, { kind, token: index, layer });
        const words = found ? precise(frame, found.value) : "–";
        row.append(
          found?.estimated ? element("td", { class: "fl-guess" }, `${words} (estimate)`) : element("td", {}, words),
        );
      }
      body.append(row);
    });
    return element("table", { "data-kind": kind }, caption, element("thead", {}, head), body);
  });
}

/** Of a grid too large to read: the cells farthest from the corrupted run. */
function strongest(frame: Frame, kind: string): HTMLElement {
  const size = frame.tokens.length * frame.layers;
  const first = frame.kinds.indexOf(kind) * size;
  const from = scaleOf(frame, kind).diverging ? 0 : frame.low;
  const found = Array.from({ length: size }, (_, i) => ({ i, value: shown(frame, first + i) }))
    .flatMap(({ i, value }) => (value ? [{ i, ...value }] : []))
    .sort((a, b) => Math.abs(b.value - from) - Math.abs(a.value - from))
    .slice(0, STRONGEST);
  const head = element("tr");
  head.append(...["token", "layer", measureName(frame)].map((name) => element("th", { scope: "col" }, name)));
  const body = element("tbody");
  for (const { i, value, estimated } of found) {
    const token = Math.floor(i / frame.layers);
    const piece = frame.tokens[token];
    body.append(
      element(
        "tr",
        piece?.subject ? { class: "fl-subject" } : {},
        element("th", { scope: "row" }, `${token}: ${tokenTitle(piece?.text ?? "")}`),
        element("td", {}, String(i % frame.layers)),
        element("td", {}, estimated ? `${precise(frame, value)} (estimate)` : precise(frame, value)),
      ),
    );
  }
  const words = `${panelTitle(frame, kind)}: the ${found.length} cells farthest from the corrupted run, of ${size}. Export has all of them.`;
  return element("table", { "data-kind": kind }, element("caption", {}, words), element("thead", {}, head), body);
}
