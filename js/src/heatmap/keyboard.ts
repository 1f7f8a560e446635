// Where a key leads from a cell. The whole heatmap is one stop of the Tab key; inside, these keys move.
import type { Cell } from "./grid";

export interface Shape {
  kinds: string[];
  tokens: number;
  layers: number;
}

/** The cell the key leads to, possibly the same one; null for a key that is not ours. */
export function move(cell: Cell, key: string, corner: boolean, shape: Shape): Cell | null {
  const panel = shape.kinds.indexOf(cell.kind);
  const to = (token: number, layer: number, kind = panel): Cell => ({
    kind: shape.kinds[clamp(kind, shape.kinds.length)] ?? cell.kind,
    token: clamp(token, shape.tokens),
    layer: clamp(layer, shape.layers),
  });
  switch (key) {
    case "ArrowUp":
      return to(cell.token - 1, cell.layer);
    case "ArrowDown":
      return to(cell.token + 1, cell.layer);
    case "ArrowLeft":
      return to(cell.token, cell.layer - 1);
    case "ArrowRight":
      return to(cell.token, cell.layer + 1);
    case "Home":
      return to(corner ? 0 : cell.token, 0);
    case "End":
      return to(corner ? shape.tokens - 1 : cell.token, shape.layers - 1);
    case "PageUp":
      return to(cell.token, cell.layer, panel - 1);
    case "PageDown":
      return to(cell.token, cell.layer, panel + 1);
    default:
      return null;
  }
}

function clamp(value: number, length: number): number {
  return Math.min(length - 1, Math.max(0, value));
}
