// What was measured, and how its numbers are written: shares in percent, everything else with its sign.
import { decimal, percent, signedDecimal, tokenName } from "./a11y";
import { record, text } from "./model";

/** How a metric is called and written; Python says it of every one. */
export interface Metric {
  /** "p", "log p" */
  label: string;
  /** "probability", "log-probability" */
  title: string;
  /** "%" for numbers from 0 to 1 that are shown in percent. */
  unit: string;
  /** Whether it always compares with another answer. */
  contrasted: boolean;
}

/** What is read off a score: itself, or it beside the corrupted and the clean run. */
export type Reading = "score" | "effect" | "restored" | "log_odds";

export interface Measure {
  metric: Metric;
  /** The answer that the metric compares with. */
  contrast: string;
  /** "score" where it is missing. */
  reading?: Reading;
}

const READINGS: Record<Reading, string> = {
  score: "score",
  effect: "indirect effect",
  restored: "share restored",
  log_odds: "log-odds",
};

export function decodeMetric(value: unknown): Metric {
  const { label, title, unit, contrasted } = record(value);
  return { label: text(label), title: text(title), unit: text(unit), contrasted: contrasted === true };
}

/** "probability", "log p", "logit difference vs “Paris”" */
export function measureName({ metric, contrast, reading = "score" }: Measure): string {
  if (reading !== "score") return READINGS[reading];
  if (metric.unit === "%") return metric.title; // the letter alone says little
  return contrast ? `${metric.label} vs “${tokenName(contrast)}”` : metric.label;
}

export function isShare({ metric, reading = "score" }: Measure): boolean {
  return reading === "score" && metric.unit === "%";
}

/** For a glance: "93 %", or "−2.31". */
export function brief(measure: Measure, value: number): string {
  if (measure.reading === "restored") return percent(value).replace("-", "−");
  return isShare(measure) ? percent(value) : signedDecimal(value);
}

/** The same for numbers that are compared: with as many digits as tell them apart. */
export function apart(measure: Measure, values: number[]): string[] {
  const share = isShare(measure) || measure.reading === "restored";
  const different = new Set(values.filter(Number.isFinite)).size;
  let words = values.map((value) => brief(measure, value));
  for (let digits = share ? 1 : 3; digits <= 4 && new Set(words).size < different; digits += 1) {
    words = values.map((value) => {
      const size = Math.abs(value) * (share ? 100 : 1);
      const sign = value < 0 ? "−" : share ? "" : "+";
      return `${sign}${size.toFixed(digits)}${share ? " %" : ""}`;
    });
  }
  return words;
}

/** For comparing cells: "0.93", or "−2.31". */
export function precise(measure: Measure, value: number): string {
  if (measure.reading === "restored") return percent(value).replace("-", "−");
  return isShare(measure) ? decimal(value) : signedDecimal(value);
}
