// What was measured, and how its numbers are written: probabilities in percent, everything else with its sign.
import { decimal, percent, signedDecimal, tokenName } from "./a11y";

/** What is read off a score: itself, or it beside the corrupted and the clean run. */
export type Reading = "score" | "effect" | "restored" | "log_odds";

export interface Measure {
  /** "probability", "log_probability" or "logit_difference". */
  metric: string;
  /** The answer that a logit difference compares with. */
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

/** "probability", "log p", "logit difference vs “Paris”" */
export function measureName({ metric, contrast, reading = "score" }: Measure): string {
  if (reading !== "score") return READINGS[reading];
  if (metric === "log_probability") return "log p";
  if (metric !== "logit_difference") return "probability";
  return contrast ? `logit difference vs “${tokenName(contrast)}”` : "logit difference";
}

export function isProbability({ metric, reading = "score" }: Measure): boolean {
  return reading === "score" && metric !== "log_probability" && metric !== "logit_difference";
}

/** For a glance: "93 %", or "−2.31". */
export function brief(measure: Measure, value: number): string {
  if (measure.reading === "restored") return percent(value).replace("-", "−");
  return isProbability(measure) ? percent(value) : signedDecimal(value);
}

/** For comparing cells: "0.93", or "−2.31". */
export function precise(measure: Measure, value: number): string {
  if (measure.reading === "restored") return percent(value).replace("-", "−");
  return isProbability(measure) ? decimal(value) : signedDecimal(value);
}
