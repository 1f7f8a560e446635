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
  readonly #box = textBox("target", "e.g. Paris");
  readonly #exactly = switchBox(
    "Exactly",
    "Take the new object just as it is written, with no space put in front of it",
    "exactly",
  );
  readonly #pieces = element("span", { class: "fl-tokens" });
  readonly #note = element("span", { class: "fl-tokens-name" });
  readonly fields = [field("New object", this.#box), this.#exactly.label];
  readonly tokens = element(
    "div",
    { class: "fl-tokens-row fl-spelt", testid: "target-tokens" },
    this.#pieces,
    this.#note,
  );
  readonly #sync = new SyncedText(this.#box);
  #acceptedExactly = false;
  #spelt: Record<string, unknown> = {};
  #asking: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly events: TargetEvents,
    signal: AbortSignal,
  ) {
    this.fields[0]?.classList.add("fl-target");
    this.#box.addEventListener(
      "input",
      () => {
        this.#sync.input();
        this.#changed();
      },
      { signal },
    );
    this.#exactly.box.addEventListener("change", () => this.#changed(), { signal });
    onEnter(this.#box, () => events.submit(), signal);
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

  get wording(): Wording {
    return { target: this.#box.value, exactly: this.#exactly.box.checked };
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

  #drawTokens(): void {
    const spelt = this.#spelt;
    const { target, exactly } = this.wording;
    const current = this.isWritten && text(spelt.text) === target && (spelt.exactly === true) === exactly;
    const pieces = current ? list(spelt.pieces).map(text) : [];
    redraw(this.#pieces, pieces, () => pieces.map((piece) => pieceOf(piece)));
    const words = () => text(spelt.why) || spelling(pieces.length, number(spelt.count) ?? pieces.length);
    setText(this.#note, current ? words() : "");
  }
}
