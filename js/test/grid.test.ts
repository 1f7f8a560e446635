import { describe, expect, test } from "vitest";
import { halfAt, sameCell, subjectSpans, valueAt } from "../src/heatmap/cells";
import { decodeCell, decodeFrame, floats } from "../src/heatmap/grid";

function wire(grid: unknown, rest: Record<string, unknown> = {}) {
  return {
    schema: 4,
    run: 3,
    kinds: ["state", "mlp"],
    tokens: [
      { text: "The", id: 1, subject: false },
      { text: " Needle", id: 2, subject: true },
      { text: " is", id: 3, subject: false },
    ],
    layers: 2,
    low: 0.1,
    high: 0.9,
    answer: " Seattle",
    window: 3,
    samples: 10,
    complete: false,
    stopped: false,
    suggested: null,
    grid,
    ...rest,
  };
}

const values = Array.from({ length: 12 }, (_, i) => i / 16);

describe("floats", () => {
  test("reads a DataView with its byteOffset, as a widget manager hands out views into one buffer", () => {
    for (const offset of [0, 4, 3]) {
      const bytes = new Uint8Array(offset + 48 + 5).fill(255);
      bytes.set(new Uint8Array(Float32Array.from(values).buffer), offset);
      expect([...floats(new DataView(bytes.buffer, offset, 48))]).toEqual(values);
    }
  });

  test("reads buffers and byte arrays, and drops a torn last number", () => {
    const buffer = Float32Array.from(values).buffer;
    expect([...floats(buffer)]).toEqual(values);
    expect([...floats(new Uint8Array(buffer, 0, 10))]).toEqual(values.slice(0, 2));
    expect(floats("nan").length).toBe(0);
  });
});

describe("decodeFrame", () => {
  test("takes [kind, token, layer] in C order", () => {
    const frame = decodeFrame(wire(Float32Array.from(values).buffer));
    expect(frame && valueAt(frame, { kind: "state", token: 0, layer: 1 })?.value).toBe(1 / 16);
    expect(frame && valueAt(frame, { kind: "mlp", token: 1, layer: 0 })?.value).toBe(8 / 16);
    expect(frame?.computed).toBe(12);
  });

  test("keeps NaN and fills what is missing with it: not computed is not zero", () => {
    const some = Float32Array.from(values.slice(0, 7));
    some[2] = Number.NaN;
    const frame = decodeFrame(wire(some.buffer));
    expect(frame?.computed).toBe(6);
    expect(frame?.scores[2]).toBeNaN();
    expect(frame?.scores[11]).toBeNaN();
  });

  test("a cell shows its estimate where it has no score, and never instead of one", () => {
    const some = Float32Array.from(values);
    some[2] = Number.NaN;
    some[3] = Number.NaN;
    const guess = new Float32Array(12).fill(0.25);
    guess[3] = Number.NaN; // severed: neither computed nor estimated
    const quality = { facts: 100, rank_correlation: { "hidden state": 0.8, MLP: 0.7, attention: null } };
    const frame = decodeFrame(wire(some.buffer, { estimate: new DataView(guess.buffer), quality }));
    if (!frame) throw new Error("no frame");
    expect(valueAt(frame, { kind: "state", token: 0, layer: 1 })).toEqual({ value: 1 / 16, estimated: false });
    expect(valueAt(frame, { kind: "state", token: 1, layer: 0 })).toEqual({ value: 0.25, estimated: true });
    expect(valueAt(frame, { kind: "state", token: 1, layer: 1 })).toBeNull();
    expect([frame.computed, frame.estimated]).toEqual([10, 1]);
    expect(frame.quality).toEqual({
      facts: 100,
      correlation: [
        ["hidden state", 0.8],
        ["MLP", 0.7],
      ],
    });
  });

  test("without estimates and intervals there are none", () => {
    const frame = decodeFrame(wire(new ArrayBuffer(0), { estimate: null, half: null, quality: null }));
    if (!frame) throw new Error("no frame");
    expect([frame.computed, frame.estimated, frame.quality]).toEqual([0, 0, null]);
    expect(halfAt(frame, { kind: "mlp", token: 0, layer: 0 })).toBeNull();
    const half = new Float32Array(12).fill(0.5);
    const sure = decodeFrame(wire(new ArrayBuffer(0), { half: half.buffer }));
    expect(sure && halfAt(sure, { kind: "mlp", token: 0, layer: 0 })).toBe(0.5);
  });

  test("nothing traced yet", () => {
    expect(decodeFrame({})).toBeNull();
    expect(decodeFrame(null)).toBeNull();
    expect(decodeFrame(wire(new ArrayBuffer(0), { layers: 0 }))).toBeNull();
  });

  test("a suggestion outside the grid is none", () => {
    const suggested = { kind: "mlp", token: 1, layer: 1 };
    expect(decodeFrame(wire(new ArrayBuffer(0), { suggested }))?.suggested).toEqual({ ...suggested, source: "" });
    const measured = { ...suggested, source: "calibrated" };
    expect(decodeFrame(wire(new ArrayBuffer(0), { suggested: measured }))?.suggested).toEqual(measured);
    expect(decodeFrame(wire(new ArrayBuffer(0), { suggested: { ...suggested, layer: 2 } }))?.suggested).toBeNull();
    expect(decodeFrame(wire(new ArrayBuffer(0), { suggested: { ...suggested, kind: "attn" } }))?.suggested).toBeNull();
  });
});

test("decodeCell, sameCell", () => {
  const frame = decodeFrame(wire(new ArrayBuffer(0)));
  if (!frame) throw new Error("no frame");
  expect(decodeCell(null, frame)).toBeNull();
  expect(decodeCell({ kind: "mlp", token: -1, layer: 0 }, frame)).toBeNull();
  const cell = decodeCell({ kind: "mlp", token: 2, layer: 0, more: 1 }, frame);
  expect(cell).toEqual({ kind: "mlp", token: 2, layer: 0 });
  expect(sameCell(cell, { kind: "mlp", token: 2, layer: 0 })).toBe(true);
  expect(sameCell(cell, { kind: "mlp", token: 2, layer: 1 })).toBe(false);
  expect(sameCell(cell, null)).toBe(false);
  expect(sameCell(null, null)).toBe(true);
});

test("subjectSpans joins neighbours only", () => {
  const tokens = [true, true, false, true, false].map((subject) => ({ text: "a", id: 0, subject }));
  expect(subjectSpans(tokens)).toEqual([
    [0, 1],
    [3, 3],
  ]);
});
