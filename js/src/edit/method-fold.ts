// How the next edit is made: the method and its few settings, behind a fold.
import { element, redraw, setAttributes, setText } from "../shared/dom";
import { field } from "../shared/field";
import { list, number, record, text } from "../shared/model";

export class MethodFold {
  readonly root = element("details", { class: "fl-method", testid: "method" });
  readonly #summary = element("summary");
  readonly #select = element("select");
  readonly #knobs = element("div", { class: "fl-knobs" });

  constructor(choose: (method: string) => void, signal: AbortSignal) {
    this.root.append(this.#summary, element("div", { class: "fl-form" }, field("Method", this.#select)), this.#knobs);
    this.#select.addEventListener("change", () => choose(this.#select.value), { signal });
  }

  update(state: Record<string, unknown>): void {
    const methods = list(state.methods).map(record);
    redraw(this.#select, methods, () =>
      methods.map((entry) => element("option", { value: text(entry.name) }, text(entry.title))),
    );
    const method = text(state.method);
    if (this.#select.value !== method) this.#select.value = method;
    const title = methods.find((entry) => entry.name === method)?.title;
    setText(this.#summary, `Method: ${text(title) || method}`);
    const knobs = list(state.knobs).map(record);
    redraw(this.#knobs, [method, knobs], () => knobs.map(knobField));
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
