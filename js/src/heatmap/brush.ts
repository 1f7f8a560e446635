// Dragging along the layer axis or the token labels marks a range; a click on one number or label marks that one.
import { element, show } from "../shared/dom";
import type { Span } from "./sentences";

export class Brush {
  /** A band over the plot, in the direction of the axis. */
  readonly band = element("div", { class: "fl-overlay fl-band", hidden: true });
  /** The same on the axis itself, where no outline of a cell can lie over it. */
  readonly #span = element("div", { class: "fl-overlay fl-span", hidden: true });
  #from: number | null = null;
  #shown: Span | null = null;
  #before: Span | null = null;

  /** `at` tells which step of the axis a pointer is on; `changed` hears every step, `done` the last; null where a click
   *  was on what is marked already. */
  constructor(
    axis: HTMLElement,
    private readonly along: "x" | "y",
    at: (event: PointerEvent) => number,
    changed: (span: Span | null, done: boolean) => void,
  ) {
    axis.prepend(this.#span);
    const span = (event: PointerEvent): Span => {
      const to = at(event);
      const from = this.#from ?? to;
      return [Math.min(from, to), Math.max(from, to)];
    };
    axis.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#from = at(event);
      this.#before = this.#shown;
      axis.setPointerCapture(event.pointerId);
      event.preventDefault(); // no selecting of text
      changed(span(event), false);
    });
    axis.addEventListener("pointermove", (event) => {
      if (this.#from !== null) changed(span(event), false);
    });
    axis.addEventListener("pointerup", (event) => {
      if (this.#from === null) return;
      const swept = span(event);
      this.#from = null;
      const again = this.#before !== null && swept[0] === this.#before[0] && swept[1] === this.#before[1];
      changed(again ? null : swept, true);
    });
    axis.addEventListener("pointercancel", () => {
      this.#from = null;
    });
  }

  draw(span: Span | null, step: number): void {
    this.#shown = span;
    show(this.band, span !== null);
    show(this.#span, span !== null);
    if (!span) return;
    const [begin, size] = [`${span[0] * step}px`, `${(span[1] - span[0] + 1) * step}px`];
    const place =
      this.along === "x"
        ? { left: begin, width: size, top: "0", height: "100%" }
        : { top: begin, height: size, left: "0", width: "100%" };
    for (const node of [this.band, this.#span]) Object.assign(node.style, place);
  }
}
