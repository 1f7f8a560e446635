// The banner of a panel: what was wrong, and what to do. Errors become state, because nobody sees a traceback that was
// raised in an observer. A notice is about something that was done all the same, and waits until it is read.
import { element, setText, show } from "./dom";
import type { Problem } from "./model";

export class Banner {
  private readonly title = element("strong");
  private readonly text = element("span");
  readonly root: HTMLElement;

  constructor(testid: string, kind: "error" | "notice" = "error") {
    const role = kind === "error" ? "alert" : "status";
    this.root = element("div", { class: `fl-${kind}`, role, hidden: true, "data-testid": testid });
    this.root.append(this.title, this.text);
  }

  update(problem: Problem | null): void {
    if (problem) {
      setText(this.title, problem.title);
      setText(this.text, problem.text);
    }
    show(this.root, problem !== null);
  }
}
