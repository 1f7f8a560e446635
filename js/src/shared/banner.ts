// The banner of a panel: what was wrong, and what to do. Errors become state, because a traceback that was raised in an
// observer is seen by no user. A notice is about something that was done all the same, and waits until it is read.
import { element, setText, show } from "./dom";
import { record, text } from "./model";

export class Banner {
  readonly #title = element("strong");
  readonly #text = element("span");
  readonly root: HTMLElement;

  constructor(testid: string, kind: "error" | "notice" = "error") {
    const role = kind === "error" ? "alert" : "status";
    this.root = element("div", { class: `fl-${kind}`, role, hidden: true, testid });
    this.root.append(this.#title, this.#text);
  }

  /** Shows `{title, text}` of the wire; null and undefined are no problem. */
  update(problem: unknown): void {
    const wrong = problem !== null && problem !== undefined;
    if (wrong) {
      const fields = record(problem);
      setText(this.#title, text(fields.title) || "Something went wrong");
      setText(this.#text, text(fields.text));
    }
    show(this.root, wrong);
  }
}
