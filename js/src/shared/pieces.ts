// One token in a row of tokens: its whitespace shown, in a frame of its own.
import { tokenParts } from "./a11y";
import { element } from "./dom";

export function pieceOf(text: string, className = "fl-piece"): HTMLElement {
  const name = element("span", { class: className, dir: "auto" });
  for (const part of tokenParts(text)) {
    name.append(element("span", part.dim ? { class: "fl-dim" } : {}, part.text));
  }
  return name;
}
