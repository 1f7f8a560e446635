// Weights under edits that other code has changed, and the two ways on.
import { element, onClick, setAvailable, setText, show } from "../shared/dom";
import { type Panel, RUNNING } from "../shared/panel";

export class ForeignChange {
  readonly #text = element("span");
  readonly #keep = element("button", { testid: "keep" }, "Keep the change");
  readonly #revert = element("button", { testid: "revert" }, "Go back to the edits");
  readonly root = element(
    "div",
    { class: "fl-error fl-foreign", role: "alert", hidden: true, testid: "foreign" },
    element("strong", {}, "The weights were changed outside factlens"),
    this.#text,
    element("div", { class: "fl-buttons" }, this.#keep, this.#revert),
  );

  constructor(gesture: Panel["gesture"], signal: AbortSignal) {
    onClick(this.#keep, () => gesture("keep"), signal);
    onClick(this.#revert, () => gesture("revert"), signal);
  }

  update(text: string, idle: boolean): void {
    setText(this.#text, text);
    for (const button of [this.#keep, this.#revert]) setAvailable(button, idle, RUNNING);
    show(this.root, text !== "");
  }
}
