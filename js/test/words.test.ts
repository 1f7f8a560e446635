import { describe, expect, test } from "vitest";
// @ts-expect-error: plain JavaScript, shared with the browser tests
import { fakeSites } from "../preview/mock.js";
import { siteOf } from "../src/heatmap/cells";
import { decodeFrame, type Frame } from "../src/heatmap/grid";
import { windowOf } from "../src/heatmap/scales";
import * as say from "../src/heatmap/sentences";
import { groupWords } from "../src/heatmap/words";
import { decimal, percent, restored, signedDecimal, tokenName, tokenParts } from "../src/shared/a11y";
import { METRICS } from "./metrics";

function frame(rest: Record<string, unknown> = {}): Frame {
  const grid = new Float32Array(3 * 3 * 4).fill(0.41);
  grid[3 * 4 - 1] = Number.NaN; // state, last token, last layer
  const decoded = decodeFrame({
    run: 1,
    kinds: ["state", "mlp", "attn"],
    sites: fakeSites(["state", "mlp", "attn"]),
    tokens: [
      { text: "The", id: 1, subject: true },
      { text: " Needle", id: 812, subject: true },
      { text: " in", id: 3, subject: false },
    ],
    layers: 4,
    metric: METRICS.probability,
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
  expect(tokenParts("\n\t")).toEqual([{ text: "⏎⇥", dim: true }]);
  expect(tokenParts("\u0000\u001b[0m")).toEqual([
    { text: "␀␛", dim: true },
    { text: "[0m", dim: false },
  ]);
  expect(tokenParts("🗼".repeat(5000))).toEqual([{ text: `${"🗼".repeat(119)}…`, dim: false }]);
  expect(tokenName(` ${"x".repeat(10_000)}`)).toBe(`${"x".repeat(119)}…`);
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
  expect(signedDecimal(3.4)).toBe("+3.40");
  expect(signedDecimal(-2.314)).toBe("−2.31");
  expect(signedDecimal(-0.0042)).toBe("−0.004");
  expect(signedDecimal(0)).toBe("0.00");
  expect(signedDecimal(-0)).toBe("0.00");
  expect(restored(0.41, 0.02, 0.93)).toBe(43);
  expect(restored(-2, -3, -1)).toBe(50);
  expect(restored(0.5, 2, -1)).toBe(50);
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
    const rome = say.decodeEdit({ method: "ROME", layers: [2] });
    const memit = say.decodeEdit({ method: "MEMIT", layers: [1, 2, 3] });
    const tuning = say.decodeEdit({ method: "fine-tuning", layers: [3] });
    expect(say.selected(frame(), { kind: "mlp", token: 1, layer: 2 }, rome)).toBe(
      "Layer 2 · MLP · token “Needle” selected (0.41, 43 % restored). An edit with ROME will change the MLP of layer 2.",
    );
    expect(say.selected(frame(), { kind: "attn", token: 1, layer: 2 }, rome)).toBe(
      "Layer 2 · attention · token “Needle” selected (0.41, 43 % restored). " +
        "ROME edits MLPs: it will change the MLP of layer 2.",
    );
    expect(say.selected(frame(), { kind: "mlp", token: 1, layer: 3 }, memit)).toContain(
      "An edit with MEMIT will change the MLPs of layers 1 to 3.",
    );
    expect(say.selected(frame(), { kind: "state", token: 2, layer: 3 }, tuning)).toContain(
      "(not computed). Fine-tuning edits MLPs: it will change the MLP of layer 3.",
    );
  });

  test("alone, where nothing is edited, nothing is said of edits", () => {
    expect(say.decodeEdit({})).toBeNull();
    expect(say.decodeEdit(undefined)).toBeNull();
    expect(say.selected(frame(), { kind: "attn", token: 1, layer: 2 }, null)).toBe(
      "Layer 2 · attention · token “Needle” selected (0.41, 43 % restored).",
    );
    expect(say.nothingSelected(null)).toBe("Nothing selected. Click a cell, or press Enter on it.");
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

describe("an estimate", () => {
  const missing = new Float32Array(3 * 3 * 4).fill(0.41);
  missing.fill(Number.NaN, 0, 12); // all of the hidden state's panel
  const guess = new Float32Array(3 * 3 * 4).fill(0.25);
  const quality = { facts: 100, rank_correlation: { "hidden state": 0.814, MLP: -0.2, attention: 0.6 } };
  const half = frame({ complete: false, grid: missing.buffer, estimate: guess.buffer, quality });
  const cell = { kind: "state", token: 1, layer: 2 };

  test("is called one wherever its number is said", () => {
    expect(say.cellLabel(half, cell)).toBe(
      "token Needle, subject, layer 2, hidden state, estimate 0.25, 25 percent restored",
    );
    expect(say.selected(half, cell, null)).toContain("selected (estimate 0.25, 25 % restored).");
    expect(say.tooltipLines(half, cell)[2]).toBe("estimate: probability 0.25 (25 %)");
    expect(say.cellLabel(half, { ...cell, kind: "mlp" })).not.toContain("estimate");
  });

  test("comes with what it is and how good it is", () => {
    expect(say.estimateNote(half, true)).toBe(
      "Hatched colours: estimated from gradients, replaced by exact values as they come (rank correlation with the " +
        "exact grid on 100 atlas facts: hidden state 0.81, MLP −0.20, attention 0.60).",
    );
    expect(say.estimateNote(half, false)).toContain("the exact values were not computed (rank");
    expect(say.estimateNote({ ...half, stopped: true }, true)).toContain("the exact values were not computed (rank");
    expect(say.estimateNote({ ...half, quality: null }, false)).toBe(
      "Hatched colours: estimated from gradients, the exact values were not computed.",
    );
    expect(say.estimateNote(frame(), false)).toBe("");
  });
});

describe("another metric than probability", () => {
  const grid = new Float32Array(3 * 3 * 4).fill(-1.5);
  const cell = { kind: "mlp", token: 1, layer: 2 };
  const log = frame({ metric: METRICS.log_probability, low: -2.5, high: -0.5, grid: grid.buffer });
  const difference = frame({
    metric: METRICS.logit_difference,
    contrast: " Paris",
    low: 0.5,
    high: -3.5,
    grid: grid.buffer,
  });

  test("log p", () => {
    expect(say.heading(log)).toMatch(/^Log-probability of “Seattle” after/);
    expect(say.tooltipLines(log, cell).slice(2, 4)).toEqual(["log p −1.50", "50 % restored"]);
    expect(say.cellLabel(log, cell)).toContain("MLP, −1.50, 50 percent restored");
  });

  test("logit difference, here with the clean run below the corrupted one", () => {
    expect(say.heading(difference)).toMatch(/^Logit difference between “Seattle” and “Paris” after/);
    expect(say.tooltipLines(difference, cell).slice(2, 4)).toEqual([
      "logit difference vs “Paris” −1.50",
      "50 % restored",
    ]);
  });
});

test("the interval of an effect, where there is one", () => {
  const half = new Float32Array(3 * 3 * 4).fill(0.06);
  expect(say.tooltipLines(frame({ half: half.buffer }), { kind: "mlp", token: 1, layer: 2 }).slice(4, 6)).toEqual([
    "effect +0.39",
    "95 % interval +0.33 to +0.45",
  ]);
});

test("sites are called and drawn as Python says", () => {
  const kinds = ["mlp", "severed_attn", "new"];
  const some = frame({ kinds, sites: fakeSites(kinds.slice(0, 2)) });
  expect(kinds.map((kind) => say.panelTitle(some, kind))).toEqual(["MLP", "Hidden state, attention severed", "New"]);
  expect(kinds.map((kind) => siteOf(some, kind).family)).toEqual(["mlp", "attn", ""]);
  expect(kinds.map((kind) => say.kindNote(some, kind))).toEqual([
    "3 layers restored together",
    "one layer restored",
    "one layer restored",
  ]);
  expect(kinds.map((kind) => windowOf(some, kind, 2))).toEqual([
    [1, 3],
    [2, 2],
    [2, 2],
  ]);
  const edit = { method: "ROME", layers: [1] };
  const words = (kind: string) => say.selected(some, { kind, token: 0, layer: 1 }, edit);
  expect(words("mlp")).toContain("An edit with ROME will change the MLP of layer 1.");
  expect(words("severed_attn")).toContain("ROME edits MLPs: it will change the MLP of layer 1.");
});

test("an effect within the noise says so, also in a row of words", () => {
  const noise = new Float32Array(3 * 3 * 4);
  noise[1 * 12 + 1 * 4 + 2] = 1; // mlp, token 1, layer 2
  const some = frame({ noise: noise.buffer });
  for (const shown of [some, groupWords(some)]) {
    expect(say.tooltipLines(shown, { kind: "mlp", token: 1, layer: 2 })).toContain(
      "within the noise: drawn as no effect",
    );
    expect(say.tooltipLines(shown, { kind: "mlp", token: 1, layer: 1 }).join()).not.toContain("noise");
  }
});

test("the state of the trace", () => {
  expect(say.progress(frame(), false)).toBe("");
  const stopped = { stopped: true, complete: false };
  expect(say.progress(frame(stopped), false)).toBe("Stopped after 35 of 36 cells: hatched cells were not computed.");
  const estimate = new Float32Array(3 * 3 * 4).fill(0.2).buffer;
  expect(say.progress(frame({ ...stopped, estimate }), false)).toBe(
    "Stopped after 35 of 36 cells: the others are estimates.",
  );
  expect(say.progress(frame({ complete: false }), true)).toBe("Tracing: 35 of 36 cells.");
  expect(say.progress(frame({ complete: false }), false)).toContain("Incomplete (35 of 36 cells)");
  // The whole grid is there, for some of its samples.
  const some = { ...stopped, grid: new Float32Array(3 * 3 * 4).buffer };
  expect(say.progress(frame({ ...some, count: 1 }), false)).toBe(
    "Stopped after 1 of 10 noise samples: all cells are exact for it.",
  );
  expect(say.progress(frame({ ...some, count: 4 }), false)).toContain(
    "4 of 10 noise samples: all cells are exact for them",
  );
  expect(say.progress(frame({ ...some, stopped: false, count: 1 }), true)).toBe("Tracing: 1 of 10 noise samples.");
  expect(say.progress(frame({ ...some, count: 0 }), false)).toContain("36 of 36 cells");
  expect(say.details(frame({ trust: "10 noise samples: …", remarks: ["no effect: …"] }))).toBe(
    "10 noise samples: …. No effect: ….",
  );
  expect(say.details(frame())).toBe("");
  const suggested = { kind: "mlp", token: 1, layer: 2, source: "" };
  expect(say.suggestion(frame(), suggested)).toBe(
    "Suggested: layer 2 · MLP · token “Needle”, the last layer with much of the MLP’s effect at the subject’s last " +
      "token, by this trace and no calibration.",
  );
  expect(say.suggestion(frame(), { ...suggested, source: "calibrated 2026-11-27 on 8 facts" })).toBe(
    "Suggested: layer 2 · MLP · token “Needle”, by the calibration and not by this trace (calibrated 2026-11-27 on 8 " +
      "facts).",
  );
});
