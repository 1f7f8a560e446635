// One field of the drawer: a text, one of several, any of several, or a switch; its meaning, and what is wrong with it.
import { element, onClick, onEnter, redraw, setAttributes, setText, show } from "../shared/dom";
import { field, textBox } from "../shared/field";
import { list, record, text } from "../shared/model";
import { SyncedText } from "../shared/synced-text";
import { isolated } from "../shared/visible";

/** What a field holds, and what Python is told of it. */
type Value = string | boolean | string[];

/** A box, or several, in the form that a field has. */
interface Control {
  /** What stands in the page, and what its label names. */
  box: HTMLElement;
  /** Shows what Python says. */
  update(state: Record<string, unknown>): void;
}

type Send = (value: Value) => void;

export class SettingField {
  readonly root: HTMLElement;
  readonly #control: Control;
  readonly #label: HTMLElement;
  readonly #help = element("span", { class: "fl-help" });
  readonly #error = element("span", { class: "fl-setting-error", "aria-live": "polite" });
  readonly #suggested = element("span", { class: "fl-suggested" });

  /** `send` tells Python of a value that the user has finished: none is told at a keystroke. */
  constructor(
    form: string,
    private readonly send: Send,
    signal: AbortSignal,
  ) {
    this.#control = (CONTROLS[form] ?? writing)(send, signal);
    this.root = field("", this.#control.box, this.#help, this.#suggested, this.#error);
    this.root.classList.add("fl-setting", `fl-setting-${form}`);
    this.#label = this.root.firstElementChild as HTMLElement;
    const { box } = this.#control;
    this.#help.id = `${box.id}-help`;
    this.#error.id = `${box.id}-error`;
    setAttributes(box, { "aria-describedby": `${this.#help.id} ${this.#error.id}` });
    if (form === "ticks") {
      // A group of boxes is named by its label, which cannot point at one of them.
      this.#label.id = `${box.id}-label`;
      this.#label.removeAttribute("for");
      setAttributes(box, { role: "group", "aria-labelledby": this.#label.id });
    }
  }

  update(state: Record<string, unknown>): void {
    setText(this.#label, text(state.title));
    setText(this.#help, text(state.help));
    setText(this.#error, text(state.error));
    show(this.#error, text(state.error) !== "");
    setAttributes(this.root, { "data-setting": text(state.name), "data-wide": list(state.suggested).length > 0 });
    const { box } = this.#control;
    const wrong = text(state.error) !== "";
    if (box.role !== "group") setAttributes(box, { "aria-invalid": wrong ? "true" : null });
    this.#control.update(state);
    const suggested = list(state.suggested).map(text);
    redraw(this.#suggested, suggested, () => ["With as many tokens:", ...suggested.map((name) => this.#offer(name))]);
    show(this.#suggested, suggested.length > 0);
  }

  #offer(name: string): HTMLElement {
    const button = element("button", { class: "fl-small" }, isolated(name));
    onClick(button, () => this.send(name));
    return button;
  }
}

const CONTROLS: Record<string, (send: Send, signal: AbortSignal) => Control> = { choice, ticks, switch: turning };

function writing(send: Send, signal: AbortSignal): Control {
  const box = textBox("", "");
  const sync = new SyncedText(box);
  let last = "";
  function finish(): void {
    if (box.value === last) return;
    last = box.value;
    sync.submit();
    send(box.value);
  }
  box.addEventListener("input", () => sync.input(), { signal });
  box.addEventListener("change", finish, { signal });
  onEnter(box, finish, signal);
  return {
    box,
    update(state) {
      last = text(state.value);
      sync.accept(last);
      setAttributes(box, { placeholder: text(state.empty) || null });
    },
  };
}

function choice(send: Send, signal: AbortSignal): Control {
  const box = element("select");
  box.addEventListener("change", () => send(box.value), { signal });
  return {
    box,
    update(state) {
      const choices = list(state.choices).map(record);
      redraw(box, choices, () =>
        choices.map(({ value, title }) => element("option", { value: text(value) }, text(title))),
      );
      box.value = text(state.value);
    },
  };
}

function ticks(send: Send, signal: AbortSignal): Control {
  const box = element("span", { class: "fl-ticks" });
  const boxes = () => [...box.querySelectorAll("input")];
  const ticked = () => boxes().flatMap((one) => (one.checked ? [one.value] : []));
  box.addEventListener("change", () => send(ticked()), { signal });
  return {
    box,
    update(state) {
      const choices = list(state.choices).map(record);
      redraw(box, choices, () =>
        choices.map(({ value, title }) =>
          element(
            "label",
            { class: "fl-check" },
            element("input", { type: "checkbox", value: text(value) }),
            text(title),
          ),
        ),
      );
      const chosen = list(state.value);
      for (const one of boxes()) one.checked = chosen.includes(one.value);
    },
  };
}

function turning(send: Send, signal: AbortSignal): Control {
  const box = element("input", { type: "checkbox" });
  box.addEventListener("change", () => send(box.checked), { signal });
  return {
    box,
    update(state) {
      box.checked = state.value === true;
    },
  };
}
