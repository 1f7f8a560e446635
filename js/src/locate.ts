// The panel in which a fact is written down and traced.
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
import { fileButton } from "./shared/file-button";
import { dispatchGesture, onWaiting } from "./shared/gestures-event";
import { decodeMetric } from "./shared/measure";
import { lensOf, list, number, onTrait, problem, type Reading, type RenderProps, record, text } from "./shared/model";
import { answerLine, editsBadge, RUNNING } from "./shared/panel-sentences";
import { pieceOf } from "./shared/pieces";
import { PromptBox } from "./shared/prompt-box";
import { SyncedText } from "./shared/synced-text";
import { followTheme } from "./shared/theme";

const WAITING_TEXT = "The kernel is busy with another cell: your click waits for it.";

const OUTDATED = "Traced with other weights than the model has now.";

const STATUS: Record<string, string> = {
  queued: "Waiting for its turn …",
  tracing: "Tracing …",
  editing: "Editing …",
  judging: "Checking what else changed …",
  stopping: "Stopping …",
};

function render({ model, el }: RenderProps): () => void {
  const end = new AbortController();
  const { signal } = end;

  const modelLine = element("span", { class: "fl-model", "data-testid": "factlens-model" });
  const badge = element("span", { class: "fl-badge", hidden: true, "data-testid": "factlens-edited-badge" });
  const prompt = new PromptBox("Prompt", "factlens-prompt", "The Space Needle is in downtown", signal);
  const subject = input("Subject", "factlens-subject", "The Space Needle");
  const chat = element("input", { type: "checkbox", "data-testid": "factlens-chat" });
  const chatField = element(
    "label",
    { class: "fl-switch", title: "Ask in a chat, in the words of the model's own template" },
    chat,
    "Chat",
  );
  const trace = element("button", { type: "button", class: "fl-primary", "data-testid": "factlens-trace" }, "Trace");
  const stop = element("button", { type: "button", "data-testid": "factlens-stop" }, "Stop");
  const save = element("button", { type: "button", "data-testid": "factlens-save-trace" }, "Save trace");
  const { button: open, input: file } = fileButton(
    "Open trace …",
    "factlens-open-trace",
    (bytes) => dispatchGesture(lensOf(model), "open", { buffers: [bytes] }),
    signal,
  );
  const tokensName = element("span", { class: "fl-tokens-name" });
  const tokens = element("span", { class: "fl-tokens" });
  const tokensRow = element("div", { class: "fl-tokens-row", "data-testid": "factlens-tokens" }, tokensName, tokens);
  const bar = element("span", { class: "fl-progress-bar" });
  const progress = element("div", {
    class: "fl-progress",
    role: "progressbar",
    "aria-label": "Progress",
    "aria-valuemin": 0,
    "aria-valuemax": 100,
    "data-testid": "factlens-progress",
  });
  progress.append(bar);
  const message = element("span", { class: "fl-message", "data-testid": "factlens-message" });
  const progressRow = element("div", { class: "fl-progress-row", hidden: true }, progress, message);
  const answer = element("p", { class: "fl-answer", "data-testid": "factlens-answer" });
  const outdated = element("p", { class: "fl-status", role: "status", "data-testid": "factlens-outdated" });
  const banner = new Banner("factlens-locate-error");
  const readings = element("div", { class: "fl-offers", hidden: true, "data-testid": "factlens-readings" });
  const notes = element("div", { class: "fl-remarks", role: "status", hidden: true, "data-testid": "factlens-notes" });
  const waiting = element("p", { class: "fl-waiting", role: "status", "data-testid": "factlens-waiting" });

  const root = element(
    "div",
    {
      class: "factlens fl-locate",
      role: "region",
      "aria-label": "Locate a fact",
      "data-testid": "factlens-locate",
      ...OWN_KEYS,
    },
    element("div", { class: "fl-panel-head" }, element("span", { class: "fl-panel-name" }, "Locate"), modelLine, badge),
    element(
      "div",
      { class: "fl-form" },
      prompt.field,
      subject.field,
      chatField,
      element("div", { class: "fl-buttons" }, trace, stop, open, save, file),
    ),
    tokensRow,
    notes,
    // One line for all, and there from the start: what stands below does not jump when something begins or ends.
    element("div", { class: "fl-run-row" }, answer, outdated, progressRow),
    waiting,
    banner.root,
    readings,
  );
  el.append(root);

  const sync = {
    prompt: new SyncedText(
      () => prompt.value,
      (value) => {
        prompt.value = value;
      },
    ),
    subject: new SyncedText(
      () => subject.box.value,
      (value) => {
        subject.box.value = value;
      },
    ),
  };
  let status = "idle";
  let acceptedChat = false;

  function nameTokens(): void {
    const differs = sync.prompt.differs || sync.subject.differs || chat.checked !== acceptedChat;
    setText(tokensName, differs ? "Tokens of the last accepted prompt" : "Tokens");
  }

  function update(): void {
    const state = record(model.get("state"));
    status = text(state.status) || "idle";
    const running = status !== "idle";
    setText(modelLine, text(state.model));
    const edits = number(state.edits) ?? 0;
    setText(badge, editsBadge(edits));
    show(badge, edits > 0);

    sync.prompt.accept(text(state.prompt));
    sync.subject.accept(text(state.subject));
    if ((state.chat === true) !== acceptedChat) {
      acceptedChat = state.chat === true;
      chat.checked = acceptedChat;
    }
    show(chatField, state.chats === true);
    const pieces = list(state.pieces).map((piece) => {
      const fields = record(piece);
      return { text: text(fields.text), subject: fields.subject === true, template: fields.template === true };
    });
    drawNotes(list(state.notes).map(record));
    drawTokens(tokens, pieces);
    show(tokensRow, pieces.length > 0);
    nameTokens();

    setAvailable(trace, !running, RUNNING);
    setAvailable(stop, ["tracing", "queued", "editing", "judging"].includes(status), "Nothing is running.");
    setAvailable(open, !running, RUNNING);
    setAvailable(save, !running && state.traced === true, running ? RUNNING : "There is no trace to save.");
    setText(stop, status === "stopping" ? "Stopping …" : "Stop");
    setAttributes(root, { "data-status": status, "aria-busy": running ? "true" : "false" });

    const share = Math.min(1, Math.max(0, number(state.progress) ?? 0));
    const words = text(state.message) || STATUS[status] || "";
    bar.style.width = `${share * 100}%`;
    setAttributes(progress, { "aria-valuenow": Math.round(share * 100), "aria-valuetext": words || null });
    setText(message, words);
    show(progressRow, running);

    const measure = { metric: decodeMetric(state.metric), contrast: text(state.contrast) };
    const line = answerLine(
      text(state.answer),
      text(state.answer_part),
      number(state.high),
      number(state.low),
      measure,
    );
    setText(answer, line);
    show(answer, line !== "");
    setText(outdated, state.outdated === true && !running ? OUTDATED : "");
    show(outdated, outdated.textContent !== "");
    const wrong = problem(state.error);
    banner.update(wrong);
    drawReadings(wrong?.readings ?? []);
  }

  function submit(): void {
    ask({ prompt: sync.prompt.value, subject: sync.subject.value, chat: chat.checked });
  }

  function ask(what: { prompt: string; subject: string; chat: boolean; slot?: string | null }): void {
    if (!isAvailable(trace)) return;
    sync.prompt.submit();
    sync.subject.submit();
    dispatchGesture(lensOf(model), "trace", what);
  }

  /** What the user should know of how the prompt is read, each with a button for what was probably meant. */
  function drawNotes(said: Record<string, unknown>[]): void {
    const key = JSON.stringify(said);
    if (notes.dataset.key === key) return;
    notes.dataset.key = key;
    notes.replaceChildren(
      ...said.map((note) => {
        const line = element("p", { class: "fl-remark" }, text(note.text));
        const offer = record(note.offer);
        const other = { prompt: text(offer.prompt), subject: text(offer.subject) };
        if (other.prompt && (other.prompt !== sync.prompt.value || other.subject !== sync.subject.value)) {
          line.append(offerButton("Trace it so", () => ask({ ...other, chat: false })));
        }
        return line;
      }),
    );
    show(notes, said.length > 0);
  }

  /** A button for each way to read a prompt that could be read in several. */
  function drawReadings(ways: Reading[]): void {
    const key = JSON.stringify(ways);
    if (readings.dataset.key === key) return;
    readings.dataset.key = key;
    readings.replaceChildren(
      ...ways.map(({ shown, prompt: template, slot }) =>
        offerButton(`Read it as ${shown}`, () =>
          ask({ prompt: template, subject: subject.box.value, chat: chat.checked, slot }),
        ),
      ),
    );
    show(readings, ways.length > 0);
  }

  function offerButton(label: string, callback: () => void): HTMLElement {
    const button = element("button", { type: "button", class: "fl-small fl-offer" }, label);
    button.addEventListener("click", callback, { signal });
    return button;
  }

  for (const [name, { box }] of Object.entries({ prompt, subject })) {
    box.addEventListener(
      "input",
      () => {
        sync[name as "prompt" | "subject"].input();
        nameTokens();
      },
      { signal },
    );
    onEnter(box, submit, signal);
  }
  chat.addEventListener("change", nameTokens, { signal });
  trace.addEventListener("click", submit, { signal });
  stop.addEventListener(
    "click",
    () => {
      if (isAvailable(stop)) dispatchGesture(lensOf(model), "stop");
    },
    { signal },
  );
  save.addEventListener(
    "click",
    () => {
      if (isAvailable(save)) dispatchGesture(lensOf(model), "save_trace");
    },
    { signal },
  );
  onWaiting(lensOf(model), (now) => setText(waiting, now ? WAITING_TEXT : ""), signal);
  onTrait(model, "state", update, signal);
  followTheme(root, () => {}, signal);
  update();

  return tearDown(end, root);
}

/** The accepted prompt, token by token: the subject marked as one, and what a chat's template wrote dimmed. */
function drawTokens(box: HTMLElement, pieces: { text: string; subject: boolean; template: boolean }[]): void {
  const key = JSON.stringify(pieces);
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.replaceChildren(
    ...pieces.map((piece, index) => {
      const name = pieceOf(piece.text);
      if (piece.subject) name.classList.add("fl-subject");
      if (piece.template) name.classList.add("fl-template");
      if (piece.subject && !pieces[index - 1]?.subject) name.classList.add("fl-first");
      if (piece.subject && !pieces[index + 1]?.subject) name.classList.add("fl-end");
      if (piece.subject) name.prepend(element("span", { class: "fl-sr", dir: "ltr" }, "subject: "));
      return name;
    }),
  );
}

function input(label: string, testid: string, placeholder: string) {
  const id = uniqueId("input");
  const box = element("input", {
    id,
    type: "text",
    dir: "auto",
    autocomplete: "off",
    spellcheck: "false",
    placeholder,
    "data-testid": testid,
  });
  const field = element("div", { class: "fl-field" }, element("label", { for: id }, label), box);
  return { box, field };
}

export default { render };
