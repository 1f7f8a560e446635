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
/** A row is a comfortable target for a finger or a shaky hand. */
export const CELL_HEIGHT = 24;
const MIN_CELL = 14;
const MAX_CELL = 64;
/** Narrower than this, a panel cannot carry its title. */
const MIN_SIDE_PLOT = 150;

export function layoutFor(
  width: number,
  labelWidth: number,
  shape: { kinds: number; tokens: number; layers: number },
): Layout {
  const { kinds, tokens, layers } = shape;
  const sideWidth = (width - labelWidth - GAP * (kinds - 1)) / kinds;
  const side = sideWidth >= MIN_SIDE_PLOT && sideWidth / layers >= MIN_CELL;
  const room = side ? sideWidth : width - labelWidth;
  // Whole pixels keep the cells equally wide. A deep model in a narrow cell scrolls instead of shrinking further.
  const cellWidth = Math.min(MAX_CELL, Math.max(MIN_CELL, Math.floor(room / layers)));
  return {
    mode: side ? "side" : "stack",
    cellWidth,
    cellHeight: CELL_HEIGHT,
    plotWidth: cellWidth * layers,
    plotHeight: CELL_HEIGHT * tokens,
  };
}
