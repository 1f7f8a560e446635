/// <reference types="vite/client" />
// One table for both languages: tests/test_visible.py reads it too.
import { describe, expect, test } from "vitest";
import { csvOf, svgOf } from "../src/heatmap/export";
import { decodeFrame, type Frame } from "../src/heatmap/grid";
import { cellName, heading, tooltipLines } from "../src/heatmap/sentences";
import { groupWords } from "../src/heatmap/words";
import { answerName, tokenName, tokenParts } from "../src/shared/a11y";
import { clipped, isolated, joined, line, visible, visibleParts } from "../src/shared/visible";
import { METRICS } from "./metrics";
import source from "./texts/visible.json?raw";

interface Case {
  why: string;
  text: string;
  shown: string;
  most?: number;
}
const cases: Record<string, Case[]> = JSON.parse(source);

test.each(cases.visible ?? [])("what is seen of $why", ({ text, shown }) => {
  expect(visible(text)).toBe(shown);
  expect(visible(shown)).toBe(shown);
});

test.each(cases.isolated ?? [])("among other words: $why", ({ text, shown }) => {
  expect(isolated(text)).toBe(shown);
  expect(line(shown)).toBe(shown);
});

test.each(cases.line ?? [])("in a line: $why", ({ text, shown }) => {
  expect(line(text)).toBe(shown);
});

test.each(cases.clipped ?? [])("cut: $why", ({ text, most, shown }) => {
  expect(clipped(text, most ?? 0)).toBe(shown);
});

test("every code point of the first plane is shown, or marked", () => {
  for (let code = 0; code < 0x10000; code += 1) {
    const shown = visible(String.fromCharCode(code));
    expect(shown, code.toString(16)).not.toMatch(/[\p{Cc}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u200b-\u200f\u2066-\u2069]/u);
  }
});

test("signs for white space are told from what is read as it stands", () => {
  expect(visibleParts("a\u200b b")).toEqual([
    { text: "a⟨U+200B⟩", dim: false },
    { text: " ", dim: true },
    { text: "b", dim: false },
  ]);
  expect(joined(tokenParts(" \u0301"))).toBe("·◌\u0301");
  expect(tokenParts(" ⟨E6 9D⟩")).toEqual([
    { text: "·", dim: true },
    { text: "⟨E6 9D⟩", dim: false },
  ]);
});

test("names of tokens stand in sentences, whatever they are", () => {
  expect(tokenName(" שלום")).toBe("\u2068שלום\u2069");
  expect(tokenName("\u200d")).toBe("⟨U+200D⟩");
  expect(tokenName("👩\u200d👩\u200d👧".repeat(100))).toBe(`${"👩\u200d👩\u200d👧".repeat(23)}…`);
});

test("words of a prompt are whole again where their tokens are parts of characters", () => {
  const tokens = ["The", " ", "⟨E6 9D⟩", "⟨B1 E4⟩", "⟨BA AC⟩", " is", " ⟨F0 9F⟩"].map((text, id) => ({
    text,
    id,
    subject: false,
  }));
  const wire = { kinds: ["mlp"], tokens, layers: 1, low: 0, high: 1, prompt: "The 東京 is 🗼" };
  const words = (rest: Record<string, unknown> = {}) =>
    groupWords(decodeFrame({ ...wire, ...rest }) as Frame).tokens.map(({ text }) => text);
  expect(words()).toEqual(["The", " ", "東京", " is", " ⟨F0 9F⟩"]);
  // Who writes such signs into a prompt has them as they are.
  expect(
    words({ tokens: [" ⟨E6 9D", " B1⟩", "⟨E6 9D B1⟩"].map((text) => ({ text })), prompt: "a ⟨E6 9D B1⟩⟨E6 9D B1⟩" }),
  ).toEqual([" ⟨E6 9D", " B1⟩⟨E6 9D B1⟩"]);
});

test("what is measured of an answer is said with it", () => {
  expect(answerName(" Seattle")).toBe("“Seattle”");
  expect(answerName("東", "⟨E6⟩")).toBe("⟨E6⟩ of “東”");
  const part = frameWith({ answer: "東", answer_part: "⟨E6⟩" });
  expect(heading(part)).toBe("Probability of ⟨E6⟩ of “東” after restoring one part of the clean run");
});

describe("texts from right to left", () => {
  const tokens = [
    { text: "שלום", id: 1, subject: true },
    { text: "\u200f", id: 2 },
    { text: " \u0301x", id: 3 },
  ];

  test("stay among themselves in sentences", () => {
    const frame = frameWith({ tokens, answer: " سلام" });
    expect(cellName(frame, { kind: "mlp", token: 0, layer: 0 })).toBe("Layer 0 · MLP · token “\u2068שלום\u2069”");
    expect(tooltipLines(frame, { kind: "mlp", token: 1, layer: 0 })[1]).toBe("token “⟨U+200F⟩” (id 2)");
    expect(heading(frame)).toContain("“\u2068سلام\u2069”");
  });

  test("and in the picture", () => {
    const svg = svgOf(frameWith({ tokens, answer: " سلام", caption: "x: “\u2068שלום\u2069”." }), "rome");
    expect(svg).toContain("direction='ltr'");
    expect(svg).toContain(">\u2068שלום\u2069*</text>");
    expect(svg).toContain(">⟨U+200F⟩</text>");
    expect(svg).toContain(">·◌\u0301x</text>");
    expect(svg).toContain("x: “\u2068שלום\u2069”.");
  });

  test("also where a caption goes on in another line", () => {
    const svg = svgOf(frameWith({ tokens, caption: `“\u2068${"שלום ".repeat(40).trim()}\u2069” → “x”.` }), "rome");
    const lines = svg.match(/[^>]*שלום שלום[^<]*/g) ?? [];
    expect(lines.length).toBeGreaterThan(1);
    for (const words of lines) expect(words).toMatch(/^“?\u2068[ש-ת\u05d0-\u05ea ]+\u2069(” → “x”\.)?$/);
  });

  test("the table of numbers has the texts as they are", () => {
    const pieces = ["שלום", "\u200f", "👩\u200d👩\u200d👧", "⟨E6⟩", 'a"b', "a,b", " \n"];
    const rows = csvOf(frameWith({ tokens: pieces.map((text) => ({ text })) }));
    expect(rows).toBe(
      `kind,token,piece,subject,layer,probability,estimated\r\n${[
        ...pieces.map(
          (text, i) => `mlp,${i},${/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text},false,0,,false`,
        ),
      ].join("\r\n")}\r\n`,
    );
  });
});

function frameWith(rest: Record<string, unknown>): Frame {
  const wire = {
    kinds: ["mlp"],
    sites: { mlp: { label: "MLP" } },
    tokens: [{ text: "a" }],
    layers: 1,
    low: 0,
    high: 1,
    metric: METRICS.probability,
    samples: 1,
  };
  return decodeFrame({ ...wire, ...rest }) as Frame;
}
