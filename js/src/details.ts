// What the selected cell knows: the answers read from it in the three runs, and which heads or neurons wrote there.
//
// Everything arrives ready-made; the panel only lays it out. Tokens are other people's strings and stay text.
import { answerName, percent, tokenParts, tokenTitle } from "./shared/a11y";
import { Banner } from "./shared/banner";
import {
  type Answer,
  type CellDetails,
  type ChosenCell,
  cellTitle,
  decodeChosen,
  decodeDetails,
  headsCaption,
  neuronsCaption,
  orDash,
  RUNS,
  rankWords,
  type Share,
  scoreLine,
  whatIsRead,
} from "./shared/cell-details";
import { element, OWN_KEYS, setAttributes, setText, show, tearDown } from "./shared/dom";
import { decodeMetric } from "./shared/measure";
import { onTrait, problem, type RenderProps, record, text } from "./shared/model";
import { followTheme } from "./shared/theme";

const OUTDATED =
  "The model has other weights now than when this was traced. Trace again, or bring them back, to read its cells.";

function render({ model, el }: RenderProps): () => void {
  const end = new AbortController();
  const { signal } = end;

  const title = element("span", { class: "fl-cell-title", "data-testid": "factlens-details-cell" });
  const status = element("p", { class: "fl-status", role: "status", "data-testid": "factlens-details-status" });
  const banner = new Banner("factlens-details-error");
  const score = element("p", { class: "fl-score", "data-testid": "factlens-details-score" });
  const read = element("p", { class: "fl-note", "data-testid": "factlens-details-read" });
  const tables = element("div", { class: "fl-cell-tables" });
  const found = element("div", { class: "fl-cell-found" }, score, read, tables);
  const body = element("div", { class: "fl-cell-body" }, status, banner.root, found);
  const fold = element(
    "details",
    { open: true },
    element("summary", { ...OWN_KEYS }, element("span", { class: "fl-panel-name" }, "What the cell knows"), title),
    body,
  );
  const root = element(
    "div",
    {
      class: "factlens fl-cell-details",
      role: "region",
      "aria-label": "What the selected cell knows",
      "data-testid": "factlens-details",
      ...OWN_KEYS,
    },
    fold,
  );
  el.append(root);
  let drawn = "";

  function update(): void {
    const state = record(model.get("state"));
    const cell = decodeChosen(state.cell);
    const details = cell && decodeDetails(state.details);
    const reading = state.reading === true;
    const error = problem(state.error);
    setAttributes(root, { "aria-busy": reading ? "true" : "false", "data-ready": details ? "true" : "false" });
    // Between two cells the panel keeps its height: what stands below must not jump.
    if (reading && !found.hidden && fold.open) body.style.minHeight = `${body.offsetHeight}px`;
    if (!reading) body.style.minHeight = "";

    setText(title, cell ? cellTitle(cell) : "");
    banner.update(error);
    if (details) setText(status, state.outdated === true ? "Read with other weights than the model has now." : "");
    else if (state.traced !== true) setText(status, "Trace a fact, then select or pin a cell to read it.");
    else if (!cell) setText(status, "Select or pin a cell of the heatmap to read it.");
    else if (reading) setText(status, "Reading the cell…");
    else if (error) setText(status, "");
    else if (state.outdated === true) setText(status, OUTDATED);
    else setText(status, "The cell is read when the running work is done.");
    show(status, status.textContent !== "");
    show(found, details !== null);
    if (!cell || !details) return;

    const measure = { metric: decodeMetric(state.metric), contrast: text(state.contrast) };
    setText(score, scoreLine(details, measure));
    setText(read, whatIsRead(cell));
    // Progress elsewhere must not build the tables anew under somebody who is reading or copying them.
    const key = JSON.stringify(state.details);
    if (key === drawn) return;
    drawn = key;
    tables.replaceChildren(answersTable(details), ...sharesTables(details, cell));
  }

  onTrait(model, "state", update, signal);
  followTheme(root, () => {}, signal);
  update();
  return tearDown(end, root);
}

