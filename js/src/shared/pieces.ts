// One token in a row of tokens: its whitespace shown, in a frame of its own.
import { tokenParts } from "./a11y";
import { element } from "./dom";

export function pieceOf(text: string): HTMLElement {
  const name = element("span", { class: "fl-piece", dir: "auto" });
  for (const part of tokenParts(text)) {
    name.append(element("span", part.dim ? { class: "fl-dim" } : {}, part.text));
  }
  return name;
}
