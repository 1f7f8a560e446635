import { describe, expect, test } from "vitest";
import { decodeFrame, type Frame } from "../src/heatmap/grid";
import * as say from "../src/heatmap/sentences";
import { decimal, percent, restored, tokenName, tokenParts } from "../src/shared/a11y";

function frame(rest: Record<string, unknown> = {}): Frame {
  const grid = new Float32Array(3 * 3 * 4).fill(0.41);
  grid[3 * 4 - 1] = Number.NaN; // state, last token, last layer
  const decoded = decodeFrame({
    run: 1,
    kinds: ["state", "mlp", "attn"],
    tokens: [
      { text: "The", id: 1, subject: true },
      { text: " Needle", id: 812, subject: true },
      { text: " in", id: 3, subject: false },
    ],
    layers: 4,
    low: 0.02,
    high: 0.93,
    answer: " Seattle",
    window: 3,
    samples: 10,
    complete: true,
    stopped: false,
    grid: grid.buffer,
    ...rest,
  });
  if (!decoded) throw new Error("no frame");
  return decoded;
}

test("tokens show their whitespace", () => {
  expect(tokenParts(" Space")).toEqual([
    { text: "·", dim: true },
    { text: "Space", dim: false },
  ]);
  expect(tokenParts("\n\t")).toEqual([{ text: "↵⇥", dim: true }]);
  expect(tokenParts("")).toEqual([{ text: "∅", dim: true }]);
  expect(tokenName(" Needle")).toBe("Needle");
  expect(tokenName("  ")).toBe("··");
});

test("numbers in words", () => {
  expect(percent(0.93)).toBe("93 %");
  expect(percent(0.004)).toBe("0.4 %");
  expect(percent(0.0004)).toBe("< 0.1 %");
  expect(percent(0)).toBe("0 %");
  expect(decimal(0.414)).toBe("0.41");
  expect(decimal(0.0042)).toBe("0.004");
  expect(restored(0.41, 0.02, 0.93)).toBe(43);
  expect(restored(0.01, 0.02, 0.93)).toBe(-1);
  expect(restored(0.0199, 0.02, 0.93)).toBe(0);
  expect(restored(0.4, 0.5, 0.5)).toBeNull();
  expect(restored(0.4, Number.NaN, 0.5)).toBeNull();
});

describe("a cell", () => {
  test("as screen readers hear it", () => {
    expect(say.cellLabel(frame(), { kind: "mlp", token: 1, layer: 2 })).toBe(
      "token Needle, subject, layer 2, MLP, 0.41, 43 percent restored",
    );
    expect(say.cellLabel(frame(), { kind: "state", token: 2, layer: 3 })).toBe(
      "token in, last, layer 3, hidden state, not computed",
    );
  });

  test("as the selected one: what an edit will change", () => {
    expect(say.selected(frame(), { kind: "mlp", token: 1, layer: 2 })).toBe(
      "Layer 2 · MLP · token “Needle” selected (0.41, 43 % restored). An edit will change the MLP of layer 2.",
    );
    expect(say.selected(frame(), { kind: "attn", token: 1, layer: 2 })).toBe(
      "Layer 2 · attention · token “Needle” selected (0.41, 43 % restored). " +
        "ROME edits the MLP of that layer: an edit will change the MLP of layer 2.",
    );
    expect(say.selected(frame(), { kind: "state", token: 2, layer: 3 })).toContain(
      "(not computed). ROME edits the MLP",
    );
  });

  test("in the tooltip", () => {
    expect(say.tooltipLines(frame(), { kind: "mlp", token: 1, layer: 0 })).toEqual([
      "Layer 0 · MLP",
      "token “ Needle” (id 812)",
      "probability 0.41 (41 %)",
      "43 % restored",
      "restored: layers 0 to 1",
    ]);
    expect(say.tooltipLines(frame({ complete: false }), { kind: "state", token: 2, layer: 3 }).slice(2)).toEqual([
      "not computed yet",
      "restored: layer 3",
    ]);
  });

  test("below the corrupted run the share is negative, with a real minus", () => {
    expect(say.valueText(frame({ low: 0.5 }), { kind: "mlp", token: 1, layer: 2 })).toBe("0.41, −21 % restored");
  });
});

test("the state of the trace", () => {
  expect(say.progress(frame(), false)).toBe("");
  expect(say.progress(frame({ stopped: true, complete: false }), false)).toBe(
    "Stopped: hatched cells were not computed.",
  );
  expect(say.progress(frame({ complete: false }), true)).toBe("Tracing: 35 of 36 cells.");
  expect(say.progress(frame({ complete: false }), false)).toContain("Incomplete (35 of 36 cells)");
  expect(say.suggestion(frame(), { kind: "mlp", token: 1, layer: 2 })).toBe(
    "Suggested: layer 2 · MLP · token “Needle”.",
  );
});
