// How large the cells are and whether the panels stand side by side: plain arithmetic, no DOM.

export interface Layout {
  /** Side by side, sharing the token labels; or one below the other, each with its own. */
  mode: "side" | "stack";
  cellWidth: number;
  cellHeight: number;
  plotWidth: number;
  plotHeight: number;
}

export const GAP = 24;
/** A row is a comfortable target for a finger or a shaky hand, as long as there are not too many. */
const CELL_HEIGHTS: [most: number, height: number][] = [
  [60, 24],
  [160, 18],
  [Number.POSITIVE_INFINITY, 14],
];
const MIN_CELL = 14;
/** So many layers are no row of targets any more, but a picture with a cursor in it. */
const DEEP = 60;
const MIN_DEEP_CELL = 10;
const MAX_CELL = 64;
/** More rows than this, and the panels scroll inside the widget. */
export const LONG_PROMPT = 28;
/** Narrower than this, a panel cannot carry its title. */
const MIN_SIDE_PLOT = 150;

/** `inView`: so many layers fill the room, and the others are a scroll away; null for all of them. */
export function layoutFor(
  width: number,
  labelWidth: number,
  shape: { kinds: number; tokens: number; layers: number },
  inView: number | null = null,
): Layout {
  const { kinds, tokens, layers } = shape;
  const least = layers > DEEP ? MIN_DEEP_CELL : MIN_CELL;
  const sideWidth = (width - labelWidth - GAP * (kinds - 1)) / kinds;
  const fits = sideWidth >= MIN_SIDE_PLOT && sideWidth / layers >= least;
  // Three long panels one below the other would hide the second; sideways it is one short scroll away.
  const side = inView === null && (fits || (kinds > 1 && tokens > LONG_PROMPT));
  const room = side ? Math.max(sideWidth, MIN_SIDE_PLOT) : width - labelWidth;
  // Whole pixels keep the cells equally wide. A deep model in a narrow cell scrolls instead of shrinking further.
  const cellWidth = Math.min(MAX_CELL, Math.max(least, Math.floor(room / Math.min(layers, inView ?? layers))));
  const cellHeight = (CELL_HEIGHTS.find(([most]) => tokens <= most) as [number, number])[1];
  return {
    mode: side ? "side" : "stack",
    cellWidth,
    cellHeight,
    plotWidth: cellWidth * layers,
    plotHeight: cellHeight * tokens,
  };
}
