import { describe, expect, test } from "vitest";
import { cellAt } from "../src/heatmap/hit";
import { move } from "../src/heatmap/keyboard";
import { GAP, layoutFor } from "../src/heatmap/layout";
import { share, ticks, windowAround } from "../src/heatmap/scales";

describe("layout", () => {
  test("three panels share the rows where they fit, and fill the width", () => {
    const layout = layoutFor(1100, 100, { kinds: 3, tokens: 7, layers: 8 });
    expect(layout.mode).toBe("side");
    const used = 100 + 3 * layout.plotWidth + 2 * GAP;
    expect(used).toBeLessThanOrEqual(1100);
    expect(used).toBeGreaterThan(1100 - 3 * 8);
    expect(layout.plotHeight).toBe(7 * 24);
  });

  test("narrow: one below the other; deep: fine cells side by side, as long as they can be seen", () => {
    expect(layoutFor(480, 100, { kinds: 3, tokens: 7, layers: 8 })).toMatchObject({ mode: "stack", cellWidth: 47 });
    expect(layoutFor(1256, 110, { kinds: 3, tokens: 12, layers: 30 })).toMatchObject({ mode: "side", cellWidth: 12 });
    expect(layoutFor(1100, 100, { kinds: 3, tokens: 7, layers: 48 })).toMatchObject({ mode: "side", cellWidth: 6 });
    expect(layoutFor(1100, 100, { kinds: 3, tokens: 7, layers: 80 })).toMatchObject({ mode: "stack", cellWidth: 12 });
  });

  test("cells stop shrinking, and the heatmap scrolls", () => {
    const layout = layoutFor(376, 110, { kinds: 3, tokens: 7, layers: 80 });
    expect(layout).toMatchObject({ mode: "stack", cellWidth: 8 });
    expect(layout.plotWidth).toBeGreaterThan(376);
  });

  test("long prompts stand side by side, and scroll sideways where they must", () => {
    expect(layoutFor(1100, 100, { kinds: 3, tokens: 60, layers: 48 })).toMatchObject({ mode: "side", cellWidth: 6 });
    expect(layoutFor(900, 100, { kinds: 3, tokens: 60, layers: 80 })).toMatchObject({ mode: "side", cellWidth: 8 });
    expect(layoutFor(320, 100, { kinds: 3, tokens: 60, layers: 8 })).toMatchObject({ mode: "side", cellWidth: 19 });
    expect(layoutFor(480, 100, { kinds: 1, tokens: 60, layers: 48 })).toMatchObject({ cellWidth: 7 });
  });

  test("whatever the width: no wider than it, unless it scrolls with cells that can be hit", () => {
    for (let width = 376; width <= 2500; width += 59) {
      for (const layers of [5, 12, 30, 48, 80]) {
        for (const tokens of [5, 12, 28, 60, 200]) {
          const { mode, cellWidth, plotWidth } = layoutFor(width, 110, { kinds: 3, tokens, layers });
          const used = 110 + (mode === "side" ? 3 * plotWidth + 2 * GAP : plotWidth);
          expect(used <= width || (cellWidth >= 8 && (tokens > 28 || mode === "stack"))).toBe(true);
          expect(cellWidth).toBeGreaterThanOrEqual(4);
        }
      }
    }
  });

  test("a zoom is the layout of so many layers, and the others are out of sight", () => {
    const shape = { kinds: 3, tokens: 200, layers: 80 };
    const { mode, cellWidth, plotWidth, viewWidth } = layoutFor(1100, 110, shape, 20);
    expect([mode, cellWidth]).toEqual(["side", layoutFor(1100, 110, { ...shape, layers: 20 }).cellWidth]);
    expect([plotWidth, viewWidth]).toEqual([80 * cellWidth, 20 * cellWidth]);
  });

  test("two layers do not become two barn doors", () => {
    expect(layoutFor(1600, 100, { kinds: 3, tokens: 7, layers: 2 }).cellWidth).toBe(64);
  });
});

