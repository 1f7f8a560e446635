// The panel in which a fact is written down and traced.
import { element, isAvailable, onClick, onEnter, say, setAvailable, setText, show } from "../shared/dom";
import { field, switchBox, textBox } from "../shared/field";
import { fileButton } from "../shared/file-button";
import { dispatchWriting, onKernel } from "../shared/gestures-event";
import { decodeMetric } from "../shared/measure";
import { list, number, record, text } from "../shared/model";
import { Mistake, Notices, type Offer } from "../shared/notices";
import { head, panel, RUNNING, statusLine } from "../shared/panel";
import { KERNEL_WORDS } from "../shared/running";
import { SyncedText } from "../shared/synced-text";
import { PromptBox } from "./prompt-box";
import { answerLine, editsBadge } from "./sentences";
import { SettingsDrawer } from "./settings";
import { Tokens } from "./tokens";

const OUTDATED = "Traced with other weights than the model has now.";

/** What the Trace button sends, and what is offered in its place. */
interface Question {
  prompt: string;
  subject: string;
  chat: boolean;
  slot?: unknown;
}

/** What Stop can stop. */
const STOPPABLE = ["tracing", "queued", "editing", "calibrating", "judging"];

export default panel("locate", "Locate a fact", ({ banner, running, lens, signal, gesture, follow }) => {
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
  const answer = element("p", { class: "fl-answer", testid: "answer" });
  const outdated = statusLine("outdated");
  const waiting = element("p", { class: "fl-waiting", role: "status", testid: "waiting" });
  const settings = new SettingsDrawer(gesture, signal);
  const fields = { prompt: { name: "Prompt", box: prompt.box }, subject: { name: "Subject", box: subject } };
  const notices = new Notices("locate-notices", fields, take);

  const sync = { prompt: new SyncedText(prompt), subject: new SyncedText(subject) };
  const mistake = new Mistake(notices, () => ({ ...written() }));
  let acceptedChat = false;
  let notes: Record<string, unknown>[] = [];
  let error: unknown = null;
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
    notes = list(state.notes).map(record);
    tokens.update(state.pieces);

    setAvailable(trace, idle, RUNNING);
    setAvailable(stop, STOPPABLE.includes(status), "Nothing is running.");
    setAvailable(open.button, idle, RUNNING);
    setAvailable(save, idle && state.traced === true, idle ? "There is no trace to save." : RUNNING);
    setText(stop, status === "stopping" ? "Stopping …" : "Stop");
    const measure = { metric: decodeMetric(state.metric), contrast: text(state.contrast) };
    const [high, low] = [number(state.high), number(state.low)];
    say(answer, answerLine(text(state.answer), text(state.answer_part), high, low, measure));
    say(outdated, state.outdated === true && idle ? OUTDATED : "");
    showWritten();
    return !idle;
  }

  function fail(now: unknown): void {
    error = now;
    showWritten();
  }

  /**
   * Shows what is about the texts in the boxes: what was wrong with them, and what they were read as. What was read off
   * one prompt is not shown below another.
   */
  function showWritten(): void {
    const accepted = !sync.prompt.differs && !sync.subject.differs && chat.box.checked === acceptedChat;
    tokens.call(accepted);
    show(answer, accepted && answer.textContent !== "");
    if (accepted === writing) dispatchWriting(lens, !accepted);
    writing = !accepted;
    const wrong = mistake.place(error);
    banner.update(wrong.banner);
    notices.update(wrong.notice, accepted ? notes : [], isAvailable(trace));
  }

  function written(): Question {
    return { prompt: sync.prompt.value, subject: sync.subject.value, chat: chat.box.checked };
  }

  function ask(question: Question): void {
    if (!isAvailable(trace)) return;
    sync.prompt.submit();
    sync.subject.submit();
    mistake.sent({ ...question });
    gesture("trace", { ...question });
    showWritten();
  }

  function take({ changes }: Offer): void {
    const question: Question = { ...written(), ...changes };
    // Another marker than {} has no box: what was meant comes back with the answer.
    if (typeof question.slot !== "string") {
      if ("prompt" in changes) sync.prompt.write(question.prompt);
      if ("subject" in changes) sync.subject.write(question.subject);
      chat.box.checked = question.chat;
    }
    ask(question);
  }

  const submit = () => ask(written());
  function rewritten(): void {
    mistake.input();
    showWritten();
  }
  const input = (text: SyncedText) => () => {
    text.input();
    rewritten();
  };
  prompt.box.addEventListener("input", input(sync.prompt), { signal });
  subject.addEventListener("input", input(sync.subject), { signal });
  for (const box of [prompt.box, subject]) onEnter(box, submit, signal);
  chat.box.addEventListener("change", rewritten, { signal });
  onClick(trace, submit, signal);
  onClick(stop, () => gesture("stop"), signal);
  onClick(save, () => gesture("save_trace"), signal);
  follow("settings", (state) => settings.update(state));
  onKernel(lens, (now) => setText(waiting, KERNEL_WORDS[now]), signal);

  const buttons = element("div", { class: "fl-buttons" }, trace, stop, open.button, save, open.input);
  const children = [
    head("Locate", modelLine, badge),
    element("div", { class: "fl-form" }, prompt.field, field("Subject", subject), chat.label, buttons),
    notices.root,
    tokens.root,
    settings.root,
    // One line for all, and there from the start: what stands below does not jump when something begins or ends.
    element("div", { class: "fl-run-row" }, answer, outdated, running.root),
    waiting,
    banner.root,
  ];
  return { children, update, fail };
});
