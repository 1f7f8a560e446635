// How the next edit is made: the method and its few settings, where these are from, and a button to measure them.
import { element, onClick, redraw, say, setAttributes, setAvailable, setText } from "../shared/dom";
import { field } from "../shared/field";
import { list, number, record, text } from "../shared/model";
import { RUNNING } from "../shared/panel";
import { measureHelp, measureWords, sourceWords } from "./sentences";

interface MethodEvents {
  choose(method: string): void;
  measure(): void;
}

export class MethodFold {
  readonly root = element("details", { class: "fl-method", testid: "method" });
  readonly #summary = element("summary");
  readonly #select = element("select");
  readonly #knobs = element("div", { class: "fl-knobs" });
  readonly #source = element("span", { testid: "source" });
  readonly #measure = element("button", { class: "fl-small", testid: "measure" });

  constructor(events: MethodEvents, signal: AbortSignal) {
    this.root.append(
      this.#summary,
      element("div", { class: "fl-form" }, field("Method", this.#select)),
      this.#knobs,
      element("p", { class: "fl-source" }, this.#source, this.#measure),
    );
    this.#select.addEventListener("change", () => events.choose(this.#select.value), { signal });
    onClick(this.#measure, () => events.measure(), signal);
  }

  update(state: Record<string, unknown>, idle: boolean): void {
    const methods = list(state.methods).map(record);
    redraw(this.#select, methods, () =>
      methods.map((entry) => element("option", { value: text(entry.name) }, text(entry.title))),
    );
    const method = text(state.method);
    if (this.#select.value !== method) this.#select.value = method;
    const title = text(methods.find((entry) => entry.name === method)?.title) || method;
    setText(this.#summary, `Method: ${title}`);
    const knobs = list(state.knobs).map(record);
    redraw(this.#knobs, [method, knobs], () => knobs.map(knobField));
    const { layers, source, calibrated } = record(state.default);
    const at = list(layers).flatMap((layer) => number(layer) ?? []);
    say(this.#source, sourceWords(at, text(source), calibrated === true));
    setText(this.#measure, measureWords(text(state.budget), calibrated === true));
    setAvailable(this.#measure, idle, RUNNING);
    if (idle) setAttributes(this.#measure, { title: measureHelp(title) });
  }

  /** The settings that differ from the defaults; what is no number goes as text, and is refused with a reason. */
  settings(): Record<string, number | string> {
    const changed: Record<string, number | string> = {};
    for (const box of this.#knobs.querySelectorAll("input")) {
      if (box.value.trim() === "" && !box.validity.badInput) continue;
      if (box.value === box.dataset.default) continue;
      changed[box.dataset.name ?? ""] = box.validity.badInput ? "not a number" : Number(box.value);
    }
    return changed;
  }
}

function knobField(knob: Record<string, unknown>): HTMLElement {
  const [name, help, value] = [text(knob.name), text(knob.help), number(knob.value)];
  const [least, most, step] = [number(knob.least), number(knob.most), number(knob.step)];
  const box = element("input", {
    type: "number",
    step: step ?? "any",
    min: least,
    max: most,
    title: name,
    "data-name": name,
    "data-default": value,
  });
  box.value = String(value ?? "");
  const note = element("span", { class: "fl-help" }, help);
  const labelled = field(text(knob.title) || name, box, note);
  note.id = `${box.id}-help`;
  if (help) setAttributes(box, { "aria-describedby": note.id });
  return labelled;
}
