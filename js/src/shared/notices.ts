// What is said at the fields of a panel: of mistakes, and of what may not be meant, with a button for each way out.
//
// Python decides what is said and what a button writes. A mistake is about the very texts that were sent: while something
// else is being written nothing is said of it.
import { element, isAvailable, redraw, setAttributes, setAvailable, show } from "./dom";
import { list, record, text } from "./model";
import { RUNNING } from "./panel";

/** A field of the page: what it is called, and its box, where it has one. */
export interface Field {
  name: string;
  box?: HTMLElement;
}

/** A way out: the gesture that takes it, and what is written for it, by field. */
export interface Offer {
  label: string;
  gesture: string;
  changes: Record<string, unknown>;
}

let counter = 0;

export class Notices {
  readonly root: HTMLElement;
  readonly #id = `factlens-notices-${++counter}-${Math.random().toString(36).slice(2, 8)}`;

  /** `take` carries an offer out. */
  constructor(
    testid: string,
    private readonly fields: Record<string, Field>,
    private readonly take: (offer: Offer) => void,
  ) {
    this.root = element("div", { class: "fl-notices", role: "status", hidden: true, testid });
  }

  /** Is there a field that this is about? */
  has(notice: Record<string, unknown>): boolean {
    return text(notice.field) in this.fields;
  }

  /** Shows a mistake, if there is one, and what else is to be known. What computes waits until nothing else does. */
  update(mistake: Record<string, unknown> | null, notes: Record<string, unknown>[], idle: boolean): void {
    const all = [...(mistake ? [mistake] : []), ...notes];
    const ids = all.map((_, index) => `${this.#id}-${index}`);
    redraw(this.root, [mistake !== null, all], () =>
      all.map((notice, index) => this.#line(notice, notice === mistake, ids[index] ?? "")),
    );
    show(this.root, all.length > 0);
    for (const button of this.root.querySelectorAll("button")) {
      setAvailable(button, idle || button.dataset.gesture === "spell", RUNNING);
    }
    for (const [name, { box }] of Object.entries(this.fields)) {
      if (!box) continue;
      const its = ids.filter((_, index) => text(all[index]?.field) === name);
      setAttributes(box, {
        "aria-describedby": its.join(" ") || null,
        "aria-invalid": mistake && text(mistake.field) === name ? "true" : null,
      });
    }
  }

  #line(notice: Record<string, unknown>, wrong: boolean, id: string): HTMLElement {
    const field = this.fields[text(notice.field)];
    const words = element("span", { id });
    if (field) words.append(element("strong", {}, field.name), " ");
    words.append(text(notice.text));
    const offers = list(notice.offers).map(record).map(readOffer);
    return element(
      "div",
      { class: wrong ? "fl-error" : "fl-notice", testid: `notice-${text(notice.field)}` },
      words,
      ...offers.map((offer) => this.#button(offer, field)),
    );
  }

  #button(offer: Offer, field: Field | undefined): HTMLElement {
    const button = element("button", { class: "fl-small fl-offer", "data-gesture": offer.gesture }, offer.label);
    button.addEventListener("click", () => {
      if (!isAvailable(button)) return;
      // The button goes with what it is about; without the focus the next key would be the notebook's.
      field?.box?.focus();
      this.take(offer);
    });
    return button;
  }
}

function readOffer({ label, gesture, changes }: Record<string, unknown>): Offer {
  return { label: text(label), gesture: text(gesture), changes: record(changes) };
}

/** Where a panel's mistake stands: at its field, in the banner, or nowhere while something else is being written. */
export class Mistake {
  #key = "";
  #typed = false;
  #sent: Record<string, unknown> | null = null;

  constructor(
    private readonly notices: Notices,
    private readonly written: () => Record<string, unknown>,
  ) {}

  /** Something was written since. */
  input(): void {
    this.#typed = true;
    this.#sent = null;
  }

  /** This was sent: what comes back is about it. */
  sent(texts: Record<string, unknown>): void {
    this.#sent = texts;
  }

  /** Returns the notice of an error, for its field; and the error, if the banner has to show it. */
  place(error: unknown): { notice: Record<string, unknown> | null; banner: unknown } {
    const key = JSON.stringify(error ?? null);
    if (key !== this.#key) this.#typed = false;
    this.#key = key;
    const notice = record(record(error).notice);
    if (!this.notices.has(notice)) return { notice: null, banner: error };
    const now = this.#sent ?? this.written();
    const matches = Object.entries(record(notice.about)).every(([name, value]) => same(now[name], value));
    if (matches) return { notice, banner: null };
    return { notice: null, banner: this.#typed ? null : error };
  }
}

/** Boxes know one kind of line break. */
function same(a: unknown, b: unknown): boolean {
  const plain = (value: unknown) => (typeof value === "string" ? value.replace(/\r\n?/g, "\n") : (value ?? null));
  return plain(a) === plain(b);
}
