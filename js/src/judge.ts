// What else an edit has changed: probes by role, prompts of the user's own, and continuations, before and after.
import { percent, tokenName } from "./shared/a11y";
import { Banner } from "./shared/banner";
import {
  element,
  isAvailable,
  OWN_KEYS,
  onEnter,
  setAttributes,
  setAvailable,
  setText,
  show,
  tearDown,
  uniqueId,
} from "./shared/dom";
import { dispatchGesture } from "./shared/gestures-event";
import { decodeJudgement, heldWords, type JudgedRow, rowsByRole, type Written } from "./shared/judgement";
import { lensOf, list, number, onTrait, problem, type RenderProps, record, text } from "./shared/model";
import { RUNNING } from "./shared/panel-sentences";
import { followTheme } from "./shared/theme";
import { isolated } from "./shared/visible";

function render({ model, el }: RenderProps): () => void {
  const end = new AbortController();
  const { signal } = end;
  const gesture = (name: string, payload: Record<string, unknown> = {}) =>
    dispatchGesture(lensOf(model), name, payload);

  const check = element("button", { type: "button", "data-testid": "factlens-check" }, "Check what else changed");
  const status = element("p", { class: "fl-status", role: "status", "data-testid": "factlens-judge-status" });
  const banner = new Banner("factlens-judge-error");
  const found = element("div", { class: "fl-judged", "data-testid": "factlens-judged" });
  const id = uniqueId("own-prompt");
  const prompt = element("input", {
    id,
    type: "text",
    dir: "auto",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "a prompt of your own",
    "data-testid": "factlens-own-prompt",
  });
  const add = element("button", { type: "button", "data-testid": "factlens-add-prompt" }, "Add");
  const own = element("ul", { class: "fl-own", "data-testid": "factlens-own" });
  const root = element(
    "div",
    {
      class: "factlens fl-judge",
      role: "region",
      "aria-label": "What else changed",
      "data-testid": "factlens-judge",
      ...OWN_KEYS,
    },
    element("div", { class: "fl-panel-head" }, element("span", { class: "fl-panel-name" }, "Judge"), check),
    status,
    banner.root,
    found,
    element(
      "div",
      { class: "fl-form" },
      element("div", { class: "fl-field" }, element("label", { for: id }, "Also ask"), prompt),
      element("div", { class: "fl-buttons" }, add),
    ),
    own,
  );
  el.append(root);

  let drawn = "";
  let drawnOwn = "";
  let mine: string[] = [];

  function update(): void {
    const state = record(model.get("state"));
    const now = text(state.status) || "idle";
    const idle = now === "idle";
    const edits = number(state.edits) ?? 0;
    setAttributes(root, { "data-status": now, "aria-busy": now === "judging" ? "true" : "false" });
    setAvailable(check, idle && edits > 0, idle ? "Edit a fact first." : RUNNING);
    banner.update(problem(state.error));
    const judgement = decodeJudgement(state.judgement);
    if (now === "judging") setText(status, "asking, before and after …");
    else if (judgement && state.outdated === true)
      setText(status, "Checked with other weights than the model has now.");
    else setText(status, judgement || edits > 0 ? "" : "Edit a fact, then see here what else changed.");
    show(status, status.textContent !== "");

    const key = JSON.stringify([state.judgement, state.roles]);
    if (key !== drawn) {
      drawn = key;
      const open = new Set([...found.querySelectorAll("details[open]")].map((fold) => fold.getAttribute("data-role")));
      const titles = new Map(list(state.roles).map((role) => [text(record(role).name), text(record(role).title)]));
      const groups = judgement ? rowsByRole(judgement.rows, [...titles.keys()]) : [];
      found.replaceChildren(
        ...groups.map(({ role, rows }) => group(role, titles.get(role) ?? role, rows, open.has(role))),
        ...(judgement ? [continuations(judgement.texts, open.has("texts"))] : []),
      );
    }
    mine = list(state.own).map(text);
    if (JSON.stringify(mine) !== drawnOwn) {
      drawnOwn = JSON.stringify(mine);
      own.replaceChildren(...mine.map(ownItem));
    }
    show(own, mine.length > 0);
    updateAdd();
  }

  function updateAdd(): void {
    setAvailable(add, prompt.value.trim() !== "", "Write a prompt first.");
  }

  function ownItem(asked: string): HTMLLIElement {
    const remove = element(
      "button",
      { type: "button", class: "fl-small", "aria-label": `Take out: ${asked}` },
      "Take out",
    );
    remove.addEventListener("click", () => gesture("remove_prompt", { prompt: asked }));
    return element("li", {}, isolated(asked), remove);
  }

  function submit(): void {
    if (!isAvailable(add)) return;
    gesture("add_prompt", { prompt: prompt.value });
    prompt.value = "";
    updateAdd();
  }

  check.addEventListener("click", () => isAvailable(check) && gesture("judge"), { signal });
  add.addEventListener("click", submit, { signal });
  prompt.addEventListener("input", updateAdd, { signal });
  onEnter(prompt, submit, signal);
  onTrait(model, "state", update, signal);
  followTheme(root, () => {}, signal);
  update();

  return tearDown(end, root);
}

function group(role: string, title: string, rows: JudgedRow[], open: boolean): HTMLElement {
  const head = ["prompt", "before", "now"].map((name) => element("th", { scope: "col" }, name));
  const body = rows.map((row) =>
    element("tr", {}, element("th", { scope: "row" }, isolated(row.prompt)), said(row, "before"), said(row, "after")),
  );
  return fold(
    role,
    open || rows.length === 1,
    [element("span", { class: "fl-role" }, title), element("span", {}, heldWords(role, rows))],
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)),
  );
}

function said(row: JudgedRow, when: "before" | "after"): HTMLElement {
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

function continuations(texts: Written[], open: boolean): HTMLElement {
  const head = ["the model goes on", "before", "now"].map((name) => element("th", { scope: "col" }, name));
  const body = texts.map((one) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, `${isolated(one.prompt)}\u00a0…`),
      element("td", { dir: "auto" }, one.before),
      element("td", { dir: "auto", class: one.before === one.after ? "" : "fl-changed" }, one.after),
    ),
  );
  const same = texts.filter((one) => one.before === one.after).length;
  return fold(
    "texts",
    open,
    [
      element("span", { class: "fl-role" }, "continuations"),
      element("span", {}, `${same} of ${texts.length} as before`),
    ],
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)),
  );
}

function fold(role: string, open: boolean, summary: HTMLElement[], body: HTMLElement): HTMLElement {
  return element("details", { open, "data-role": role }, element("summary", {}, ...summary), body);
}

export default { render };
