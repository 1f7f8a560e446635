// How panels and heatmap hand a gesture to the one widget that may send it, and how that widget says it waits.

const GESTURE = "factlens:gesture";
const WAITING = "factlens:waiting";

interface GestureDetail {
  lens: string;
  name: string;
  [field: string]: unknown;
}

interface WaitingDetail {
  lens: string;
  waiting: boolean;
}

export function dispatchGesture(lens: string, name: string, payload: Record<string, unknown> = {}): void {
  document.dispatchEvent(new CustomEvent<GestureDetail>(GESTURE, { detail: { ...payload, lens, name } }));
}

export function dispatchWaiting(lens: string, waiting: boolean): void {
  document.dispatchEvent(new CustomEvent<WaitingDetail>(WAITING, { detail: { lens, waiting } }));
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
