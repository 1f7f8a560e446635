import { describe, expect, test } from "vitest";
import * as cell from "../src/details/cell";
import { METRICS } from "./metrics";

const wire = {
  kind: "mlp",
  token: 2,
  piece: " Needle",
  layer: 3,
  answer: " Seattle",
  answer_id: 837,
  score: 0.397,
  effect: 0.098,
  interval: [-0.032, 0.228],
  lens: {
    clean: [{ text: " Seattle", id: 837, probability: 0.94 }],
    corrupted: [{ text: " is", id: 328, probability: 0.1 }],
    restored: [{ text: 3, id: null, probability: "x" }],
  },
  rank: { clean: 1, corrupted: 551, restored: 2 },
  probability: { clean: 0.94, corrupted: 0.0000047, restored: 0.2 },
  cosine: { clean: 0.466, corrupted: -0.017, restored: null },
  total: { clean: -0.839, corrupted: null },
  heads: null,
  neurons: [{ neuron: 160, clean: 3.6, corrupted: 0.7, contribution: -0.244 }],
};
const probability = { metric: METRICS.probability, contrast: "" };
const mlp = { label: "MLP", family: "mlp", windowed: true, edited: true, head: null };
const chosen = { site: mlp, layer: 3, piece: " Needle", last: false };

function decoded(rest: Record<string, unknown> = {}, head: number | null = null): cell.CellDetails {
  const found = cell.decodeDetails({ ...wire, ...rest }, head);
  if (!found) throw new Error("no details");
  return found;
}

describe("what Python sends", () => {
  test("is read run by run, and nonsense becomes nothing", () => {
    const found = decoded();
    expect(found.lens.clean).toEqual([{ text: " Seattle", id: 837, probability: 0.94 }]);
    expect(found.lens.restored).toEqual([{ text: "", id: null, probability: 0 }]);
    expect(found.rank.corrupted).toBe(551);
    expect(found.cosine).toEqual({ clean: 0.466, corrupted: -0.017, restored: null });
    expect(found.total).toEqual({ clean: -0.839, corrupted: null });
    expect(found.neurons).toEqual([{ index: 160, values: [3.6, 0.7, -0.244] }]);
    expect(found.heads).toBeNull();
    expect(cell.decodeDetails(null)).toBeNull();
    expect(cell.decodeDetails({})?.lens.clean).toEqual([]);
    expect(cell.decodeChosen(null)).toBeNull();
    expect(cell.decodeChosen({ ...chosen, kind: "mlp", token: 2 })).toEqual(chosen);
    expect(cell.decodeChosen({ kind: "new" })?.site).toMatchObject({ label: "new", windowed: false, head: null });
  });

  test("of many heads the largest shares of either sign are kept, and the cell's own", () => {
    const heads = Array.from({ length: 12 }, (_, head) => ({
      head,
      clean: head % 2 ? head : -head,
      corrupted: 0,
    }));
    const indices = (own: number | null) => decoded({ heads }, own).heads?.map((share) => share.index);
    expect(indices(null)).toEqual([11, 10, 9, 8, 7, 6, 5, 4]);
    expect(indices(7)).toEqual([11, 10, 9, 8, 7, 6, 5, 4]);
    expect(indices(1)).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 1]);
  });
});

describe("in words", () => {
  test("which cell, and what is read", () => {
    expect(cell.cellTitle(chosen)).toBe("layer 3 · MLP · token “Needle”");
    expect(cell.whatIsRead(chosen)).toBe(
      "Reads the residual stream leaving layer 3 at token “Needle”: what the model would say next if that layer were " +
        "its last (logit lens). Of the restored layers, those up to layer 3 have acted there.",
    );
    expect(cell.whatIsRead({ ...chosen, site: { ...mlp, windowed: false } })).not.toContain("restored layers");
  });

  test("the exact score, as far as there is one", () => {
    expect(cell.scoreLine(decoded(), probability)).toBe(
      "With this cell restored: probability 0.40, effect +0.10 (95 % interval −0.03 to +0.23).",
    );
    expect(cell.scoreLine(decoded({ interval: null }), { metric: METRICS.log_probability, contrast: "" })).toBe(
      "With this cell restored: log p +0.40, effect +0.10.",
    );
    expect(cell.scoreLine(decoded({ score: null, effect: null }), probability)).toBe(
      "The exact value of this cell was not computed.",
    );
  });

  test("ranks and cosines", () => {
    expect(cell.rankWords(551, 0.0000047)).toBe("rank\u00a0551 (<\u00a00.1\u00a0%)");
    expect(cell.rankWords(1, null)).toBe("rank\u00a01");
    expect(cell.rankWords(null, 0.5)).toBe("–");
    expect([0.466, -0.017, null].map(cell.orDash)).toEqual(["+0.47", "−0.02", "–"]);
  });

  test("shares say for which token they hold, and how many are left out", () => {
    expect(cell.neuronsCaption(decoded(), chosen)).toBe(
      "Neurons of layer 3 that bring most, up or down, directly to the logit of “Seattle”, were it read at this token",
    );
    const heads = Array.from({ length: 12 }, (_, head) => ({ head, clean: 1, corrupted: 0 }));
    const last = { ...chosen, last: true };
    expect(cell.headsCaption(decoded({ kind: "attn", heads }), last)).toBe(
      "What the attention heads of layer 3 bring directly to the logit of “Seattle” (8 of 12, the largest first)",
    );
    expect(cell.headsCaption(decoded({ kind: "attn", heads: heads.slice(0, 6) }), last)).toMatch(/“Seattle”$/);
  });
});
