// The accepted prompt, token by token: the subject marked as one, and what a chat's template wrote dimmed.
import { element, redraw, setText, show } from "../shared/dom";
import { list, record, text } from "../shared/model";
import { pieceOf } from "../shared/pieces";

export class Tokens {
  readonly #name = element("span", { class: "fl-tokens-name" });
  readonly #tokens = element("span", { class: "fl-tokens" });
  readonly root = element("div", { class: "fl-tokens-row", testid: "tokens" }, this.#name, this.#tokens);

  update(state: unknown): void {
    const pieces = list(state).map((piece) => {
      const fields = record(piece);
      return { text: text(fields.text), subject: fields.subject === true, template: fields.template === true };
    });
    redraw(this.#tokens, pieces, () =>
      pieces.map((piece, index) => {
        const name = pieceOf(piece.text);
        if (piece.subject) name.classList.add("fl-subject");
        if (piece.template) name.classList.add("fl-template");
        if (piece.subject && !pieces[index - 1]?.subject) name.classList.add("fl-first");
        if (piece.subject && !pieces[index + 1]?.subject) name.classList.add("fl-end");
        if (piece.subject) name.prepend(element("span", { class: "fl-sr", dir: "ltr" }, "subject: "));
        return name;
      }),
    );
    show(this.root, pieces.length > 0);
  }

  /** `current`: are they those of what stands in the boxes? Others are not shown. */
  call(current: boolean): void {
    setText(this.#name, current ? "Tokens" : "Press Trace to see the tokens of this prompt.");
    show(this.#tokens, current);
  }
}
