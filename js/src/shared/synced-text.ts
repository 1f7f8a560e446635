// A text box whose accepted value lives in Python while the user types in the browser.
//
// The box follows Python only when the accepted value became another one, so progress news never overwrite typing.
// And when the news is merely the answer to what this box submitted, what was typed since then stays.

/** A text as a box of several lines holds it: with every end of a line as one character. */
function asBoxesHave(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}

export class SyncedText {
  #accepted: string | null = null;
  #submitted = false;
  #edited = false;

  constructor(private readonly box: { value: string }) {}

  input(): void {
    this.#edited = true;
  }

  /** Writes for the user, as if it had been typed. */
  write(value: string): void {
    this.box.value = value;
    this.#edited = true;
  }

  submit(): void {
    this.#submitted = true;
    this.#edited = false;
  }

  accept(value: string): void {
    if (value === this.#accepted) return;
    this.#accepted = value;
    const typedSince = this.#submitted && this.#edited;
    this.#submitted = false;
    if (typedSince || this.box.value === asBoxesHave(value)) return;
    this.#edited = false;
    this.box.value = value;
  }

  /** Does the box hold something else than what Python works with? */
  get differs(): boolean {
    return this.#accepted !== null && this.box.value !== asBoxesHave(this.#accepted);
  }

  /** The text that the box stands for: what Python works with, unless something else was typed. */
  get value(): string {
    return this.#accepted === null || this.differs ? this.box.value : this.#accepted;
  }
}
