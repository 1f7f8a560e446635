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
import { EditStack } from "./shared/edit-stack";
import { fileButton } from "./shared/file-button";
import { dispatchGesture } from "./shared/gestures-event";
import { MethodFold } from "./shared/method-fold";
import { lensOf, list, number, onTrait, problem, type RenderProps, record, text } from "./shared/model";
import { layerWords, RUNNING, spelling } from "./shared/panel-sentences";
import { pieceOf } from "./shared/pieces";
import { SyncedText } from "./shared/synced-text";
import { followTheme } from "./shared/theme";

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
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "e.g. Paris",
    "data-testid": "factlens-target",
  });
  const layer = element("span", { class: "fl-at-layer", "data-testid": "factlens-edit-layer" });
  const apply = element("button", { type: "button", class: "fl-primary", "data-testid": "factlens-apply" }, "Apply");
  const undo = element("button", { type: "button", "data-testid": "factlens-undo" }, "Undo");
  const tokens = element("span", { class: "fl-tokens" });
  const tokensNote = element("span", { class: "fl-tokens-name" });
  const spelt = element(
    "div",
    { class: "fl-tokens-row fl-spelt", "data-testid": "factlens-target-tokens" },
    tokens,
    tokensNote,
  );
  const status = element("p", { class: "fl-status", role: "status", "data-testid": "factlens-edit-status" });
  const redo = element("button", { type: "button", "data-testid": "factlens-redo" }, "Redo");
  const gesture = (name: string, payload: Record<string, unknown> = {}) =>
    dispatchGesture(lensOf(model), name, payload);
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
      layer,
    ),
    spelt,
    element("div", { class: "fl-buttons" }, apply, undo, redo, load, file),
    fold.root,
    status,
    banner.root,
    stack.root,
  );
  el.append(root);

  const sync = new SyncedText(
    () => target.value,
    (value) => {
      target.value = value;
    },
  );
  let chosenLayer: number | null = null;
  let idle = true;
  let count = 0;
  let again = "";
  let asking: ReturnType<typeof setTimeout> | undefined;

  /** The tokens of what stands in the box; nothing while Python's are those of something else. */
  function updateTokens(): void {
    const known = record(record(model.get("state")).target_tokens);
    const current = target.value.trim() !== "" && text(known.text) === target.value;
    const pieces = current ? list(known.pieces).map(text) : [];
    const key = JSON.stringify(pieces);
    if (tokens.dataset.key !== key) {
      tokens.dataset.key = key;
      tokens.replaceChildren(...pieces.map(pieceOf));
    }
    setText(tokensNote, current ? spelling(pieces.length, number(known.count) ?? pieces.length) : "");
  }

  function ask(): void {
    clearTimeout(asking);
    asking = setTimeout(() => {
      if (!signal.aborted && target.value.trim() !== "") gesture("spell", { target: target.value });
    }, SPELL_MS);
  }

  function updateButtons(): void {
    setAvailable(apply, idle && target.value.trim() !== "", idle ? "Write a new object first." : RUNNING);
    setAvailable(undo, idle && count > 0, idle ? "There is no edit to undo." : RUNNING);
    setAvailable(redo, idle && again !== "", idle ? "There is no edit to redo." : RUNNING);
    if (idle && again !== "") redo.title = `Put back: ${again}`;
    setAvailable(load, idle, RUNNING);
  }

  function update(): void {
    const state = record(model.get("state"));
    const now = text(state.status) || "idle";
    idle = now === "idle";
    chosenLayer = number(state.layer);
    setAttributes(root, { "data-status": now, "aria-busy": now === "editing" ? "true" : "false" });

    setText(subject, text(state.subject));
    const says = text(state.answer);
    setText(answer, says ? ` It now completes the prompt with “${tokenName(says)}”.` : "");
    if (text(state.subject)) sentence.replaceChildren("Change what the model says about ", subject, ".", answer);
    else sentence.replaceChildren("Trace a fact first, then change it here.");

    sync.accept(text(state.target));
    const layers = list(state.edit_layers).flatMap((at) => number(at) ?? []);
    setText(layer, layerWords(layers, chosenLayer !== null));
    fold.update(state);
    setText(status, STATUS[now] ?? "");
    show(status, status.textContent !== "");

    const titles = list(state.methods).map((entry) => record(entry));
    count = stack.update(state.edits, idle, new Map(titles.map(({ name, title }) => [text(name), text(title)])));
    again = text(state.redo);
    banner.update(problem(state.error));
    updateButtons();
    updateTokens();
  }

  function submit(): void {
    if (!isAvailable(apply)) return;
    sync.submit();
    clearTimeout(asking); // Python spells what it accepts
    gesture("apply", { target: target.value, layer: chosenLayer, settings: fold.settings() });
  }

  target.addEventListener(
    "input",
    () => {
      sync.input();
      updateButtons();
      updateTokens();
      ask();
    },
    { signal },
  );
  onEnter(target, submit, signal);
  apply.addEventListener("click", submit, { signal });
  const onClick = (button: HTMLButtonElement, act: () => void) => {
    button.addEventListener("click", () => isAvailable(button) && act(), { signal });
  };
  onClick(undo, () => gesture("undo"));
  onClick(redo, () => gesture("redo"));
  onTrait(model, "state", update, signal);
  followTheme(root, () => {}, signal);
  update();

  signal.addEventListener("abort", () => clearTimeout(asking), { once: true });
  return tearDown(end, root);
}

export default { render };
