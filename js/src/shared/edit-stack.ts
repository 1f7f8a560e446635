// The edits in force as a list: each can be taken out or saved, whatever came after it.
import { element, isAvailable, setAttributes, setAvailable, setText, show } from "./dom";
import { list, number, record, text } from "./model";
import { layersWords, RUNNING } from "./panel-sentences";

export interface StackActions {
  drop: (key: string) => void;
  save: (key: string) => void;
}

export class EditStack {
  readonly root = element("div", { class: "fl-stack" });
  private readonly name = element("p", { class: "fl-edits-name" });
  private readonly items = element("ol", { class: "fl-edits", "data-testid": "factlens-edits" });
  private shown = "";

  constructor(private readonly actions: StackActions) {
    this.root.append(this.name, this.items);
  }

  /** Draws the list anew only when it has changed, so that a focused button stays. */
  update(edits: unknown, idle: boolean, titles: Map<string, string>): number {
    const entries = list(edits).map((entry) => record(entry));
    setText(this.name, entries.length === 0 ? "No edit in force." : "Edits in force, oldest first");
    const now = JSON.stringify([entries, [...titles]]);
    if (now !== this.shown) {
      this.shown = now;
      this.items.replaceChildren(...entries.map((entry) => this.item(entry, titles)));
    }
    for (const button of this.items.querySelectorAll("button")) setAvailable(button, idle, RUNNING);
    show(this.items, entries.length > 0);
    return entries.length;
  }

  private item(entry: Record<string, unknown>, titles: Map<string, string>): HTMLLIElement {
    const key = text(entry.key);
    const label = text(entry.label);
    const layers = list(entry.layers).flatMap((layer) => number(layer) ?? []);
    const name = text(entry.method);
    const method = [titles.get(name) || name, layersWords(layers)].filter(Boolean).join(", ");
    return element(
      "li",
      {},
      element("span", { class: "fl-edit-label" }, label),
      method ? element("span", { class: "fl-edit-method" }, ` (${method})`) : "",
      this.button("Take out", label, () => this.actions.drop(key)),
      this.button("Save", label, () => this.actions.save(key)),
    );
  }

  private button(title: string, label: string, act: () => void): HTMLButtonElement {
    const button = element("button", { type: "button", class: "fl-small" }, title);
    setAttributes(button, { "aria-label": `${title}: ${label}` });
    button.addEventListener("click", () => {
      if (isAvailable(button)) act();
    });
    return button;
  }
}
