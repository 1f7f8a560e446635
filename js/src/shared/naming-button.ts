// A button that says what it is about: "Undo The Space Needle → Paris".

import { element, isAvailable, setAttributes, setAvailable, setText } from "./dom";
import type { Named } from "./edit-stack";

export class NamingButton {
  private readonly what = element("span", { class: "fl-what" });
  readonly button: HTMLButtonElement;
  private named: Named | null = null;

  /** Pressing it acts on the edit that it names at that moment, whatever has become of it elsewhere. */
  constructor(title: string, testid: string, act: (key: string) => void, signal: AbortSignal) {
    this.button = element("button", { type: "button", class: "fl-naming", "data-testid": testid }, title, this.what);
    this.button.addEventListener("click", () => this.named && isAvailable(this.button) && act(this.named.key), {
      signal,
    });
  }

  update(named: Named | null, available: boolean, why: string): void {
    this.named = named;
    setText(this.what, named ? ` ${named.label}` : "");
    setAvailable(this.button, available && named !== null, why);
    // A long name is cut off on the button.
    if (available && named) setAttributes(this.button, { title: named.label });
  }
}
