// How far the work is that a panel has started: a bar, what is being done, how long it will take, and Stop.
//
// It is there with the click, before Python has answered, and goes when Python says that the work is over.
import { element, onClick, setAttributes, setText, show } from "./dom";
import type { Kernel } from "./gestures-event";
import { number, record, text } from "./model";

const STATUS: Record<string, string> = {
  queued: "Waiting for its turn …",
  tracing: "Tracing …",
  editing: "Editing …",
  calibrating: "Measuring where and how to edit …",
  judging: "Checking what else changed …",
  stopping: "Stopping …",
};

const STARTING = "Starting …";
/** So long after the answer to a click its work may begin, or be refused. */
const GRACE_MS = 500;

export const KERNEL_WORDS: Record<Kernel, string> = {
  answered: "",
  busy: "The kernel is busy with another cell: your click waits for it.",
  restarted: "The kernel was restarted. Run this cell again.",
};

export class Running {
  readonly #filled = element("span", { class: "fl-progress-bar" });
  readonly #bar = element(
    "div",
    {
      class: "fl-progress",
      role: "progressbar",
      "aria-label": "Progress",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      testid: "progress",
    },
    this.#filled,
  );
  readonly #message: HTMLElement;
  readonly #stop: HTMLButtonElement | null;
  readonly root: HTMLElement;
  #starting = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pressed: Element | null = null;

  /** With a name, it has a Stop of its own, and is one of several on the page: test ids begin with the name. */
  constructor(name: string, stop?: () => void) {
    this.#message = element("span", { class: "fl-message", testid: name ? `${name}-message` : "message" });
    this.#stop = stop ? element("button", { class: "fl-small", testid: `${name}-stop` }, "Stop") : null;
    if (this.#stop && stop) onClick(this.#stop, stop);
    if (name) setAttributes(this.#bar, { "data-testid": `factlens-${name}-progress` });
    this.root = element("div", { class: "fl-progress-row", hidden: true }, this.#bar, this.#message);
    if (this.#stop) this.root.append(this.#stop);
  }

  /** Something was asked for: say so at once. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#starting = true;
    if (!this.root.hidden) return;
    if (this.#stop) setText(this.#stop, "Stop");
    this.#pressed = document.activeElement;
    this.#draw(0, STARTING, true);
  }

  /** What the kernel says of the last click, or that it says nothing. */
  kernel(now: Kernel): void {
    if (!this.#starting) return;
    clearTimeout(this.#timer);
    if (now === "answered") this.#timer = setTimeout(() => this.#end(), GRACE_MS);
    else this.#draw(0, KERNEL_WORDS[now], now === "busy");
  }

  /** Shows `{progress, message}` of the wire while the panel's own work goes on; `refused`: there will be none. */
  update(value: unknown, status: string, here: boolean, refused = false): void {
    if (!here || status === "idle") {
      if (!this.#starting || refused) this.#end();
      return;
    }
    this.#starting = false;
    clearTimeout(this.#timer);
    const { progress, message } = record(value);
    this.#draw(number(progress) ?? 0, text(message) || STATUS[status] || "", status !== "stopping");
    if (this.#stop) setText(this.#stop, status === "stopping" ? "Stopping …" : "Stop");
  }

  #draw(share: number, words: string, stoppable: boolean): void {
    const percent = 100 * Math.min(1, Math.max(0, share));
    this.#filled.style.width = `${percent}%`;
    setAttributes(this.#bar, { "aria-valuenow": Math.round(percent), "aria-valuetext": words || null });
    setText(this.#message, words);
    if (this.#stop) setAttributes(this.#stop, { "aria-disabled": String(!stoppable) });
    show(this.root, true);
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#starting = false;
    // A focused button that is hidden would leave the next key to the notebook.
    if (this.root.contains(document.activeElement) && this.#pressed instanceof HTMLElement) this.#pressed.focus();
    show(this.root, false);
  }
}
