// How far the running work is.
import { element, setAttributes, setText, show } from "../shared/dom";
import { number, text } from "../shared/model";

const STATUS: Record<string, string> = {
  queued: "Waiting for its turn …",
  tracing: "Tracing …",
  editing: "Editing …",
  calibrating: "Measuring where and how to edit …",
  judging: "Checking what else changed …",
  stopping: "Stopping …",
};

export class Progress {
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
  readonly #message = element("span", { class: "fl-message", testid: "message" });
  readonly root = element("div", { class: "fl-progress-row", hidden: true }, this.#bar, this.#message);

  update(state: Record<string, unknown>, status: string): void {
    const percent = 100 * Math.min(1, Math.max(0, number(state.progress) ?? 0));
    const words = text(state.message) || STATUS[status] || "";
    this.#filled.style.width = `${percent}%`;
    setAttributes(this.#bar, { "aria-valuenow": Math.round(percent), "aria-valuetext": words || null });
    setText(this.#message, words);
    show(this.root, status !== "idle");
  }
}
