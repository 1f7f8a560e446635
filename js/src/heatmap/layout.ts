// How large the cells are and whether the panels stand side by side: plain arithmetic, no DOM.

export interface Layout {
  /** Side by side, sharing the token labels; or one below the other, each with its own. */
  mode: "side" | "stack";
  cellWidth: number;
  cellHeight: number;
  plotWidth: number;
  plotHeight: number;
  /** So much of a plot's width is in sight: less than all of it where one looks at some layers only. */
  viewWidth: number;
}

export const GAP = 24;
/** A row is a comfortable target for a finger or a shaky hand, as long as there are not too many. */
const CELL_HEIGHTS: [most: number, height: number][] = [
  [9, 24],
  [14, 18],
  [80, 16],
  [Number.POSITIVE_INFINITY, 14],
];
/** What a mouse hits without care. Narrower cells are looked at all together, and some of them closely by the zoom. */
export const EASY = 8;
/** Where cells would be finer than this, panels stand one below the other, or scroll. */
const FINEST = 4;
const MAX_CELL = 64;
/** More rows than this, and the panels scroll inside the widget. */
export const LONG_PROMPT = 28;
/** Narrower than this, a panel cannot carry its title. */
const MIN_SIDE_PLOT = 150;

/** `inView`: so many layers fill the room, and the others are out of sight; null for all of them. */
export function layoutFor(
  width: number,
  labelWidth: number,
  shape: { kinds: number; tokens: number; layers: number },
  inView: number | null = null,
): Layout {
  const { kinds, tokens, layers } = shape;
  const across = Math.min(layers, inView ?? layers);
  const long = kinds > 1 && tokens > LONG_PROMPT;
  const sideWidth = Math.floor((width - labelWidth - GAP * (kinds - 1)) / kinds);
  const fits = sideWidth >= MIN_SIDE_PLOT && sideWidth / across >= FINEST;
  // One below the other, the panels of a long prompt would be screens apart; sideways it is one short scroll.
  const mode = fits || long ? "side" : "stack";
  // Whole pixels keep the cells equally wide. Where the finest are too wide still, the panels scroll sideways.
  const fitting = Math.floor((mode === "side" ? sideWidth : width - labelWidth) / across);
  const titled = Math.ceil(MIN_SIDE_PLOT / across);
  const scrolled = Math.max(EASY, mode === "side" ? titled : 0);
  const most = inView === null ? MAX_CELL : Math.max(MAX_CELL, titled);
  const cellWidth = Math.min(most, fits || (mode === "stack" && fitting >= FINEST) ? fitting : scrolled);
  const cellHeight = (CELL_HEIGHTS.find(([most]) => tokens <= most) as [number, number])[1];
  return {
    mode,
    cellWidth,
    cellHeight,
    plotWidth: cellWidth * layers,
    plotHeight: cellHeight * tokens,
    viewWidth: cellWidth * across,
  };
}
