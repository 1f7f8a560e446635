import { describe, expect, test } from "vitest";
// @ts-expect-error: plain JavaScript, shared with the browser tests
import { fakeFrame } from "../preview/mock.js";
import { inward, outward, valueAt } from "../src/heatmap/cells";
import { decodeComparison } from "../src/heatmap/comparison";
import { csvOf, quoted, svgOf } from "../src/heatmap/export";
import { decodeFrame, type Frame } from "../src/heatmap/grid";
import { stretch } from "../src/heatmap/keyboard";
import { layoutFor } from "../src/heatmap/layout";
import { decodePins, toggled } from "../src/heatmap/pins";
import { prepare } from "../src/heatmap/prepare";
import { decodeSpan, meansIn } from "../src/heatmap/range";
import { isReadable, read } from "../src/heatmap/readings";
import { cellLabel, heading, kindNote, range, tooltipLines } from "../src/heatmap/sentences";
import { wordStarts } from "../src/heatmap/words";
import { METRICS } from "./metrics";

const frameOf = (options = {}): Frame => decodeFrame(fakeFrame(options)) as Frame;
const plain = { reading: "score", words: false, ownScale: false, compare: null } as const;
const CELL = { kind: "mlp", token: 2, layer: 2 };

describe("readings", () => {
  const frame = frameOf({ low: 0.2, high: 0.8, sure: true });
  const score = valueAt(frame, CELL)?.value as number;

  test("an effect counts from the corrupted run, a share from there to the clean one", () => {
    const effect = read(frame, "effect");
    expect(valueAt(effect, CELL)?.value).toBeCloseTo(score - 0.2);
    expect([effect.low, effect.high]).toEqual([0, expect.closeTo(0.6)]);
    const share = read(frame, "restored");
    expect(valueAt(share, CELL)?.value).toBeCloseTo((score - 0.2) / 0.6);
    expect([share.low, share.high]).toEqual([0, 1]);
    const at = frame.half.findIndex(Number.isFinite);
    expect(share.half[at]).toBeCloseTo((frame.half[at] as number) / 0.6);
    expect(effect.half[at]).toBe(frame.half[at]);
  });

  test("log-odds are those of a probability, and say nothing of intervals", () => {
    const odds = read(frame, "log_odds");
    expect(valueAt(odds, CELL)?.value).toBeCloseTo(Math.log(score / (1 - score)), 4);
    expect(odds.half.every(Number.isNaN)).toBe(true);
    expect(isReadable(frameOf({ metric: METRICS.logit_difference }), "log_odds")).toBe(false);
    expect(isReadable(frameOf({ low: Number.NaN }), "restored")).toBe(false);
  });

  test("words say the reading once", () => {
    expect(heading(read(frame, "effect"))).toBe(
      "Indirect effect on “Seattle” after restoring one part of the clean run",
    );
    expect(cellLabel(read(frame, "restored"), CELL)).toMatch(/layer 2, MLP, \d+ percent restored$/);
    expect(tooltipLines(read(frame, "log_odds"), CELL)[2]).toMatch(/^log-odds [+−]/);
    expect(tooltipLines(read(frame, "effect"), CELL)[2]).toMatch(/^indirect effect \+0\.\d\d$/);
  });

  test("NaN stays NaN", () => {
    const half = frameOf({ share: 3 / 7 });
    for (const reading of ["effect", "restored", "log_odds"] as const) {
      expect(valueAt(read(half, reading), { kind: "mlp", token: 0, layer: 0 })).toBeNull();
    }
  });
});

describe("whole words", () => {
  test("begin at white space, and at the subject's borders", () => {
    const tokens = ["<s>", "The", " Sp", "ace", " Needle", "'s", " down", "town"].map((text, i) => ({
      text,
      id: i,
      subject: i >= 1 && i <= 4,
    }));
    expect(wordStarts(tokens)).toEqual([0, 1, 2, 4, 5, 6]);
  });

  test("a row shows its strongest token, and choosing it chooses that token", () => {
    const frame = frameOf();
    const words = prepare(frame, null, { ...plain, words: true }) as Frame;
    expect(words.tokens.map((token) => token.text)).toEqual(["The", " Space", " Needle", " is", " in", " downtown"]);
    const cell = { kind: "attn", token: 5, layer: 5 };
    const best = [5, 6].map((token) => valueAt(frame, { ...cell, token })?.value as number);
    expect(valueAt(words, cell)?.value).toBe(Math.max(...best));
    expect(outward(words, cell)).toEqual({ ...cell, token: 5 + best.indexOf(Math.max(...best)) });
    expect(inward(words, { kind: "attn", token: 6, layer: 5 })).toEqual([cell]);
  });
});

