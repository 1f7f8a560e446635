// What a view shows: the traces as they came, the frame that was made of them, and what Python says beside them.
import type { AnyModel } from "../shared/model";
import { siteTitle } from "../shared/sites";
import { type Comparison, decodeComparison, firstCompared } from "./comparison";
import { type Cell, decodeCell, decodeFrame, type Frame } from "./grid";
import { type Options, prepare, readable } from "./prepare";
import type { Offer } from "./toolbar";
import { wordStarts } from "./words";

export class Shown {
  given: Frame | null = null;
  comparison: Comparison | null = null;
  /** As it is on the page: tokens or words, in one reading, of one trace or two. */
  frame: Frame | null = null;
  #newest = Number.NEGATIVE_INFINITY;

  constructor(private readonly model: AnyModel) {}

  /** Takes what has come; says whether another run has begun. */
  take(): boolean {
    this.comparison = decodeComparison(this.model.get("comparison"));
    const next = decodeFrame(this.model.get("frame"));
    if (next && next.run < this.#newest) return false; // late news of a run that was replaced
    this.given = next;
    if (!next || next.run === this.#newest) return false;
    this.#newest = next.run;
    return true;
  }

  prepare(options: Options): void {
    this.frame = prepare(this.given, this.comparison, options);
  }

  /** What there is to choose from. */
  get offer(): Offer {
    const { given, comparison, cells } = this;
    return {
      readable: (reading) => readable(given, comparison, reading),
      words: cells !== null && wordStarts(cells.tokens).length < cells.tokens.length,
      compare: Object.entries(comparison?.a.sites ?? {}).map(([kind, site]) => [kind, siteTitle(site)]),
      first: comparison ? firstCompared(comparison) : "",
      always: given === null,
      code: (cells?.code ?? "") !== "",
    };
  }

  /** The trace whose tokens and layers pins and ranges count. */
  get cells(): Frame | null {
    return this.given ?? this.comparison?.b ?? null;
  }

  /** As Python has confirmed it; a comparison alone has none. */
  get selection(): Cell | null {
    return this.given && decodeCell(this.model.get("selection"), this.given);
  }

  get busy(): boolean {
    return this.model.get("busy") === true;
  }
}
