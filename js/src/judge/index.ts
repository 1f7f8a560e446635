// What else an edit has changed: probes by role, prompts of the user's own, and continuations, before and after.
import { element, isAvailable, onClick, onEnter, redraw, say, setAttributes, setAvailable, show } from "../shared/dom";
import { field, textBox } from "../shared/field";
import { list, number, record, text } from "../shared/model";
import { head, panel, RUNNING, statusLine } from "../shared/panel";
import { tableFiles } from "../shared/table-files";
import { isolated } from "../shared/visible";
import { decodeJudgement, rowsByRole } from "./judgement";
import { continuations, group } from "./tables";

export default panel("judge", "What else changed", ({ banner, running, signal, gesture }) => {
  const check = element("button", { testid: "check" }, "Check what else changed");
  const status = statusLine("judge-status");
  const tables = element("div", { class: "fl-judged", testid: "judged" });
  const prompt = textBox("own-prompt", "a prompt of your own");
  const add = element("button", { testid: "add-prompt" }, "Add");
  const files = tableFiles("judgement", gesture, signal);
  const own = element("ul", { class: "fl-own", testid: "own" });

  function update(state: Record<string, unknown>, now: string): boolean {
    const idle = now === "idle";
    const edits = number(state.edits) ?? 0;
    const judgement = decodeJudgement(state.judgement);
    setAvailable(check, idle && edits > 0, idle ? "Edit a fact first." : RUNNING);
    if (now === "judging") say(status, "asking, before and after …");
    else if (judgement && state.outdated === true) say(status, "Checked with other weights than the model has now.");
    else say(status, judgement || edits > 0 ? "" : "Edit a fact, then see here what else changed.");

    setAttributes(status, { class: text(state.place) === "judge" ? "fl-sr" : "fl-status" });

    redraw(tables, [state.judgement, state.roles], () => {
      if (!judgement) return [];
      const folds = [...tables.querySelectorAll("details[open]")];
      const open = new Set(folds.map((fold) => fold.getAttribute("data-role")));
      const titles = new Map(list(state.roles).map((role) => [text(record(role).name), text(record(role).title)]));
      const groups = rowsByRole(judgement.rows, [...titles.keys()]);
      return [
        // Closed, so that all are in sight at once; a single one has nothing to make room for.
        ...groups.map(({ role, rows }) =>
          group(role, titles.get(role) ?? role, rows, open.has(role) || (groups.length === 1 && rows.length === 1)),
        ),
        continuations(judgement.texts, open.has("texts")),
      ];
    });
    show(files, judgement !== null);
    const prompts = list(state.own).map(text);
    redraw(own, prompts, () => prompts.map(ownItem));
    show(own, prompts.length > 0);
    updateAdd();
    return now === "judging";
  }

  function updateAdd(): void {
    setAvailable(add, prompt.value.trim() !== "", "Write a prompt first.");
  }

  function ownItem(asked: string): HTMLLIElement {
    const remove = element("button", { class: "fl-small", "aria-label": `Take out: ${asked}` }, "Take out");
    onClick(remove, () => gesture("remove_prompt", { prompt: asked }));
    return element("li", {}, isolated(asked), remove);
  }

  function submit(): void {
    if (!isAvailable(add)) return;
    gesture("add_prompt", { prompt: prompt.value });
    prompt.value = "";
    updateAdd();
  }

  onClick(check, () => gesture("judge"), signal);
  onClick(add, submit, signal);
  prompt.addEventListener("input", updateAdd, { signal });
  onEnter(prompt, submit, signal);
  const form = element(
    "div",
    { class: "fl-form" },
    field("Also ask", prompt),
    element("div", { class: "fl-buttons" }, add),
  );
  const children = [head("Judge", check), status, running.root, banner.root, tables, files, form, own];
  return { children, update };
});
