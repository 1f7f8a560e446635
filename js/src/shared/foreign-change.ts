// Weights under edits that somebody else has changed, and the two ways on.
import { element, setAvailable, setText, show } from "./dom";
import { RUNNING } from "./panel-sentences";

export class ForeignChange {
  private readonly text = element("span");
  private readonly keep = element("button", { type: "button", "data-testid": "factlens-keep" }, "Keep the change");
  private readonly revert = element(
    "button",
    { type: "button", "data-testid": "factlens-revert" },
    "Go back to the edits",
  );
  readonly root = element(
    "div",
    { class: "fl-error fl-foreign", role: "alert", hidden: true, "data-testid": "factlens-foreign" },
    element("strong", {}, "The weights were changed outside factlens"),
    this.text,
    element("div", { class: "fl-buttons" }, this.keep, this.revert),
  );

  constructor(onClick: (button: HTMLButtonElement, name: "keep" | "revert") => void) {
    onClick(this.keep, "keep");
    onClick(this.revert, "revert");
  }

  update(text: string, idle: boolean): void {
    setText(this.text, text);
    for (const button of [this.keep, this.revert]) setAvailable(button, idle, RUNNING);
    show(this.root, text !== "");
  }
}
