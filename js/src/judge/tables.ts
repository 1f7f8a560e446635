// The checks as tables, each behind a fold: prompts by role, and how the model goes on.
import { percent, tokenName } from "../shared/a11y";
import { element } from "../shared/dom";
import { row, table } from "../shared/table";
import { isolated } from "../shared/visible";
import { heldWords, type JudgedRow, type Written } from "./judgement";

export function group(role: string, title: string, rows: JudgedRow[], open: boolean): HTMLElement {
  const body = rows.map((one) => row(isolated(one.prompt), [answerCell(one, "before"), answerCell(one, "after")]));
  return fold(
    role,
    open,
    [element("span", { class: "fl-role" }, title), element("span", {}, heldWords(role, rows))],
    compared("prompt", body),
  );
}

function answerCell(row: JudgedRow, when: "before" | "after"): HTMLElement {
  const { top, old, fresh } = row[when];
  const changed = when === "after" && row.before.top !== top;
  // A prompt whose old answer is the new object has one probability, not two.
  const shares = row.old === row.new ? [share(row.old, old)] : [share(row.old, old), share(row.new, fresh)];
  return element(
    "td",
    {},
    element("span", { class: changed ? "fl-answer fl-changed" : "fl-answer" }, tokenName(top)),
    element("span", { class: "fl-shares" }, shares.join(" · ")),
  );
}

/** An object with its probability, on one line. */
function share(object: string, probability: number): string {
  return `${isolated(object)} ${percent(probability)}`.replaceAll(" ", "\u00a0");
}

export function continuations(texts: Written[], open: boolean): HTMLElement {
  const body = texts.map((one) =>
    row(`${isolated(one.prompt)}\u00a0…`, [
      element("td", { dir: "auto" }, one.before),
      element("td", { dir: "auto", class: one.before === one.after ? "" : "fl-changed" }, one.after),
    ]),
  );
  const same = texts.filter((one) => one.before === one.after).length;
  return fold(
    "texts",
    open,
    [
      element("span", { class: "fl-role" }, "continuations"),
      element("span", {}, `${same} of ${texts.length} as before`),
    ],
    compared("the model goes on", body),
  );
}

function compared(what: string, rows: HTMLElement[]): HTMLElement {
  return table({}, "", [what, "before", "now"], element("tbody", {}, ...rows));
}

function fold(role: string, open: boolean, summary: HTMLElement[], body: HTMLElement): HTMLElement {
  return element("details", { open, "data-role": role }, element("summary", {}, ...summary), body);
}
