// The panel in which the chosen layer's MLP is edited, and edits are undone.
import { tokenName } from "./shared/a11y";
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
import { EditStack, named } from "./shared/edit-stack";
import { fileButton } from "./shared/file-button";
import { ForeignChange } from "./shared/foreign-change";
import { dispatchGesture } from "./shared/gestures-event";
import { MethodFold } from "./shared/method-fold";
import { lensOf, list, number, onTrait, problem, type RenderProps, record, text } from "./shared/model";
import { NamingButton } from "./shared/naming-button";
import { layerWords, RUNNING, spelling } from "./shared/panel-sentences";
import { pieceOf } from "./shared/pieces";
import { SyncedText } from "./shared/synced-text";
import { followTheme } from "./shared/theme";
import { isolated } from "./shared/visible";

/** So long after the last letter Python is asked for the tokens. */
const SPELL_MS = 200;

const STATUS: Record<string, string> = {
  editing: "computing the edit …",
  judging: "checking what else changed …",
  queued: "waiting for its turn …",
  stopping: "stopping …",
};

function render({ model, el }: RenderProps): () => void {
  const end = new AbortController();
  const { signal } = end;

  const subject = element("strong", {});
  const answer = element("span", {});
  const sentence = element("p", { class: "fl-sentence", "data-testid": "factlens-edit-sentence" });
  const id = uniqueId("target");
  const target = element("input", {
    id,
    type: "text",
    dir: "auto",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "e.g. Paris",
    "data-testid": "factlens-target",
  });
  const exactly = element("input", { type: "checkbox", "data-testid": "factlens-exactly" });
  const exactlyField = element(
    "label",
    { class: "fl-switch", title: "Take the new object just as it is written, with no space put in front of it" },
    exactly,
    "Exactly",
  );
  const layer = element("span", { class: "fl-at-layer", "data-testid": "factlens-edit-layer" });
  const apply = element("button", { type: "button", class: "fl-primary", "data-testid": "factlens-apply" }, "Apply");
  const tokens = element("span", { class: "fl-tokens" });
  const tokensNote = element("span", { class: "fl-tokens-name" });
  const spelt = element(
    "div",
    { class: "fl-tokens-row fl-spelt", "data-testid": "factlens-target-tokens" },
    tokens,
    tokensNote,
  );
  const remarks = element("div", {
    class: "fl-remarks",
    role: "status",
    hidden: true,
    "data-testid": "factlens-remarks",
  });
  const status = element("p", { class: "fl-status", role: "status", "data-testid": "factlens-edit-status" });
  const gesture = (name: string, payload: Record<string, unknown> = {}) =>
    dispatchGesture(lensOf(model), name, payload);
  const undo = new NamingButton("Undo", "factlens-undo", (key) => gesture("undo", { key }), signal);
  const redo = new NamingButton("Redo", "factlens-redo", (key) => gesture("redo", { key }), signal);
  const { button: load, input: file } = fileButton(
    "Load …",
    "factlens-load",
    (bytes) => gesture("load", { buffers: [bytes] }),
    signal,
  );
  const fold = new MethodFold((method) => gesture("method", { method }), signal);
  const stack = new EditStack({
    drop: (key) => gesture("drop", { key }),
    save: (key) => gesture("save", { key }),
  });
  const banner = new Banner("factlens-edit-error");
  const warning = new Banner("factlens-edit-warning", "notice");
  const onClick = (button: HTMLButtonElement, act: () => void) => {
    button.addEventListener("click", () => isAvailable(button) && act(), { signal });
  };
  const foreign = new ForeignChange((button, name) => onClick(button, () => gesture(name)));

  const root = element(
    "div",
    {
      class: "factlens fl-edit",
      role: "region",
      "aria-label": "Edit a fact",
      "data-testid": "factlens-edit",
      ...OWN_KEYS,
    },
    element("div", { class: "fl-panel-head" }, element("span", { class: "fl-panel-name" }, "Edit"), sentence),
    element(
      "div",
      { class: "fl-form" },
      element("div", { class: "fl-field fl-target" }, element("label", { for: id }, "New object"), target),
      exactlyField,
      layer,
    ),
    spelt,
    remarks,
    element("div", { class: "fl-buttons" }, apply, undo.button, redo.button, load, file),
    fold.root,
    status,
    foreign.root,
    banner.root,
    warning.root,
    stack.root,
  );
  el.append(root);

  const sync = new SyncedText(
    () => target.value,
    (value) => {
      target.value = value;
    },
  );
  let acceptedExactly = false;
  let chosenLayer: number | null = null;
  let idle = true;
  let asking: ReturnType<typeof setTimeout> | undefined;

  /** The tokens of what stands in the box; nothing while Python's are those of something else. */
  function updateTokens(): void {
    const known = record(record(model.get("state")).target_tokens);
    const current = isWritten() && text(known.text) === target.value && (known.exactly === true) === exactly.checked;
    const pieces = current ? list(known.pieces).map(text) : [];
    const key = JSON.stringify(pieces);
    if (tokens.dataset.key !== key) {
      tokens.dataset.key = key;
      tokens.replaceChildren(...pieces.map(pieceOf));
    }
    const why = text(known.why);
    setText(tokensNote, current ? why || spelling(pieces.length, number(known.count) ?? pieces.length) : "");
  }

  /** Is there a new object? White space is one only where it is meant exactly. */
  function isWritten(): boolean {
    return exactly.checked ? target.value !== "" : target.value.trim() !== "";
  }

  function ask(): void {
    clearTimeout(asking);
    asking = setTimeout(() => {
      if (!signal.aborted && isWritten()) gesture("spell", { target: target.value, exactly: exactly.checked });
    }, SPELL_MS);
  }

  function updateButtons(): void {
    setAvailable(apply, idle && isWritten(), idle ? "Write a new object first." : RUNNING);
    setAvailable(load, idle, RUNNING);
  }

  function update(): void {
    const state = record(model.get("state"));
    const now = text(state.status) || "idle";
    idle = now === "idle";
    chosenLayer = number(state.layer);
    setAttributes(root, { "data-status": now, "aria-busy": now === "editing" ? "true" : "false" });

    setText(subject, isolated(text(state.subject)));
    const says = text(state.answer);
    setText(answer, says ? ` It now completes the prompt with “${tokenName(says)}”.` : "");
    if (text(state.subject)) sentence.replaceChildren("Change what the model says about ", subject, ".", answer);
    else sentence.replaceChildren("Trace a fact first, then change it here.");

    sync.accept(text(state.target));
    if ((state.exactly === true) !== acceptedExactly) {
      acceptedExactly = state.exactly === true;
      exactly.checked = acceptedExactly;
    }
    const layers = list(state.edit_layers).flatMap((at) => number(at) ?? []);
    setText(layer, layerWords(layers, chosenLayer !== null));
    fold.update(state);
    const said = list(state.remarks).map(text);
    if (remarks.textContent !== said.join("")) {
      remarks.replaceChildren(...said.map((remark) => element("p", { class: "fl-remark" }, remark)));
    }
    show(remarks, said.length > 0);
    setText(status, STATUS[now] ?? "");
    show(status, status.textContent !== "");

    const titles = list(state.methods).map((entry) => record(entry));
    const newest = stack.update(state.edits, idle, new Map(titles.map(({ name, title }) => [text(name), text(title)])));
    undo.update(newest, idle, idle ? "There is no edit to undo." : RUNNING);
    redo.update(named(state.redo), idle, idle ? "There is no edit to redo." : RUNNING);
    foreign.update(text(state.foreign), idle);
    banner.update(problem(state.error));
    warning.update(problem(state.warning));
    updateButtons();
    updateTokens();
  }

  function submit(): void {
    if (!isAvailable(apply)) return;
    sync.submit();
    clearTimeout(asking); // Python spells what it accepts
    const wanted = { target: target.value, exactly: exactly.checked };
    gesture("apply", { ...wanted, layer: chosenLayer, settings: fold.settings() });
  }

  function written(): void {
    updateButtons();
    updateTokens();
    ask();
  }

  target.addEventListener(
    "input",
    () => {
      sync.input();
      written();
    },
    { signal },
  );
  exactly.addEventListener("change", written, { signal });
  onEnter(target, submit, signal);
  apply.addEventListener("click", submit, { signal });
  onTrait(model, "state", update, signal);
  followTheme(root, () => {}, signal);
  update();

  signal.addEventListener("abort", () => clearTimeout(asking), { once: true });
  return tearDown(end, root);
}

export default { render };
