// What was measured, and how its numbers are written: probabilities in percent, everything else with its sign.
import { decimal, percent, signedDecimal, tokenName } from "./a11y";

export interface Measure {
  /** "probability", "log_probability" or "logit_difference". */
  metric: string;
  /** The answer that a logit difference compares with. */
  contrast: string;
}

/** "probability", "log p", "logit difference vs “Paris”" */
export function measureName({ metric, contrast }: Measure): string {
  if (metric === "log_probability") return "log p";
  if (metric !== "logit_difference") return "probability";
  return contrast ? `logit difference vs “${tokenName(contrast)}”` : "logit difference";
}

export function isProbability({ metric }: Measure): boolean {
  return metric !== "log_probability" && metric !== "logit_difference";
}

/** For a glance: "93 %", or "−2.31". */
export function brief(measure: Measure, value: number): string {
  return isProbability(measure) ? percent(value) : signedDecimal(value);
}

/** For comparing cells: "0.93", or "−2.31". */
export function precise(measure: Measure, value: number): string {
  return isProbability(measure) ? decimal(value) : signedDecimal(value);
}
