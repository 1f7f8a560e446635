// The panels side by side or one below the other: made for a frame, measured for the page's width, found by the pointer.
import { setAttributes, show } from "../shared/dom";
import type { Cell, Frame } from "./grid";
import { EASY, type Layout, LONG_PROMPT, layoutFor } from "./layout";
import { MAP_WIDTH } from "./minimap";
import type { Page } from "./page";
import { Panel, type PanelEvents } from "./panel";
import type { Span } from "./sentences";

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The layers and rows in sight, and some rows to either side: only these are painted. */
export interface Sight {
  layers: Span;
  rows: Span;
}

/** Rows painted beyond those in sight, so that a short scroll shows no gap. */
const SPARE = 8;
/** Rows above the subject that a long prompt begins with: there is no effect before it, but a place in the prompt. */
const ABOVE = 2;

export class Stage {
  panels: Panel[] = [];
  layout: Layout | null = null;
  #builtFor = "";
  #layoutKey = "";
  #labels = 0;
  #long = false;
  #layers = 0;
  #tokens = 0;
  /** The first layer in sight, of so many. */
  #from = 0;
  #across = 0;
  #painted: Sight = { layers: [0, -1], rows: [0, -1] };

  constructor(private readonly page: Page) {}

  /** Makes new panels when the tokens, kinds or layers are other ones than before, and says whether it did. */
  build(frame: Frame, events: PanelEvents): boolean {
    const key = JSON.stringify([frame.kinds, frame.titles, frame.layers, frame.tokens]);
    if (key === this.#builtFor) return false;
    this.#builtFor = key;
    this.#layoutKey = "";
    this.#layers = frame.layers;
    this.#tokens = frame.tokens.length;
    this.#long = this.#tokens > LONG_PROMPT;
    this.panels = frame.kinds.map((kind) => new Panel(frame, kind, events));
    this.page.panelBox.replaceChildren(...this.panels.map((panel) => panel.root));
    return true;
  }

  /** Lays the panels out for the page's width, where `inView` layers fill the room; false while there is no width. */
  measure(frame: Frame, inView: Span | null): boolean {
    const { root, scroller, panels, map, narrow } = this.page;
    map.show(frame.tokens.length > LONG_PROMPT && !scroller.hidden);
    // The table hides the panels; the root's width is the same and always there.
    const width = root.clientWidth;
    if (width <= 0) return false;
    if (!scroller.hidden) this.#labels = this.labelWidth || this.#labels;
    const key = `${width} ${this.#labels} ${inView}`;
    if (key === this.#layoutKey) return true;
    const begins = this.#layoutKey === "";
    this.#layoutKey = key;
    const shape = { kinds: frame.kinds.length, tokens: this.#tokens, layers: this.#layers };
    this.#across = inView ? inView[1] - inView[0] + 1 : this.#layers;
    this.#from = inView?.[0] ?? 0;
    const layout = layoutFor(width - 2 - (this.#long ? MAP_WIDTH : 0), this.#labels, shape, this.#across);
    this.layout = layout;
    panels.dataset.layout = layout.mode;
    setAttributes(scroller, { "data-long": this.#long });
    show(narrow, layout.cellWidth < EASY);
    for (const panel of this.panels) panel.lay(frame, layout, this.#from);
    const subject = frame.tokens.findIndex((token) => token.subject);
    if (begins && this.#long) scroller.scrollTo({ left: 0, top: (subject - ABOVE) * layout.cellHeight });
    return true;
  }

  /** What has to be painted now. */
  look(): Sight {
    const { scroller } = this.page;
    const layers: Span = [this.#from, this.#from + this.#across - 1];
    if (!this.#long || !this.layout) return { layers, rows: [0, this.#tokens - 1] };
    const { cellHeight } = this.layout;
    const first = Math.floor(scroller.scrollTop / cellHeight) - SPARE;
    const last = Math.ceil((scroller.scrollTop + scroller.clientHeight) / cellHeight) + SPARE;
    const rows: Span = [Math.max(0, first), Math.min(this.#tokens - 1, last)];
    return { layers, rows };
  }

  sight(): Sight {
    this.#painted = this.look();
    return this.#painted;
  }

  /** Has it been scrolled to rows that are not painted? */
  get strayed(): boolean {
    const [first, last] = this.look().rows;
    const [top, bottom] = this.#painted.rows;
    const [above, below] = [first + (first > 0 ? SPARE / 2 : 0), last - (last < this.#tokens - 1 ? SPARE / 2 : 0)];
    return above < top || below > bottom;
  }

  /** Moves the layers in sight so that this one is among them; says whether it had to. */
  reveal(layer: number): boolean {
    const from = Math.min(layer, Math.max(this.#from, layer - this.#across + 1));
    if (from === this.#from) return false;
    this.#from = from;
    for (const panel of this.panels) panel.shift(from);
    return true;
  }

  get labelWidth(): number {
    return this.panels[0]?.labels.offsetWidth ?? 0;
  }

  /** Where a cell lies inside the panels, which scroll as a whole; at the edge, where its layer is out of sight. */
  boxOf({ kind, token, layer }: Cell): Box | null {
    const panel = this.panels.find((candidate) => candidate.kind === kind);
    if (!panel || !this.layout) return null;
    const origin = this.page.panels.getBoundingClientRect();
    const plot = panel.plot.getBoundingClientRect();
    const { cellWidth, cellHeight } = this.layout;
    const column = Math.min(this.#across - 1, Math.max(0, layer - this.#from));
    return {
      left: plot.left - origin.left + column * cellWidth,
      top: plot.top - origin.top + token * cellHeight,
      width: cellWidth,
      height: cellHeight,
    };
  }
}
