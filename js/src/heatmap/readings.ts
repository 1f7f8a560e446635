// The same grid read in other units: the effect, the share of the total effect, the log-odds of a probability.
import { isShare, type Reading } from "../shared/measure";
import type { Frame } from "./grid";

/** Probabilities closer to 0 or 1 than this have log-odds that say nothing but "very". */
const SURE = 1e-6;

export const READINGS: [Reading, string][] = [
  ["score", "as measured"],
  ["effect", "effect (less the corrupted run)"],
  ["restored", "% of the total effect restored"],
  ["log_odds", "log-odds"],
];

/** Can this frame be read so? Log-odds are those of a probability; a share needs a gap to be a share of. */
export function isReadable(frame: Frame, reading: Reading): boolean {
  if (reading === "log_odds") return isShare(frame);
  return reading === "score" || Number.isFinite(frame.high - frame.low);
}

export function read(frame: Frame, reading: Reading): Frame {
  if (reading === "score" || !isReadable(frame, reading)) return frame;
  const { low, high } = frame;
  const gap = Math.abs(high - low) > 1e-9 ? high - low : Number.NaN;
  const change = {
    effect: (score: number) => score - low,
    restored: (score: number) => (score - low) / gap,
    log_odds: (score: number) => {
      const sure = Math.min(1 - SURE, Math.max(SURE, score));
      return Math.log(sure / (1 - sure));
    },
  }[reading];
  return {
    ...frame,
    reading,
    low: change(low),
    high: change(high),
    scores: frame.scores.map(change),
    estimates: frame.estimates.map(change),
    // Intervals belong to effects: a share is an effect in another unit, log-odds are bent.
    half:
      reading === "restored"
        ? frame.half.map((half) => half / Math.abs(gap))
        : reading === "effect"
          ? frame.half
          : frame.half.map(() => Number.NaN),
  };
}
