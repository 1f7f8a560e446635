// The box for a prompt: as high as its text, since a prompt may have several lines.
import { element } from "../shared/dom";
import { field } from "../shared/field";

const MOST_LINES = 8;

export class PromptBox {
  readonly box: HTMLTextAreaElement;
  readonly field: HTMLElement;

  constructor(label: string, testid: string, placeholder: string, signal: AbortSignal) {
    this.box = element("textarea", {
      rows: 1,
      autocomplete: "off",
      spellcheck: "false",
      placeholder,
      testid,
    });
    this.field = field(label, this.box);
    this.box.addEventListener("input", () => this.#fit(), { signal });
  }

  get value(): string {
    return this.box.value;
  }

  set value(text: string) {
    this.box.value = text;
    this.#fit();
  }

  #fit(): void {
    this.box.rows = Math.min(MOST_LINES, this.box.value.split("\n").length);
  }
}