test("cellAt", () => {
  const layout = layoutFor(1100, 100, { kinds: 3, tokens: 7, layers: 8 });
  const { cellWidth: w, cellHeight: h } = layout;
  expect(cellAt(0, 0, layout, 7, 8)).toEqual({ token: 0, layer: 0 });
  expect(cellAt(w - 0.1, h - 0.1, layout, 7, 8)).toEqual({ token: 0, layer: 0 });
  expect(cellAt(w, h, layout, 7, 8)).toEqual({ token: 1, layer: 1 });
  // Rows and columns differ in number, so that a swap would show.
  expect(cellAt(7.5 * w, 6.5 * h, layout, 7, 8)).toEqual({ token: 6, layer: 7 });
  expect(cellAt(8 * w, 0, layout, 7, 8)).toBeNull();
  expect(cellAt(0, 7 * h, layout, 7, 8)).toBeNull();
  expect(cellAt(-1, 0, layout, 7, 8)).toBeNull();
});

describe("scale", () => {
  test("runs from the corrupted to the clean run and stops there", () => {
    expect(share(0.04, 0.04, 0.94)).toBe(0);
    expect(share(0.94, 0.04, 0.94)).toBe(1);
    expect(share(0.49, 0.04, 0.94)).toBeCloseTo(0.5);
    expect(share(0.99, 0.04, 0.94)).toBe(1);
    expect(share(0.01, 0.04, 0.94)).toBe(0);
  });

  test("not computed stays so; no gap gives no colour; unknown ends give the probability", () => {
    expect(share(Number.NaN, 0.1, 0.9)).toBeNaN();
    expect(share(0.5, 0.5, 0.5)).toBe(0);
    expect(share(0.3, Number.NaN, 0.9)).toBe(0.3);
  });

  test("the ends may be negative, and corruption may have raised the metric", () => {
    expect(share(-2, -3, -1)).toBeCloseTo(0.5);
    expect(share(-4, -3, -1)).toBe(0);
    expect(share(0, -3, -1)).toBe(1);
    expect(share(0.5, 2, -1)).toBeCloseTo(0.5);
    expect(share(3, 2, -1)).toBe(0);
    expect(share(-2, 2, -1)).toBe(1);
  });

  test("ticks keep their distance", () => {
    expect(ticks(4, 40)).toEqual([0, 1, 2, 3]);
    expect(ticks(7, 14)).toEqual([0, 2, 4, 6]);
    expect(ticks(12, 5)).toEqual([0, 5, 10]);
  });

  test("the window is ROME's: half before, the rest from the layer on, cut at the ends", () => {
    const code = (window: number, layers: number) => ({ window, layers, convention: "code" });
    expect(windowAround(20, code(10, 48))).toEqual([15, 24]);
    expect(windowAround(4, code(3, 8))).toEqual([3, 5]);
    expect(windowAround(0, code(3, 8))).toEqual([0, 1]);
    expect(windowAround(47, code(10, 48))).toEqual([42, 47]);
    expect(windowAround(2, code(1, 8))).toEqual([2, 2]);
  });

  test("in the paper's text an even window reaches further up; an odd one is centred in both", () => {
    const paper = (window: number, layers: number) => ({ window, layers, convention: "paper" });
    expect(windowAround(20, paper(10, 48))).toEqual([16, 25]);
    expect(windowAround(0, paper(10, 48))).toEqual([0, 5]);
    expect(windowAround(4, paper(3, 8))).toEqual([3, 5]);
    expect(windowAround(2, paper(1, 8))).toEqual([2, 2]);
  });
});

describe("keyboard", () => {
  const shape = { kinds: ["state", "mlp", "attn"], tokens: 7, layers: 8 };
  const at = { kind: "mlp", token: 2, layer: 3 };
  const cases: [string, boolean, object][] = [
    ["ArrowUp", false, { token: 1 }],
    ["ArrowDown", false, { token: 3 }],
    ["ArrowLeft", false, { layer: 2 }],
    ["ArrowRight", false, { layer: 4 }],
    ["Home", false, { layer: 0 }],
    ["End", false, { layer: 7 }],
    ["Home", true, { token: 0, layer: 0 }],
    ["End", true, { token: 6, layer: 7 }],
    ["PageUp", false, { kind: "state" }],
    ["PageDown", false, { kind: "attn" }],
  ];
  test.each(cases)("%s (ctrl: %s)", (key, ctrl, change) => {
    expect(move(at, key, ctrl, shape)).toEqual({ ...at, ...change });
  });

  test("stops at the edges and leaves other keys alone", () => {
    const corner = { kind: "attn", token: 6, layer: 7 };
    for (const key of ["ArrowDown", "ArrowRight", "PageDown"]) expect(move(corner, key, false, shape)).toEqual(corner);
    for (const key of ["a", "Tab", "Escape", "Enter"]) expect(move(at, key, false, shape)).toBeNull();
  });
});
