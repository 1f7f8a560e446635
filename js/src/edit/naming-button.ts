// A button that says what it is about: "Undo The Space Needle → Paris".
import { element, onClick, setAttributes, setAvailable, setText } from "../shared/dom";
import type { Named } from "./stack";

export class NamingButton {
  readonly #what = element("span", { class: "fl-what" });
  readonly button: HTMLButtonElement;
  #named: Named | null = null;

  /** Pressing it acts on the edit that it names at that moment, also where it has changed elsewhere. */
  constructor(title: string, testid: string, act: (key: string) => void, signal: AbortSignal) {
    this.button = element("button", { class: "fl-naming", testid }, title, this.#what);
    onClick(this.button, () => this.#named && act(this.#named.key), signal);
  }

  update(named: Named | null, available: boolean, why: string): void {
    this.#named = named;
    setText(this.#what, named ? ` ${named.label}` : "");
    setAvailable(this.button, available && named !== null, why);
    // A long name is cut off on the button.
    if (available && named) setAttributes(this.button, { title: named.label });
  }
}
