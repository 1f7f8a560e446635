// All rows of a long prompt in one strip, beside the few that are in sight: where something shines, where the subject
// is, and where one looks. A stripe for each panel; every row has the colour of its strongest cell.
import { element, setAttributes, show } from "../shared/dom";
import type { Theme } from "../shared/theme";
import { isNoise, scaleOf, subjectSpans } from "./cells";
import type { Frame } from "./grid";
import type { Layout } from "./layout";
import { css, type Ramp } from "./palettes";
import { placeOn } from "./scales";

/** With the space to its left. */
export const MAP_WIDTH = 44;
const STRIP = 34;
/** To the left of the stripes, for the subject's mark. */
const MARGIN = 6;

export class Minimap {
  readonly #canvas = element("canvas");
  readonly #window = element("div", { class: "fl-map-window" });
  readonly root = element(
    "div",
    {
      class: "fl-map",
      "aria-hidden": "true",
      hidden: true,
      testid: "map",
      title: "All tokens of the prompt, and those in sight: drag to move",
    },
    this.#window,
  );
  #rows = 1;
  #cellHeight = 1;

  constructor(private readonly scroller: HTMLElement) {
    let held = false;
    const go = ({ clientY }: PointerEvent) => {
      const box = this.root.getBoundingClientRect();
      const middle = ((clientY - box.top) / box.height) * this.#rows * this.#cellHeight;
      this.scroller.scrollTop = middle - this.scroller.clientHeight / 2;
    };
    this.root.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      held = true;
      this.root.setPointerCapture(event.pointerId);
      event.preventDefault();
      go(event);
    });
    this.root.addEventListener("pointermove", (event) => held && go(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.root.addEventListener(end, () => {
        held = false;
      });
    }
    this.scroller.addEventListener("scroll", () => this.follow(), { passive: true });
  }

  show(visible: boolean): void {
    show(this.root, visible);
    if (!visible) this.#canvas.remove();
    else if (!this.#canvas.isConnected) this.root.prepend(this.#canvas);
  }

  /** Frames what is in sight. */
  follow(): void {
    if (this.root.hidden) return;
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    const share = (part: number) => `${(100 * part) / Math.max(1, scrollHeight)}%`;
    Object.assign(this.#window.style, { top: share(scrollTop), height: share(clientHeight) });
  }

  paint(frame: Frame, layout: Layout, rampOf: (kind: string) => Ramp, theme: Theme): void {
    if (this.root.hidden) return;
    this.#rows = frame.tokens.length;
    this.#cellHeight = layout.cellHeight;
    const ratio = globalThis.devicePixelRatio || 1;
    const [width, height] = [Math.round(STRIP * ratio), Math.round(this.root.clientHeight * ratio)];
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      setAttributes(this.#canvas, { width, height });
    }
    const pen = this.#canvas.getContext("2d");
    if (!pen) return;
    pen.clearRect(0, 0, width, height);
    const across = (width - MARGIN * ratio) / frame.kinds.length;
    frame.kinds.forEach((kind, place) => {
      const ramp = rampOf(kind);
      const rows = strongest(frame, kind, place);
      const left = Math.round(MARGIN * ratio + place * across);
      for (let y = 0; y < height; y += 1) {
        // A line may stand for several rows of a very long prompt: the strongest shows.
        const end = Math.max(Math.ceil(((y + 1) / height) * rows.length), 1);
        let shown = Number.NaN;
        for (let row = Math.floor((y / height) * rows.length); row < end; row += 1) {
          const strength = rows[row] ?? Number.NaN;
          if (!(Math.abs(shown) >= Math.abs(strength)) && !Number.isNaN(strength)) shown = strength;
        }
        if (Number.isNaN(shown)) continue;
        pen.fillStyle = css(ramp(shown));
        pen.fillRect(left, y, Math.ceil(across - ratio), 1);
      }
    });
    pen.fillStyle = css(theme.foreground);
    for (const [first, last] of subjectSpans(frame.tokens)) {
      const [top, bottom] = [first, last + 1].map((row) => Math.round((row / this.#rows) * height));
      pen.fillRect(0, top as number, Math.round(3 * ratio), Math.max(2 * ratio, (bottom as number) - (top as number)));
    }
    this.follow();
  }
}

/** The place on the colour bar of each row's strongest cell; NaN for a row that has none yet. */
function strongest(frame: Frame, kind: string, place: number): Float32Array {
  const { scores, estimates, layers, tokens } = frame;
  const scale = scaleOf(frame, kind);
  const rows = new Float32Array(tokens.length).fill(Number.NaN);
  let at = place * tokens.length * layers;
  for (let row = 0; row < tokens.length; row += 1) {
    let most = Number.NaN;
    for (let layer = 0; layer < layers; layer += 1, at += 1) {
      const score = scores[at] as number;
      const value = Number.isNaN(score) ? (estimates[at] as number) : score;
      const where = isNoise(frame, at) ? 0 : placeOn(scale, value);
      if (Math.abs(where) > Math.abs(most) || Number.isNaN(most)) most = where;
    }
    rows[row] = most;
  }
  return rows;
}
