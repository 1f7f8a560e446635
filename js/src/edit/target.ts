// The new object: the box it is written in, whether it is meant exactly, and the tokens that it has.
//
// Python spells: it is asked a little after the last letter, and what it last said is shown while it is about what
// stands in the box.
import { element, onEnter, redraw, setText } from "../shared/dom";
import { field, switchBox, textBox } from "../shared/field";
import { list, number, record, text } from "../shared/model";
import { pieceOf } from "../shared/pieces";
import { SyncedText } from "../shared/synced-text";
import { spelling } from "./sentences";

/** So long after the last letter Python is asked for the tokens. */
const SPELL_MS = 200;

/** As `apply` and `spell` send it. */
interface Wording {
  target: string;
  exactly: boolean;
}

interface TargetEvents {
  changed(): void;
  spell(wording: Wording): void;
  submit(): void;
}

export class Target {
  readonly box = textBox("target", "e.g. Paris");
  readonly #exactly = switchBox(
    "Exactly",
    "Take the new object just as it is written, with no space put in front of it",
    "exactly",
  );
  readonly #pieces = element("span", { class: "fl-tokens" });
  readonly #note = element("span", { class: "fl-tokens-name" });
  readonly fields = [field("New object", this.box), this.#exactly.label];
  readonly tokens = element(
    "div",
    { class: "fl-tokens-row fl-spelt", testid: "target-tokens" },
    this.#pieces,
    this.#note,
  );
  readonly #sync = new SyncedText(this.box);
  #acceptedExactly = false;
  #spelt: Record<string, unknown> = {};
  #asking: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly events: TargetEvents,
    signal: AbortSignal,
  ) {
    this.fields[0]?.classList.add("fl-target");
    this.box.addEventListener(
      "input",
      () => {
        this.#sync.input();
        this.#changed();
      },
      { signal },
    );
    this.#exactly.box.addEventListener("change", () => this.#changed(), { signal });
    onEnter(this.box, () => events.submit(), signal);
    signal.addEventListener("abort", () => clearTimeout(this.#asking), { once: true });
  }

  update(state: Record<string, unknown>): void {
    this.#sync.accept(text(state.target));
    if ((state.exactly === true) !== this.#acceptedExactly) {
      this.#acceptedExactly = state.exactly === true;
      this.#exactly.box.checked = this.#acceptedExactly;
    }
    this.#spelt = record(state.target_tokens);
    this.#drawTokens();
  }

  /** What Python has to say of what is written. */
  get notices(): Record<string, unknown>[] {
    return this.#isSpelt ? list(this.#spelt.notices).map(record) : [];
  }

  /** Writes what was offered; what it does not speak of stays. */
  write(changes: Record<string, unknown>): void {
    if (typeof changes.target === "string") this.#sync.write(changes.target);
    if (typeof changes.exactly === "boolean") this.#exactly.box.checked = changes.exactly;
    this.#changed();
  }

  get wording(): Wording {
    return { target: this.box.value, exactly: this.#exactly.box.checked };
  }

  /** Is there a new object? White space is one only where it is meant exactly. */
  get isWritten(): boolean {
    const { target, exactly } = this.wording;
    return (exactly ? target : target.trim()) !== "";
  }

  /** What is written now goes to Python, which spells what it accepts. */
  submit(): Wording {
    this.#sync.submit();
    clearTimeout(this.#asking);
    return this.wording;
  }

  #changed(): void {
    this.events.changed();
    this.#drawTokens();
    clearTimeout(this.#asking);
    this.#asking = setTimeout(() => this.isWritten && this.events.spell(this.wording), SPELL_MS);
  }

  /** Has Python spelt just what stands there? */
  get #isSpelt(): boolean {
    const { target, exactly } = this.wording;
    return this.isWritten && text(this.#spelt.text) === target && (this.#spelt.exactly === true) === exactly;
  }

  #drawTokens(): void {
    const spelt = this.#spelt;
    const current = this.#isSpelt;
    const pieces = current ? list(spelt.pieces).map(text) : [];
    redraw(this.#pieces, pieces, () => pieces.map((piece) => pieceOf(piece)));
    const why = this.notices.length > 0 ? "" : text(spelt.why);
    const words = () => (text(spelt.why) ? why : spelling(pieces.length, number(spelt.count) ?? pieces.length));
    setText(this.#note, current ? words() : "");
  }
}
