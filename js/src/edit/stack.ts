// The edits in force as a list: each can be taken out or saved, also when others came after it.
import { element, onClick, redraw, setAvailable, setText, show } from "../shared/dom";
import { layersWords } from "../shared/layers";
import { list, number, record, text } from "../shared/model";
import { type Panel, RUNNING } from "../shared/panel";
import { line } from "../shared/visible";
import { originWords } from "./sentences";

/** An edit as the page knows it: Python finds it by its key. */
export interface Named {
  key: string;
  label: string;
}

export function named(value: unknown): Named | null {
  const { key, label } = record(value);
  return text(key) ? { key: text(key), label: text(label) } : null;
}

export class EditStack {
  readonly root = element("div", { class: "fl-stack" });
  readonly #name = element("p", { class: "fl-edits-name" });
  readonly #items = element("ol", { class: "fl-edits", testid: "edits" });

  constructor(private readonly gesture: Panel["gesture"]) {
    this.root.append(this.#name, this.#items);
  }

  /** Returns the newest edit. */
  update(edits: unknown, idle: boolean, titles: Map<string, string>): Named | null {
    const entries = list(edits).map(record);
    setText(this.#name, entries.length === 0 ? "No edit in force." : "Edits in force, oldest first");
    redraw(this.#items, [entries, [...titles]], () => entries.map((entry) => this.#item(entry, titles)));
    for (const button of this.#items.querySelectorAll("button")) setAvailable(button, idle, RUNNING);
    show(this.#items, entries.length > 0);
    return named(entries[entries.length - 1]);
  }

  #item(entry: Record<string, unknown>, titles: Map<string, string>): HTMLLIElement {
    const key = text(entry.key);
    const label = line(text(entry.label));
    const layers = list(entry.layers).flatMap((layer) => number(layer) ?? []);
    const name = text(entry.method);
    const method = [titles.get(name) || name, layersWords(layers)].filter(Boolean).join(", ");
    const origin = originWords(text(entry.origin));
    const shares = text(entry.shares);
    const failed = entry.took === false;
    // Two entries may have one label: who hears the button's name has to know which of them it is about.
    const full = [label, origin].filter(Boolean).join(", ");
    return element(
      "li",
      {},
      element("span", { class: "fl-edit-label" }, label),
      method ? element("span", { class: "fl-edit-method" }, ` (${method})`) : "",
      ...(origin ? [" ", element("span", { class: "fl-edit-origin" }, origin)] : []),
      ...(shares ? [" ", element("span", { class: failed ? "fl-edit-failed" : "fl-edit-took" }, shares)] : []),
      this.#button("Take out", full, "drop", key),
      this.#button("Save", full, "save", key),
    );
  }

  #button(title: string, label: string, name: "drop" | "save", key: string): HTMLButtonElement {
    const button = element("button", { class: "fl-small", "aria-label": `${title}: ${label}` }, title);
    onClick(button, () => this.gesture(name, { key }));
    return button;
  }
}
