// What is said around the panels of a frame.
import { say, setAttributes, setText, show } from "../shared/dom";
import type { Frame } from "./grid";
import type { Page } from "./page";
import * as words from "./sentences";

/** Of no frame too: why there is none. The root's attributes tell tests what is drawn. */
export function describe(page: Page, frame: Frame | null, busy: boolean): void {
  const [first] = frame?.kinds ?? [];
  show(page.empty, frame === null);
  show(page.full, frame !== null);
  setText(page.empty, busy ? words.EMPTY_BUSY : words.EMPTY);
  setAttributes(page.root, {
    "data-complete": String(frame?.complete === true),
    "data-run": frame ? frame.run : "",
    "data-computed": frame ? frame.computed : 0,
    "data-estimated": frame ? frame.estimated : 0,
    "data-view": first !== undefined && frame?.sources[first] ? "comparison" : "trace",
    "aria-busy": String(busy),
  });
}

export function describeFrame(page: Page, frame: Frame, busy: boolean, resumable: boolean, writing: boolean): void {
  setText(page.title, writing ? words.former(frame) : words.heading(frame));
  setAttributes(page.root, { "data-former": writing });
  say(page.progress, words.progress(frame, busy));
  show(page.resume, frame.stopped && !busy && resumable);
  setText(page.details, words.details(frame));
  say(page.estimates, words.estimateNote(frame, busy));
  show(page.suggested, frame.suggested !== null);
  if (frame.suggested) setText(page.suggestedText, words.suggestion(frame, frame.suggested));
}
