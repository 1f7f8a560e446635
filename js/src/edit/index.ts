// The panel in which the chosen layer's MLP is edited, and edits are undone.
import { tokenName } from "../shared/a11y";
import { Banner } from "../shared/banner";
import { element, isAvailable, onClick, redraw, say, setAttributes, setAvailable, setText, show } from "../shared/dom";
import { fileButton } from "../shared/file-button";
import { list, number, record, text } from "../shared/model";
import { Mistake, Notices, type Offer } from "../shared/notices";
import { head, panel, RUNNING, statusLine } from "../shared/panel";
import { isolated } from "../shared/visible";
import { ForeignChange } from "./foreign-change";
import { MethodFold } from "./method-fold";
import { NamingButton } from "./naming-button";
import { layerWords } from "./sentences";
import { EditStack, named } from "./stack";
import { Target } from "./target";

const STATUS: Record<string, string> = {
  editing: "computing the edit …",
  calibrating: "measuring where and how to edit …",
  judging: "checking what else changed …",
  queued: "waiting for its turn …",
  stopping: "stopping …",
};

export default panel("edit", "Edit a fact", ({ banner, running, signal, gesture }) => {
  const subject = element("strong");
  const answer = element("span");
  const sentence = element("p", { class: "fl-sentence", testid: "edit-sentence" });
  const target = new Target(
    { changed: rewritten, spell: (wording) => gesture("spell", { ...wording }), submit },
    signal,
  );
  const layer = element("span", { class: "fl-at-layer", testid: "edit-layer" });
  const remarks = element("div", { class: "fl-remarks", role: "status", testid: "remarks" });
  const apply = element("button", { class: "fl-primary", testid: "apply" }, "Apply");
  const undo = new NamingButton("Undo", "undo", (key) => gesture("undo", { key }), signal);
  const redo = new NamingButton("Redo", "redo", (key) => gesture("redo", { key }), signal);
  const load = fileButton("Load …", "load", (bytes) => gesture("load", { buffers: [bytes] }), signal);
  const fold = new MethodFold(
    { choose: (method) => gesture("method", { method }), measure: () => gesture("calibrate") },
    signal,
  );
  const status = statusLine("edit-status");
  const foreign = new ForeignChange(gesture, signal);
  const warning = new Banner("edit-warning", "notice");
  const stack = new EditStack(gesture);
  const fields = { target: { name: "New object", box: target.box }, layer: { name: "Layer" } };
  const notices = new Notices("edit-notices", fields, take);
  const mistake = new Mistake(notices, () => ({ ...target.wording, layer: chosenLayer }));
  let error: unknown = null;
  let chosenLayer: number | null = null;
  let idle = true;

  function update(state: Record<string, unknown>, now: string): boolean {
    idle = now === "idle";
    chosenLayer = number(state.layer);

    setText(subject, isolated(text(state.subject)));
    const says = text(state.answer);
    setText(answer, says ? ` It now completes the prompt with “${tokenName(says)}”.` : "");
    if (text(state.subject)) sentence.replaceChildren("Change what the model says about ", subject, ".", answer);
    else sentence.replaceChildren("Trace a fact first, then change it here.");

    target.update(state);
    const layers = list(state.edit_layers).flatMap((at) => number(at) ?? []);
    setText(layer, layerWords(layers, chosenLayer !== null));
    fold.update(state, idle);
    const remarked = list(state.remarks).map(text);
    redraw(remarks, remarked, () => remarked.map((remark) => element("p", { class: "fl-remark" }, remark)));
    show(remarks, remarked.length > 0);
    // Of work that was started here, the line below says more; this one is for those who hear it.
    say(status, STATUS[now] ?? "");
    setAttributes(status, { class: text(state.place) === "edit" ? "fl-sr" : "fl-status" });

    const methods = list(state.methods).map(record);
    const titles = new Map(methods.map(({ name, title }) => [text(name), text(title)]));
    const newest = stack.update(state.edits, idle, titles);
    undo.update(newest, idle, idle ? "There is no edit to undo." : RUNNING);
    redo.update(named(state.redo), idle, idle ? "There is no edit to redo." : RUNNING);
    foreign.update(text(state.foreign), idle);
    warning.update(state.warning);
    updateButtons();
    return now === "editing" || now === "calibrating";
  }

  function updateButtons(): void {
    setAvailable(apply, idle && target.isWritten, idle ? "Write a new object first." : RUNNING);
    setAvailable(load.button, idle, RUNNING);
  }

  function fail(now: unknown): void {
    error = now;
    showNotices();
  }

  function showNotices(): void {
    const wrong = mistake.place(error);
    banner.update(wrong.banner);
    // A mistake that was just made says the same, and more.
    const others = target.notices.filter((notice) => notice.field !== wrong.notice?.field);
    notices.update(wrong.notice, others, idle);
  }

  function rewritten(): void {
    mistake.input();
    updateButtons();
    showNotices();
  }

  function submit(): void {
    send(chosenLayer);
  }

  function send(layer: unknown): void {
    if (!isAvailable(apply)) return;
    const wording = target.submit();
    mistake.sent({ ...wording, layer });
    gesture("apply", { ...wording, layer, settings: fold.settings() });
    showNotices();
  }

  function take({ gesture: name, changes }: Offer): void {
    target.write(changes);
    if (name === "spell") gesture("spell", { ...target.submit() });
    else send("layer" in changes ? changes.layer : chosenLayer);
  }

  onClick(apply, submit, signal);
  const children = [
    head("Edit", sentence),
    element("div", { class: "fl-form" }, ...target.fields, layer),
    target.tokens,
    notices.root,
    remarks,
    element("div", { class: "fl-buttons" }, apply, undo.button, redo.button, load.button, load.input),
    fold.root,
    status,
    running.root,
    foreign.root,
    banner.root,
    warning.root,
    stack.root,
  ];
  return { children, update, fail };
});