describe("comparison", () => {
  const wire = {
    names: ["before", "after"],
    a: fakeFrame({ low: 0.1, high: 0.8 }),
    b: fakeFrame({ low: 0.3, high: 0.9, answer: " Paris" }),
  };
  const pair = decodeComparison(wire);

  test("three panels of one kind: both on one scale, the difference about zero", () => {
    const shown = prepare(frameOf(), pair, { ...plain, compare: "mlp" }) as Frame;
    expect(shown.kinds).toEqual(["a:mlp", "b:mlp", "difference:mlp"]);
    const values = shown.kinds.map((kind) => valueAt(shown, { ...CELL, kind })?.value as number);
    expect(values[2]).toBeCloseTo((values[1] as number) - (values[0] as number));
    expect(shown.scales["a:mlp"]).toEqual({ low: expect.closeTo(0.1), high: expect.closeTo(0.9), diverging: false });
    expect(shown.scales["difference:mlp"]?.low).toBe(-(shown.scales["difference:mlp"]?.high as number));
    expect(outward(shown, { ...CELL, kind: "difference:mlp" })).toEqual(CELL);
    expect(inward(shown, CELL).map((cell) => cell.kind)).toEqual(shown.kinds);
  });

  test("answers that differ are named, and no panel claims the other's", () => {
    const shown = prepare(null, pair, plain) as Frame;
    expect(Object.values(shown.titles)).toEqual(["before: “Seattle”", "after: “Paris”", "after − before"]);
    expect(heading(shown)).toContain("each trace’s own answer");
    expect(kindNote(shown, "difference:mlp")).toMatch(/^−0\.\d\d to \+0\.\d\d$/);
    expect(tooltipLines(shown, { ...CELL, kind: "difference:mlp" })[2]).toMatch(/^difference [+−]0\.\d\d$/);
    // A share of A's total effect is counted from A's own runs.
    const first = valueAt(shown, { ...CELL, kind: "a:mlp" })?.value as number;
    expect(tooltipLines(shown, { ...CELL, kind: "a:mlp" })[3]).toBe(
      `${Math.round(((first - 0.1) / 0.7) * 100)} % restored`,
    );
  });

  test("what does not fit together is no comparison", () => {
    expect(decodeComparison({})).toBeNull();
    expect(decodeComparison({ a: fakeFrame(), b: fakeFrame({ layers: 4 }) })).toBeNull();
    expect(decodeComparison({ a: fakeFrame(), b: fakeFrame({ kinds: ["mlp"] }) })).toBeNull();
  });
});

test("a scale of its own ends at the panel's largest value", () => {
  const shown = prepare(frameOf(), null, { ...plain, ownScale: true }) as Frame;
  const size = 7 * 8;
  expect(shown.scales.mlp?.high).toBeCloseTo(Math.max(...shown.scores.subarray(size, 2 * size)));
  expect(kindNote(shown, "mlp")).toMatch(/^0\.04 to 0\.\d\d$/);
});

