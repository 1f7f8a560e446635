// The error banner of a panel: what was wrong, and what to do. Errors become state, because nobody sees a traceback
// that was raised in an observer.
import { element, setText, show } from "./dom";
import type { Problem } from "./model";

export class Banner {
  private readonly title = element("strong");
  private readonly text = element("span");
  readonly root: HTMLElement;

  constructor(testid: string) {
    this.root = element("div", { class: "fl-error", role: "alert", hidden: true, "data-testid": testid });
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
