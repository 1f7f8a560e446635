// Boxes that a user fills in, each under a label that screen readers find.
import { element } from "./dom";

let counter = 0;

export function field(label: string, box: HTMLElement, ...below: Node[]): HTMLElement {
  counter += 1;
  box.id = `factlens-box-${counter}-${Math.random().toString(36).slice(2, 8)}`; // no other widget on the page has it
  return element("div", { class: "fl-field" }, element("label", { for: box.id }, label), box, ...below);
}

/** A line of text in any language: nothing completes or corrects what is meant as it is written. */
export function textBox(testid: string, placeholder: string): HTMLInputElement {
  return element("input", {
    type: "text",
    dir: "auto",
    autocomplete: "off",
    spellcheck: "false",
    placeholder,
    testid,
  });
}

/** A checkbox with its words, and what it does as a title. */
export function switchBox(words: string, title: string, testid: string): { box: HTMLInputElement; label: HTMLElement } {
  const box = element("input", { type: "checkbox", testid });
  return { box, label: element("label", { class: "fl-switch", title }, box, words) };
}
