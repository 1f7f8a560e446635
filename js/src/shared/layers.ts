// Layers in words, for the edit panel and for the heatmap.

/** "layer 2", "layers 2 to 4", or "layers 2, 5". */
export function layersWords(layers: number[]): string {
  const [first, last] = [layers[0], layers[layers.length - 1]];
  if (first === undefined || last === undefined) return "";
  if (layers.length === 1) return `layer ${first}`;
  const gapless = layers.every((layer, i) => layer === first + i);
  return gapless ? `layers ${first} to ${last}` : `layers ${layers.join(", ")}`;
}
