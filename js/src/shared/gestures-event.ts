// How panels and heatmap hand a gesture to the one widget that may send it, how that widget says it waits, and how the
// heatmap hears that another prompt is being written.

const GESTURE = "factlens:gesture";
const WAITING = "factlens:waiting";
const WRITING = "factlens:writing";

interface GestureDetail {
  lens: string;
  name: string;
  [field: string]: unknown;
}

interface WaitingDetail {
  lens: string;
  waiting: boolean;
}

interface WritingDetail {
  lens: string;
  /** Does something else stand in the boxes than what was traced last? */
  other: boolean;
}

export function dispatchGesture(lens: string, name: string, payload: Record<string, unknown> = {}): void {
  document.dispatchEvent(new CustomEvent<GestureDetail>(GESTURE, { detail: { ...payload, lens, name } }));
}

export function dispatchWaiting(lens: string, waiting: boolean): void {
  document.dispatchEvent(new CustomEvent<WaitingDetail>(WAITING, { detail: { lens, waiting } }));
}

export function dispatchWriting(lens: string, other: boolean): void {
  document.dispatchEvent(new CustomEvent<WritingDetail>(WRITING, { detail: { lens, other } }));
}

export function onGesture(lens: string, callback: (detail: GestureDetail) => void, signal: AbortSignal): void {
  const listener = (event: Event) => {
    const detail = (event as CustomEvent<GestureDetail>).detail;
    if (detail?.lens === lens) callback(detail);
  };
  document.addEventListener(GESTURE, listener, { signal });
}

export function onWaiting(lens: string, callback: (waiting: boolean) => void, signal: AbortSignal): void {
  const listener = (event: Event) => {
    const detail = (event as CustomEvent<WaitingDetail>).detail;
    if (detail?.lens === lens) callback(detail.waiting);
  };
  document.addEventListener(WAITING, listener, { signal });
}

export function onWriting(lens: string, callback: (other: boolean) => void, signal: AbortSignal): void {
  const listener = (event: Event) => {
    const detail = (event as CustomEvent<WritingDetail>).detail;
    if (detail?.lens === lens) callback(detail.other);
  };
  document.addEventListener(WRITING, listener, { signal });
}
