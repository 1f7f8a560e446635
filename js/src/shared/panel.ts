// What every panel is: a region that shows the trait `state`, says what went wrong, and hands on gestures.
import { Banner } from "./banner";
import { element, region, setAttributes } from "./dom";
import { dispatchGesture, onKernel } from "./gestures-event";
import { lensOf, onTrait, type RenderProps, record, text } from "./model";
import { Running } from "./running";
import { followTheme } from "./theme";

/** Why a button that starts something is unavailable. */
export const RUNNING = "Possible when the running work is finished or stopped.";

/** The gestures that start work that may take long. */
const STARTS = new Set(["trace", "apply", "calibrate", "undo", "redo", "drop", "load", "keep", "revert", "judge"]);

/** What `panel` gives to those who say what is in one. */
export interface Panel {
  root: HTMLElement;
  /** For the panel's error; where it stands is the panel's choice. */
  banner: Banner;
  /** How far the panel's own work is; where that stands is the panel's choice. */
  running: Running;
  lens: string;
  /** Ends with the view. */
  signal: AbortSignal;
  gesture(name: string, payload?: Record<string, unknown>): void;
  /** Shows another trait than `state`, now and whenever it changes. */
  follow(trait: string, show: (state: Record<string, unknown>) => void): void;
}

interface Contents {
  children: Node[];
  /**
   * Shows a state, and says whether the panel waits for work of its own. `status` is what the session does at the
   * moment: "idle", or some work.
   */
  update(state: Record<string, unknown>, status: string): boolean;
  /** Shows the panel's error, or null; without it the banner does. */
  fail?(error: unknown): void;
}

/** An anywidget module that renders one panel. */
export function panel(name: string, label: string, build: (panel: Panel) => Contents) {
  function render({ model, el }: RenderProps): () => void {
    const end = new AbortController();
    const { signal } = end;
    const lens = lensOf(model); // it has one for life
    const root = region(name, label);
    const banner = new Banner(`${name}-error`);
    const gesture: Panel["gesture"] = (name, payload) => {
      if (STARTS.has(name)) running.begin();
      dispatchGesture(lens, name, payload);
    };
    const followTrait: Panel["follow"] = (trait, show) => {
      const look = () => show(record(model.get(trait)));
      onTrait(model, trait, look, signal);
      look();
    };
    // The panel of the trace has its Stop beside Trace, and for all work.
    const running = name === "locate" ? new Running("") : new Running(name, () => gesture("stop"));
    const { children, update, fail } = build({ root, banner, running, lens, signal, gesture, follow: followTrait });
    root.append(...children);
    el.append(root);
    function follow(): void {
      const state = record(model.get("state"));
      const status = text(state.status) || "idle";
      setAttributes(root, { "data-status": status, "aria-busy": String(update(state, status)) });
      if (fail) fail(state.error ?? null);
      else banner.update(state.error);
      followWork();
    }
    function followWork(): void {
      const state = record(model.get("state"));
      const own = name === "locate" ? state : record(model.get("running"));
      const here = name === "locate" ? !text(state.place) || state.place === name : "message" in own;
      running.update(own, text(state.status) || "idle", here, state.error !== null && state.error !== undefined);
    }
    onTrait(model, "state", follow, signal);
    onTrait(model, "running", followWork, signal);
    onKernel(lens, (now) => running.kernel(now), signal);
    followTheme(root, () => {}, signal);
    follow();
    return () => {
      end.abort();
      root.remove();
    };
  }
  return { render };
}

/** The first line of a panel: its name, and what belongs beside that. */
export function head(name: string, ...beside: Node[]): HTMLElement {
  return element("div", { class: "fl-panel-head" }, element("span", { class: "fl-panel-name" }, name), ...beside);
}

/** A line that says what is going on, also to those who do not see it. */
export function statusLine(testid: string): HTMLElement {
  return element("p", { class: "fl-status", role: "status", testid });
}
