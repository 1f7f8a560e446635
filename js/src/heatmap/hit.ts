// Which cell lies under a point of a panel's canvas.
import type { Layout } from "./layout";

export function cellAt(
  x: number,
  y: number,
  layout: Layout,
  tokens: number,
  layers: number,
): { token: number; layer: number } | null {
  const layer = Math.floor(x / layout.cellWidth);
  const token = Math.floor(y / layout.cellHeight);
  return layer >= 0 && layer < layers && token >= 0 && token < tokens ? { token, layer } : null;
}