describe("ranges", () => {
  test("means of what is computed, and whether that is all", () => {
    const frame = frameOf({ share: 3 / 7 }); // the last three rows
    const [, mlp] = meansIn(frame, [1, 2], [3, 5]);
    const cells = [4, 5].flatMap((token) =>
      [1, 2].map((layer) => valueAt(frame, { kind: "mlp", token, layer })?.value),
    );
    expect(mlp?.mean).toBeCloseTo(cells.reduce((sum: number, value) => sum + (value as number), 0) / 4);
    expect(mlp?.cells).toBe(false);
    const words = range(frame, [1, 2], [3, 5], meansIn(frame, [1, 2], [3, 5]));
    expect(words).toMatch(/^Layers 1 to 2, tokens “is” to “down”, mean probability: hidden state .* \(part of it\)/);
    expect(range(frame, null, [0, 0], meansIn(frame, null, [0, 0]))).toContain("MLP not computed");
  });

  test("only whole numbers inside the grid", () => {
    expect(decodeSpan([1, 3], 4)).toEqual([1, 3]);
    for (const bad of [[1, 4], [-1, 2], [3, 1], [0.5, 1], ["0", 1], null, [1]]) expect(decodeSpan(bad, 4)).toBeNull();
  });

  test("Shift with an arrow stretches from the cursor, and shrinks before it stretches the other way", () => {
    const shape = { kinds: ["mlp"], tokens: 7, layers: 8 };
    let span: ReturnType<typeof stretch> = { layers: null, rows: null };
    const press = (key: string) => {
      span = stretch(key, span ?? { layers: null, rows: null }, CELL, shape);
      return span;
    };
    expect(press("ArrowRight")?.layers).toEqual([2, 3]);
    expect(press("ArrowRight")?.layers).toEqual([2, 4]);
    expect(press("ArrowLeft")?.layers).toEqual([2, 3]);
    expect(press("ArrowDown")).toEqual({ layers: [2, 3], rows: [2, 3] });
    expect(press("x")).toBeNull();
  });
});

test("pins: four, each once, and again takes it out", () => {
  const frame = frameOf();
  const cells = [0, 1, 2, 3, 4].map((layer) => ({ ...CELL, layer }));
  const four = cells.slice(0, 4);
  expect(toggled(four, cells[4] as typeof CELL)).toBeNull();
  expect(toggled(four, cells[1] as typeof CELL)).toEqual([cells[0], cells[2], cells[3]]);
  expect(decodePins([{ ...CELL, layer: 99 }, CELL, "x", ...cells], frame)).toHaveLength(4);
});

test("deep models and long prompts get smaller cells, and a zoom larger ones", () => {
  const shape = { kinds: 3, tokens: 500, layers: 128 };
  expect(layoutFor(1100, 100, shape)).toMatchObject({ mode: "side", cellWidth: 8, cellHeight: 14 });
  expect(layoutFor(1100, 100, shape, 20)).toMatchObject({ mode: "side", cellWidth: 15 });
});

describe("export", () => {
  const evil = [
    { text: '<img src=x onerror="1">', id: 1, subject: true },
    { text: "=1+1,\u0000\ud800\u202e\u2028", id: 2, subject: false },
  ];

  test("an SVG is XML, whatever the tokens are, with one rectangle for each cell and the caption", () => {
    const frame = { ...frameOf({ tokens: evil, layers: 3 }), caption: "atlas: a caption that is long & says <all>" };
    const svg = svgOf(frame, "rome");
    expect(svg).not.toContain("<img");
    expect(svg.replaceAll("\n", "")).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
    expect(svg).toContain("&lt;all&gt;");
    expect(svg.match(/width='21' height='19'/g)).toHaveLength(3 * 2 * 3);
  });

  test("a CSV has a line for each cell, and no cell is a formula", () => {
    const lines = csvOf(frameOf({ tokens: evil, layers: 3 }))
      .trimEnd()
      .split("\r\n");
    expect(lines[0]).toBe("kind,token,piece,subject,layer,probability,estimated");
    expect(lines).toHaveLength(1 + 3 * 2 * 3);
    expect(lines[1]).toMatch(/^state,0,"<img src=x onerror=""1"">",true,0,[\d.e-]+,false$/);
    expect(lines[4]).toContain(`"'=1+1,`);
  });

  test.each([
    "=1+1",
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "-2e3x",
    "--1",
    "-",
    "@SUM(1)",
    " =1",
    "\u00a0=1",
    "\u3000+1",
    "\u200b=1",
    "\ufeff@x",
    "\u0000=1",
    "\n-a",
    `"=1`,
    "'=1",
    "“=1",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "﹢x",
    "\t1",
    "\rx",
  ])("%j is text for a spreadsheet", (text) => {
    expect(quoted(text).replace(/^"/, "")).toMatch(/^'/);
  });

  test.each(["0", "-2", "+3.5", "-.5", "1.", "1e-7", "-2E+10"])("%j stays a number", (text) => {
    expect(quoted(text)).toBe(text);
  });

  test.each(["a", " a", "a=b", "1+1=2", "−2", "", "a\u2028b", "\ud800"])("%j stays as it is", (text) => {
    expect(quoted(text)).toBe(text);
  });
});
