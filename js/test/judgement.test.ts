import { expect, test } from "vitest";
import { decodeJudgement, heldWords, rowsByRole } from "../src/judge/judgement";

const row = (role: string, held: boolean[]) => ({
  role,
  prompt: "p",
  old: "a",
  new: "b",
  before: { top: " a", old: 0.9, new: 0.1 },
  after: { top: " b", old: 0.2, new: 0.7 },
  held,
});

test("a judgement is decoded, whatever is missing", () => {
  expect(decodeJudgement(null)).toBeNull();
  expect(decodeJudgement({})).toEqual({ rows: [], texts: [] });
  const { rows, texts } = decodeJudgement({ rows: [row("rewrite", [false, true]), 3], texts: [{ prompt: "x" }] }) ?? {};
  expect(rows?.[0]?.after).toEqual({ top: " b", old: 0.2, fresh: 0.7 });
  expect(rows?.[1]).toMatchObject({
    role: "",
    prompt: "",
    held: [false, false],
    before: { top: "", old: 0, fresh: 0 },
  });
  expect(texts).toEqual([{ prompt: "x", before: "", after: "" }]);
});

test("rows are counted by role", () => {
  const rows = decodeJudgement({
    rows: [row("neighbour", [true, true]), row("paraphrase", [false, true]), row("neighbour", [true, false])],
  })?.rows;
  const groups = rowsByRole(rows ?? [], ["rewrite", "paraphrase", "neighbour"]);
  expect(groups.map((group) => [group.role, group.rows.length])).toEqual([
    ["paraphrase", 1],
    ["neighbour", 2],
  ]);
  expect(groups.map((group) => heldWords(group.role, group.rows))).toEqual([
    "0 → 1 of 1 give the new object",
    "2 → 1 of 2 give the old answer",
  ]);
});
