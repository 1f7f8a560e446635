/// <reference types="vite/client" />
// The files in golden/ are what Python puts on the wire (tests/widgets/test_golden.py): read here as a page reads it.
import { expect, test } from "vitest";
// @ts-expect-error: plain JavaScript, shared with the browser tests
import { fakeSites } from "../preview/mock.js";
import { halfAt, valueAt } from "../src/heatmap/cells";
import { compared, decodeComparison } from "../src/heatmap/comparison";
import { decodeFrame, type Frame } from "../src/heatmap/grid";
import { windowOf } from "../src/heatmap/scales";
import { cellLabel, details, estimateNote, heading, progress } from "../src/heatmap/sentences";

const files = import.meta.glob<string>("./golden/*.json", { query: "?raw", import: "default", eager: true });

function golden(name: string): Record<string, unknown> {
  return JSON.parse(files[`./golden/${name}.json`] ?? "", (_, value) =>
    // As the widget manager hands buffers out: views.
    typeof value?.base64 === "string"
      ? new DataView(Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0)).buffer)
      : value,
  );
}

const frameOf = (name: string) => decodeFrame(golden(name)) as Frame;

test("a complete trace", () => {
  const frame = frameOf("complete");
  expect(frame).toMatchObject({ run: 3, layers: 8, complete: true, stopped: false, window: 3, samples: 3 });
  expect(frame.kinds).toEqual(["state", "mlp", "attn"]);
  expect([frame.low, frame.high]).toEqual([expect.closeTo(0.1), 0.9]);
  expect(frame.computed).toBe(3 * 6 * 8);
  expect(frame.tokens[1]).toEqual({ text: " Space", id: 101, subject: true });
  expect(heading(frame)).toBe("Probability of “Seattle” after restoring one part of the clean run");
  const cell = { kind: "mlp", token: 2, layer: 5 };
  expect(valueAt(frame, cell)?.value).toBeGreaterThan(0.1);
  expect(halfAt(frame, cell)).toBeGreaterThan(0);
  expect(frame.suggested).toMatchObject({ kind: "mlp", token: 2 });
  expect(frame.code).toContain("fl.trace(model, fact,");
  expect(frame.caption).toContain("made up (01234567)");
});

test("a stopped one, with estimates where nothing was computed", () => {
  const frame = frameOf("stopped");
  expect(frame).toMatchObject({ stopped: true, complete: false, computed: 72, estimated: 72 });
  expect(valueAt(frame, { kind: "attn", token: 5, layer: 0 })?.estimated).toBe(true);
  expect(progress(frame, false)).toBe("Stopped after 72 of 144 cells: the others are estimates.");
  expect(details(frame)).toMatch(/^Exact for 3 noise samples in 72 of 144 cells/);
  expect(estimateNote(frame, false)).toMatch(/rank correlation .*: hidden state 0\.\d\d, MLP/);
});

test("sites, windows and conventions", () => {
  const frame = frameOf("paper-window");
  expect(frame.sites).toEqual(fakeSites(["mlp", "head.2", "severed_attn"]));
  expect(frameOf("complete").sites).toEqual(fakeSites(["state", "mlp", "attn"]));
  expect(windowOf(frame, "mlp", 3)).toEqual([3, 4]);
  expect(windowOf(frame, "head.2", 3)).toEqual([3, 3]);
  expect(windowOf(frame, "severed_attn", 3)).toEqual([3, 3]);
});

test("two traces", () => {
  const pair = decodeComparison(golden("comparison"));
  expect(pair?.names).toEqual(["before", "now"]);
  const shown = compared(pair as NonNullable<typeof pair>, "attn");
  const [a, b, change] = shown.kinds.map((kind) => valueAt(shown, { kind, token: 3, layer: 4 })?.value as number);
  expect(change).toBeCloseTo((b as number) - (a as number));
});

test("tokens that are meant to do harm are words", () => {
  const frame = frameOf("hostile");
  expect(frame.tokens[0]?.text).toBe("<img src=x onerror=1>");
  expect(frame.tokens[3]?.text).toHaveLength(10_000);
  expect(cellLabel(frame, { kind: "mlp", token: 1, layer: 0 })).toContain("subject");
});
