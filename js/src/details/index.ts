// What the selected cell knows: the answers read from it in the three runs, and which heads or neurons wrote there.
//
// Everything arrives ready-made; the panel only lays it out. Tokens are other people's strings and stay text.
import { element, OWN_KEYS, redraw, say, setAttributes, setText, show } from "../shared/dom";
import { decodeMetric } from "../shared/measure";
import { text } from "../shared/model";
import { panel, statusLine } from "../shared/panel";
import { tableFiles } from "../shared/table-files";
import { cellTitle, decodeChosen, decodeDetails, scoreLine, whatIsRead } from "./cell";
import { answersTable, sharesTables } from "./tables";

const OUTDATED =
  "The model has other weights now than when this was traced. Trace again, or bring them back, to read its cells.";

export default panel("details", "What the selected cell knows", ({ root, banner, signal, gesture }) => {
  const title = element("span", { class: "fl-cell-title", testid: "details-cell" });
  const status = statusLine("details-status");
  const score = element("p", { class: "fl-score", testid: "details-score" });
  const read = element("p", { class: "fl-note", testid: "details-read" });
  const tables = element("div", { class: "fl-cell-tables" });
  const files = tableFiles("details", gesture, signal);
  const content = element("div", { class: "fl-cell-found" }, score, read, tables, files);
  const body = element("div", { class: "fl-cell-body" }, status, banner.root, content);
  const fold = element(
    "details",
    { open: true },
    element("summary", { ...OWN_KEYS }, element("span", { class: "fl-panel-name" }, "What the cell knows"), title),
    body,
  );

  function update(state: Record<string, unknown>): boolean {
    const cell = decodeChosen(state.cell);
    const details = cell && decodeDetails(state.details, cell.site.head);
    const reading = state.reading === true;
    setAttributes(root, { "data-ready": String(details !== null) });
    // Between two cells the panel keeps its height: what stands below must not jump.
    if (reading && !content.hidden && fold.open) body.style.minHeight = `${body.offsetHeight}px`;
    if (!reading) body.style.minHeight = "";

    setText(title, cell ? cellTitle(cell) : "");
    if (details) say(status, state.outdated === true ? "Read with other weights than the model has now." : "");
    else if (state.traced !== true) say(status, "Trace a fact, then select or pin a cell to read it.");
    else if (!cell) say(status, "Select or pin a cell of the heatmap to read it.");
    else if (reading) say(status, "Reading the cell…");
    else if (state.error) say(status, "");
    else if (state.outdated === true) say(status, OUTDATED);
    else say(status, "The cell is read when the running work is done.");
    show(content, details !== null);
    if (cell && details) {
      const measure = { metric: decodeMetric(state.metric), contrast: text(state.contrast) };
      setText(score, scoreLine(details, measure));
      setText(read, whatIsRead(cell));
      redraw(tables, state.details, () => [answersTable(details), ...sharesTables(details, cell)]);
    }
    return reading;
  }

  return { children: [fold], update };
});
