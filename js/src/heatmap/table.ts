// The same grid as a real table, for screen readers, for copying, and for whoever likes numbers.
import { decimal, percent } from "../shared/a11y";
import { element } from "../shared/dom";
import { type Frame, scoreAt } from "./grid";
import { kindTitle } from "./sentences";

export function tables(frame: Frame): HTMLElement[] {
  const layers = Array.from({ length: frame.layers }, (_, layer) => layer);
  const between =
    Number.isFinite(frame.low) && Number.isFinite(frame.high)
      ? ` Corrupted run ${percent(frame.low)}, clean run ${percent(frame.high)}.`
      : "";
  return frame.kinds.map((kind) => {
    const caption = element(
      "caption",
      {},
      `${kindTitle(kind)}: probability of the answer by token and layer.${between} A dash means not computed.`,
    );
    const head = element("tr", {}, element("th", { scope: "col" }, "token"));
    head.append(...layers.map((layer) => element("th", { scope: "col" }, `layer ${layer}`)));
    const body = element("tbody");
    frame.tokens.forEach((token, index) => {
      const name = element("th", { scope: "row" }, token.subject ? `${token.text} *` : token.text);
      const row = element("tr", token.subject ? { class: "fl-subject" } : {}, name);
      for (const layer of layers) {
        const score = scoreAt(frame, { kind, token: index, layer });
        row.append(element("td", {}, Number.isFinite(score) ? decimal(score) : "–"));
      }
      body.append(row);
    });
    return element("table", { "data-kind": kind }, caption, element("thead", {}, head), body);
  });
}
