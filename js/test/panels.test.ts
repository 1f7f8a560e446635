import { describe, expect, test } from "vitest";
import { layerWords, measureWords, originWords, sourceWords } from "../src/edit/sentences";
import { answerLine, editsBadge } from "../src/locate/sentences";
import { SyncedText } from "../src/shared/synced-text";
import { METRICS } from "./metrics";

test("sentences of the panels", () => {
  const p = { metric: METRICS.probability, contrast: "" };
  expect(answerLine(" Seattle", "", 0.93, 0.04, p)).toBe("Clean run: “Seattle” 93 % · corrupted run: 4 %");
  expect(answerLine(" Seattle", "", 0.93, null, p)).toBe("Clean run: “Seattle” 93 %");
  expect(answerLine("", "", null, null, p)).toBe("");
  expect(answerLine("東", "⟨E6⟩", 0.93, null, p)).toBe("Clean run: ⟨E6⟩ of “東” 93 %");
  expect(answerLine(" Seattle", "", -0.07, -3.2, { metric: METRICS.log_probability, contrast: "" })).toBe(
    "Clean run: “Seattle” log p −0.07 · corrupted run: −3.20",
  );
  expect(answerLine(" Seattle", "", 6, -1.5, { metric: METRICS.logit_difference, contrast: " Paris" })).toBe(
    "Clean run: “Seattle” logit difference vs “Paris” +6.00 · corrupted run: −1.50",
  );
  expect(editsBadge(1)).toBe("the model’s weights carry 1 edit");
  expect(editsBadge(2)).toBe("the model’s weights carry 2 edits");
  expect(layerWords([2], true)).toBe("at layer 2");
  expect(layerWords([0], true)).toBe("at layer 0");
  expect(layerWords([1], false)).toBe("at layer 1 (the default)");
  expect(layerWords([2, 3, 4], false)).toBe("at layers 2 to 4 (the default)");
  expect(layerWords([2, 3, 5], true)).toBe("at layers 2, 3, 5");
  expect(layerWords([], false)).toBe("at a layer that is looked for first");
  expect(sourceWords([1], "a rule", false)).toBe("Default layer 1: a rule (not calibrated).");
  expect(sourceWords([1, 2], "calibrated today", true)).toBe("Default layers 1 to 2: calibrated today.");
  expect(sourceWords([], "", false)).toBe("");
  expect(measureWords("5 min", false)).toBe("Measure (up to about 5 min)");
  expect(measureWords("5 min", true)).toBe("Measure again (up to about 5 min)");
  expect(["here", "lens", "python", "", "<b>"].map(originWords)).toEqual([
    "",
    "from another lens",
    "from Python",
    "",
    "",
  ]);
});

describe("a text box and its accepted value", () => {
  function box() {
    const state = { value: "" };
    const text = new SyncedText(state);
    const type = (value: string) => {
      state.value = value;
      text.input();
    };
    return { state, text, type };
  }

  test("typing survives news that change nothing", () => {
    const { state, text, type } = box();
    text.accept("a fact");
    type("a fac");
    text.accept("a fact");
    expect(state.value).toBe("a fac");
    expect(text.differs).toBe(true);
  });

  test("another accepted value wins", () => {
    const { state, text, type } = box();
    text.accept("a fact");
    type("half a");
    text.accept("set in Python");
    expect(state.value).toBe("set in Python");
    expect(text.differs).toBe(false);
  });

  test("the answer to a submission leaves what was typed since", () => {
    const { state, text, type } = box();
    text.accept("old");
    type("new");
    text.submit();
    type("newer");
    text.accept("new");
    expect(state.value).toBe("newer");
    text.accept("from Python");
    expect(state.value).toBe("from Python");
  });

  test("a submission that Python tidied up is shown tidied up", () => {
    const { state, text, type } = box();
    text.accept("old");
    type(" new ");
    text.submit();
    text.accept("new");
    expect(state.value).toBe("new");
  });
});