/** One column for each run: its top answers, then where the answer is among them, and how near the state points. */
function answersTable(details: CellDetails): HTMLElement {
  const answer = answerName(details.shown, details.part);
  const rows = Math.max(...RUNS.map((run) => details.lens[run].length));
  const body = element("tbody");
  for (let i = 0; i < rows; i += 1) {
    const cells = RUNS.map((run) => answerCell(details.lens[run][i], details));
    body.append(element("tr", {}, element("th", { scope: "row" }, String(i + 1)), ...cells));
  }
  const foot = element(
    "tbody",
    { class: "fl-sums" },
    row(
      answer,
      RUNS.map((run) => rankWords(details.rank[run], details.probability[run])),
    ),
    row(
      `cosine to ${answer}`,
      RUNS.map((run) => orDash(details.cosine[run])),
    ),
  );
  const found = table("factlens-details-answers", "Next tokens read from there, by run", ["", ...RUNS], [body, foot]);
  found.classList.add("fl-lens-table");
  return found;
}

function answerCell(answer: Answer | undefined, { answerId }: CellDetails): HTMLElement {
  if (!answer) return element("td", {}, "–");
  const name = element("span", { class: "fl-token", dir: "auto", title: tokenTitle(answer.text) });
  for (const part of tokenParts(answer.text)) {
    name.append(element("span", part.dim ? { class: "fl-dim" } : {}, part.text));
  }
  const bar = element("span", { class: "fl-share", "aria-hidden": "true" });
  bar.style.width = `${Math.min(100, Math.max(0, answer.probability * 100))}%`;
  const own = answerId !== null && answer.id === answerId;
  return element(
    "td",
    { class: own ? "fl-lens fl-own" : "fl-lens" },
    element("span", { class: "fl-lens-line" }, name, element("span", {}, percent(answer.probability))),
    element("span", { class: "fl-share-track", "aria-hidden": "true" }, bar),
  );
}

function sharesTables(details: CellDetails, cell: ChosenCell): HTMLElement[] {
  const { heads, neurons, total, kind } = details;
  const whole = total ? [orDash(total.clean), orDash(total.corrupted)] : null;
  if (heads) {
    const own = (share: Share) => kind === `head.${share.index}`;
    const body = element(
      "tbody",
      {},
      ...heads.map((share) => row(`head ${share.index}`, share.values.map(orDash), own(share) ? "fl-own" : "")),
    );
    const sums = whole ? [element("tbody", { class: "fl-sums" }, row("all of attention", whole))] : [];
    return [table("factlens-details-heads", headsCaption(details, cell), ["", "clean", "corrupted"], [body, ...sums])];
  }
  if (neurons) {
    const body = element(
      "tbody",
      {},
      ...neurons.map((share) => row(`neuron ${share.index}`, share.values.map(orDash))),
    );
    const columns = ["", "clean activation", "corrupted activation", "brings when clean"];
    const found = [table("factlens-details-neurons", neuronsCaption(details, cell), columns, [body])];
    if (total) {
      const words = `All of this MLP brings ${orDash(total.clean)} in the clean run, ${orDash(total.corrupted)} corrupted.`;
      found.push(element("p", { class: "fl-note" }, words));
    }
    return found;
  }
  return [];
}

function table(testid: string, caption: string, columns: string[], bodies: HTMLElement[]): HTMLElement {
  const head = element("tr");
  for (const column of columns) {
    head.append(column ? element("th", { scope: "col" }, column) : element("td"));
  }
  return element(
    "table",
    { "data-testid": testid },
    element("caption", {}, caption),
    element("thead", {}, head),
    ...bodies,
  );
}

function row(name: string, cells: string[], className = ""): HTMLElement {
  return element(
    "tr",
    className ? { class: className } : {},
    element("th", { scope: "row" }, name),
    ...cells.map((cell) => element("td", {}, cell)),
  );
}

export default { render };
