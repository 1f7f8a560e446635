// The panel in which a fact is written down and traced.
import { element, isAvailable, onClick, onEnter, say, setAvailable, setText, show } from "../shared/dom";
import { field, switchBox, textBox } from "../shared/field";
import { fileButton } from "../shared/file-button";
import { dispatchWriting, onWaiting } from "../shared/gestures-event";
import { decodeMetric } from "../shared/measure";
import { number, text } from "../shared/model";
import { head, panel, RUNNING, statusLine } from "../shared/panel";
import { SyncedText } from "../shared/synced-text";
import { Offers, type Question } from "./offers";
import { Progress } from "./progress";
import { PromptBox } from "./prompt-box";
import { answerLine, editsBadge } from "./sentences";
import { Tokens } from "./tokens";

const WAITING_TEXT = "The kernel is busy with another cell: your click waits for it.";

const OUTDATED = "Traced with other weights than the model has now.";

/** What Stop can stop. */
const STOPPABLE = ["tracing", "queued", "editing", "judging"];

export default panel("locate", "Locate a fact", ({ banner, lens, signal, gesture }) => {
  const modelLine = element("span", { class: "fl-model", testid: "model" });
  const badge = element("span", { class: "fl-badge", hidden: true, testid: "edited-badge" });
  const prompt = new PromptBox("Prompt", "prompt", "The Space Needle is in downtown", signal);
  const subject = textBox("subject", "The Space Needle");
  const chat = switchBox("Chat", "Ask in a chat, in the words of the model's own template", "chat");
  const trace = element("button", { class: "fl-primary", testid: "trace" }, "Trace");
  const stop = element("button", { testid: "stop" }, "Stop");
  const save = element("button", { testid: "save-trace" }, "Save trace");
  const open = fileButton("Open trace …", "open-trace", (bytes) => gesture("open", { buffers: [bytes] }), signal);
  const tokens = new Tokens();
  const progress = new Progress();
  const answer = element("p", { class: "fl-answer", testid: "answer" });
  const outdated = statusLine("outdated");
  const waiting = element("p", { class: "fl-waiting", role: "status", testid: "waiting" });
  const offers = new Offers(written, ask);

  const sync = { prompt: new SyncedText(prompt), subject: new SyncedText(subject) };
  let acceptedChat = false;
  let writing = false;

  function update(state: Record<string, unknown>, status: string): boolean {
    const idle = status === "idle";
    setText(modelLine, text(state.model));
    const edits = number(state.edits) ?? 0;
    setText(badge, editsBadge(edits));
    show(badge, edits > 0);

    sync.prompt.accept(text(state.prompt));
    sync.subject.accept(text(state.subject));
    if ((state.chat === true) !== acceptedChat) {
      acceptedChat = state.chat === true;
      chat.box.checked = acceptedChat;
    }
    show(chat.label, state.chats === true);
    offers.update(state);
    tokens.update(state.pieces);

    setAvailable(trace, idle, RUNNING);
    setAvailable(stop, STOPPABLE.includes(status), "Nothing is running.");
    setAvailable(open.button, idle, RUNNING);
    setAvailable(save, idle && state.traced === true, idle ? "There is no trace to save." : RUNNING);
    setText(stop, status === "stopping" ? "Stopping …" : "Stop");
    progress.update(state, status);
    const measure = { metric: decodeMetric(state.metric), contrast: text(state.contrast) };
    const [high, low] = [number(state.high), number(state.low)];
    say(answer, answerLine(text(state.answer), text(state.answer_part), high, low, measure));
    say(outdated, state.outdated === true && idle ? OUTDATED : "");
    compareWithTraced();
    return !idle;
  }

  /** What was read off one prompt is not shown below another. */
  function compareWithTraced(): void {
    const other = sync.prompt.differs || sync.subject.differs || chat.box.checked !== acceptedChat;
    tokens.call(!other);
    show(answer, !other && answer.textContent !== "");
    if (other !== writing) dispatchWriting(lens, other);
    writing = other;
  }

  function written(): Question {
    return { prompt: sync.prompt.value, subject: sync.subject.value, chat: chat.box.checked };
  }

  function ask(question: Question): void {
    if (!isAvailable(trace)) return;
    sync.prompt.submit();
    sync.subject.submit();
    gesture("trace", { ...question });
  }

  const submit = () => ask(written());
  const input = (text: SyncedText) => () => {
    text.input();
    compareWithTraced();
  };
  prompt.box.addEventListener("input", input(sync.prompt), { signal });
  subject.addEventListener("input", input(sync.subject), { signal });
  for (const box of [prompt.box, subject]) onEnter(box, submit, signal);
  chat.box.addEventListener("change", compareWithTraced, { signal });
  onClick(trace, submit, signal);
  onClick(stop, () => gesture("stop"), signal);
  onClick(save, () => gesture("save_trace"), signal);
  onWaiting(lens, (now) => setText(waiting, now ? WAITING_TEXT : ""), signal);

  const buttons = element("div", { class: "fl-buttons" }, trace, stop, open.button, save, open.input);
  const children = [
    head("Locate", modelLine, badge),
    element("div", { class: "fl-form" }, prompt.field, field("Subject", subject), chat.label, buttons),
    tokens.root,
    offers.notes,
    // One line for all, and there from the start: what stands below does not jump when something begins or ends.
    element("div", { class: "fl-run-row" }, answer, outdated, progress.root),
    waiting,
    banner.root,
    offers.readings,
  ];
  return { children, update };
});
