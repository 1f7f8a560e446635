// The panels side by side or one below the other: made for a frame, measured for the page's width, found by the pointer.
import { setAttributes } from "../shared/dom";
import type { Cell, Frame } from "./grid";
import { type Layout, LONG_PROMPT, layoutFor } from "./layout";
import type { Page } from "./page";
import { Panel, type PanelEvents } from "./panel";
import type { Span } from "./sentences";

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export class Stage {
  panels: Panel[] = [];
  layout: Layout | null = null;
  #builtFor = "";
  #layoutKey = "";
  #labels = 0;

  constructor(private readonly page: Page) {}

  /** Makes new panels when the tokens, kinds or layers are other ones than before, and says whether it did. */
  build(frame: Frame, events: PanelEvents): boolean {
    const key = JSON.stringify([frame.kinds, frame.titles, frame.layers, frame.tokens]);
    if (key === this.#builtFor) return false;
    this.#builtFor = key;
    this.#layoutKey = "";
    this.panels = frame.kinds.map((kind) => new Panel(frame, kind, events));
    this.page.panelBox.replaceChildren(...this.panels.map((panel) => panel.root));
    return true;
  }

  /** Finds the layout for the page's width, of which `inView` layers fill the room; false while there is no width. */
  measure({ kinds, tokens, layers }: Frame, inView: Span | null): boolean {
    const { root, scroller, panels } = this.page;
    // The table hides the panels; the root's width is the same and always there.
    const width = root.clientWidth;
    if (width <= 0) return false;
    if (!scroller.hidden) this.#labels = this.labelWidth || this.#labels;
    const count = inView && inView[1] - inView[0] + 1;
    const key = `${width} ${this.#labels} ${count}`;
    if (key === this.#layoutKey) return true;
    this.#layoutKey = key;
    const shape = { kinds: kinds.length, tokens: tokens.length, layers };
    const layout = layoutFor(width - 2, this.#labels, shape, count);
    this.layout = layout;
    panels.dataset.layout = layout.mode;
    setAttributes(scroller, { "data-long": tokens.length > LONG_PROMPT });
    if (inView) requestAnimationFrame(() => scroller.scrollTo({ left: inView[0] * layout.cellWidth }));
    return true;
  }

  get labelWidth(): number {
    return this.panels[0]?.labels.offsetWidth ?? 0;
  }

  /** Where a cell lies inside the panels, which scroll as a whole. */
  boxOf({ kind, token, layer }: Cell): Box | null {
    const panel = this.panels.find((candidate) => candidate.kind === kind);
    if (!panel || !this.layout) return null;
    const origin = this.page.panels.getBoundingClientRect();
    const canvas = panel.canvas.getBoundingClientRect();
    const { cellWidth, cellHeight } = this.layout;
    return {
      left: canvas.left - origin.left + layer * cellWidth,
      top: canvas.top - origin.top + token * cellHeight,
      width: cellWidth,
      height: cellHeight,
    };
  }
}
