// How the next edit is made: the method and its few settings, behind a fold.
import { element, setAttributes, setText, uniqueId } from "./dom";
import { list, number, record, text } from "./model";

export class MethodFold {
  readonly root = element("details", { class: "fl-method", "data-testid": "factlens-method" });
  private readonly summary = element("summary");
  private readonly select = element("select");
  private readonly knobs = element("div", { class: "fl-knobs" });
  private shownMethods = "";
  private shownKnobs = "";

  constructor(choose: (method: string) => void, signal: AbortSignal) {
    const id = uniqueId("method");
    this.select.id = id;
    this.root.append(
      this.summary,
      element(
        "div",
        { class: "fl-form" },
        element("div", { class: "fl-field" }, element("label", { for: id }, "Method"), this.select),
      ),
      this.knobs,
    );
    this.select.addEventListener("change", () => choose(this.select.value), { signal });
  }

  update(state: Record<string, unknown>): void {
    const methods = list(state.methods).map((entry) => record(entry));
    const key = JSON.stringify(methods);
    if (key !== this.shownMethods) {
      this.shownMethods = key;
      this.select.replaceChildren(
        ...methods.map((entry) => element("option", { value: text(entry.name) }, text(entry.title))),
      );
    }
    const method = text(state.method);
    if (this.select.value !== method) this.select.value = method;
    const title = methods.find((entry) => entry.name === method)?.title;
    setText(this.summary, `Method: ${text(title) || method}`);
    const knobs = list(state.knobs).map((entry) => record(entry));
    const shown = JSON.stringify([method, knobs]);
    if (shown === this.shownKnobs) return;
    this.shownKnobs = shown;
    this.knobs.replaceChildren(
      ...knobs.map((knob) => {
        const id = uniqueId("knob");
        const box = element("input", {
          id,
          type: "number",
          step: "any",
          "data-name": text(knob.name),
          "data-default": number(knob.value),
        });
        box.value = String(number(knob.value) ?? "");
        const name = text(knob.name);
        const help = text(knob.help);
        const note = element("span", { id: `${id}-help`, class: "fl-help" }, help);
        setAttributes(box, { "aria-describedby": help ? note.id : null, title: name });
        return element(
          "div",
          { class: "fl-field" },
          element("label", { for: id }, text(knob.title) || name),
          box,
          note,
        );
      }),
    );
  }

  /** The settings that differ from the defaults; what is no number goes as text, and is refused with a reason. */
  settings(): Record<string, number | string> {
    const found: Record<string, number | string> = {};
    for (const box of this.knobs.querySelectorAll("input")) {
      if (box.value.trim() === "" && !box.validity.badInput) continue;
      if (box.value === box.dataset.default) continue;
      found[box.dataset.name ?? ""] = box.validity.badInput ? "not a number" : Number(box.value);
    }
    return found;
  }
}
