// Other ways to take what was written: what a prompt may not have been meant to be, and all that it could be read as.
import { element, redraw, show } from "../shared/dom";
import { list, record, text } from "../shared/model";

/** What the Trace button sends, and every button here. */
export interface Question {
  prompt: string;
  subject: string;
  chat: boolean;
  slot?: string | null;
}

export class Offers {
  readonly notes = element("div", {
    class: "fl-remarks",
    role: "status",
    hidden: true,
    testid: "notes",
  });
  readonly readings = element("div", { class: "fl-offers", hidden: true, testid: "readings" });

  /** `current` tells what stands in the boxes. */
  constructor(
    private readonly current: () => Question,
    private readonly ask: (question: Question) => void,
  ) {}

  update(state: Record<string, unknown>): void {
    const notes = list(state.notes).map(record);
    redraw(this.notes, notes, () => notes.map((note) => this.#note(note)));
    show(this.notes, notes.length > 0);
    const readings = list(record(state.error).readings).map(record);
    redraw(this.readings, readings, () => readings.map((reading) => this.#reading(reading)));
    show(this.readings, readings.length > 0);
  }

  /** What the user should know of how the prompt is read, with a button for what was probably meant. */
  #note(note: Record<string, unknown>): HTMLElement {
    const line = element("p", { class: "fl-remark" }, text(note.text));
    const offer = record(note.offer);
    const other = { prompt: text(offer.prompt), subject: text(offer.subject), chat: false };
    const { prompt, subject } = this.current();
    if (other.prompt && (other.prompt !== prompt || other.subject !== subject)) {
      line.append(this.#button("Trace it so", () => other));
    }
    return line;
  }

  /** A button for one of several ways to read a prompt. */
  #reading({ shown, prompt, slot }: Record<string, unknown>): HTMLElement {
    const other = { prompt: text(prompt), slot: typeof slot === "string" ? slot : null };
    return this.#button(`Read it as ${text(shown)}`, () => ({ ...this.current(), ...other }));
  }

  #button(label: string, question: () => Question): HTMLElement {
    const button = element("button", { class: "fl-small fl-offer" }, label);
    button.addEventListener("click", () => this.ask(question()));
    return button;
  }
}
