// What a cell knows as tables: the answers read from it, and the heads or neurons that wrote there.
import { answerName, percent, tokenTitle } from "../shared/a11y";
import { element } from "../shared/dom";
import { pieceOf } from "../shared/pieces";
import { row, table } from "../shared/table";
import {
  type Answer,
  type CellDetails,
  type ChosenCell,
  headsCaption,
  neuronsCaption,
  orDash,
  RUNS,
  rankWords,
  type Share,
} from "./cell";

/** One column for each run: its top answers, then where the answer is among them, and how near the state points. */
export function answersTable(details: CellDetails): HTMLElement {
  const answer = answerName(details.shown, details.part);
  const rows = Math.max(...RUNS.map((run) => details.lens[run].length));
  const body = element("tbody");
  for (let i = 0; i < rows; i += 1) {
    const cells = RUNS.map((run) => answerCell(details.lens[run][i], details));
    body.append(row(String(i + 1), cells));
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
  const attributes = { class: "fl-lens-table", testid: "details-answers" };
  return table(attributes, "Next tokens read from there, by run", ["", ...RUNS], body, foot);
}

function answerCell(answer: Answer | undefined, { answerId }: CellDetails): HTMLElement {
  if (!answer) return element("td", {}, "–");
  const name = pieceOf(answer.text, "fl-token");
  name.title = tokenTitle(answer.text);
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

export function sharesTables(details: CellDetails, cell: ChosenCell): HTMLElement[] {
  const { heads, neurons, total } = details;
  const whole = total ? [orDash(total.clean), orDash(total.corrupted)] : null;
  if (heads) {
    const own = (share: Share) => share.index === cell.site.head;
    const body = element(
      "tbody",
      {},
      ...heads.map((share) => row(`head ${share.index}`, share.values.map(orDash), own(share) ? "fl-own" : "")),
    );
    const sums = whole ? [element("tbody", { class: "fl-sums" }, row("all of attention", whole))] : [];
    const attributes = { testid: "details-heads" };
    return [table(attributes, headsCaption(details, cell), ["", "clean", "corrupted"], body, ...sums)];
  }
  if (neurons) {
    const body = element(
      "tbody",
      {},
      ...neurons.map((share) => row(`neuron ${share.index}`, share.values.map(orDash))),
    );
    const columns = ["", "clean activation", "corrupted activation", "brings when clean"];
    const attributes = { testid: "details-neurons" };
    const tables: HTMLElement[] = [table(attributes, neuronsCaption(details, cell), columns, body)];
    if (total) {
      const words = `All of this MLP brings ${orDash(total.clean)} in the clean run, ${orDash(total.corrupted)} corrupted.`;
      tables.push(element("p", { class: "fl-note" }, words));
    }
    return tables;
  }
  return [];
}
