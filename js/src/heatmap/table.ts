// The same grid as a real table, for screen readers, for copying, and for whoever likes numbers.
import { element } from "../shared/dom";
import { kindTitle } from "../shared/kinds";
import { brief, measureName, precise } from "../shared/measure";
import { type Frame, valueAt } from "./grid";

export function tables(frame: Frame): HTMLElement[] {
  const layers = Array.from({ length: frame.layers }, (_, layer) => layer);
  const between =
    Number.isFinite(frame.low) && Number.isFinite(frame.high)
      ? ` Corrupted run ${brief(frame, frame.low)}, clean run ${brief(frame, frame.high)}.`
      : "";
  const unit = measureName(frame);
  return frame.kinds.map((kind) => {
    const caption = element(
      "caption",
      {},
      `${kindTitle(kind)}: ${unit} of the answer by token and layer.${between} A dash means not computed.`,
    );
    const head = element("tr", {}, element("th", { scope: "col" }, "token"));
    head.append(...layers.map((layer) => element("th", { scope: "col" }, `layer ${layer}`)));
    const body = element("tbody");
    frame.tokens.forEach((token, index) => {
      const name = element("th", { scope: "row" }, token.subject ? `${token.text} *` : token.text);
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
