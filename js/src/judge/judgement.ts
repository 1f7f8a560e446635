// The checks of an edit as Python sends them, and how they are counted in words.
import { list, number, record, text } from "../shared/model";

export interface Said {
  top: string;
  old: number;
  fresh: number;
}

export interface JudgedRow {
  role: string;
  prompt: string;
  old: string;
  new: string;
  before: Said;
  after: Said;
  held: [boolean, boolean];
}

export interface Written {
  prompt: string;
  before: string;
  after: string;
}

interface Judgement {
  rows: JudgedRow[];
  texts: Written[];
}

export function decodeJudgement(value: unknown): Judgement | null {
  if (value === null || value === undefined) return null;
  const fields = record(value);
  return {
    rows: list(fields.rows).map((entry) => {
      const row = record(entry);
      const held = list(row.held);
      return {
        role: text(row.role),
        prompt: text(row.prompt),
        old: text(row.old),
        new: text(row.new),
        before: decodeSaid(row.before),
        after: decodeSaid(row.after),
        held: [held[0] === true, held[1] === true],
      };
    }),
    texts: list(fields.texts).map((entry) => {
      const one = record(entry);
      return { prompt: text(one.prompt), before: text(one.before), after: text(one.after) };
    }),
  };
}

function decodeSaid(value: unknown): Said {
  const fields = record(value);
  return { top: text(fields.top), old: number(fields.old) ?? 0, fresh: number(fields.new) ?? 0 };
}

/** Rows by role, in the order in which the roles are named; a role without rows is left out. */
export function rowsByRole(rows: JudgedRow[], roles: string[]): { role: string; rows: JudgedRow[] }[] {
  return roles
    .map((role) => ({ role, rows: rows.filter((row) => row.role === role) }))
    .filter((group) => group.rows.length > 0);
}

/** Whose wanted answer is the new object; the others should stay as they are. */
const CHANGED = ["rewrite", "paraphrase", "portability"];

/** "0 → 4 of 4 give the new object" or "10 → 9 of 10 give the old answer". */
export function heldWords(role: string, rows: JudgedRow[]): string {
  const [before, after] = [0, 1].map((when) => rows.filter((row) => row.held[when]).length);
  const what = CHANGED.includes(role) ? "give the new object" : "give the old answer";
  return `${before} → ${after} of ${rows.length} ${what}`;
}
