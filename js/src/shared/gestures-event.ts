// How panels and heatmap hand a gesture to the one widget that may send it, how that widget says it waits, and how the
// heatmap hears that another prompt is being written.

const GESTURE = "factlens:gesture";
const WAITING = "factlens:waiting";
const RESTART = "factlens:restart";
const WRITING = "factlens:writing";

interface GestureDetail {
  lens: string;
  name: string;
  [field: string]: unknown;
}

/** Whether the kernel has answered every gesture, is busy with something else, or knows this lens no more. */
export type Kernel = "answered" | "busy" | "restarted";

interface WaitingDetail {
  lens: string;
  waiting: boolean;
  kernel: Kernel;
}

interface WritingDetail {
  lens: string;
  /** Does something else stand in the boxes than what was traced last? */
  other: boolean;
}

export function dispatchGesture(lens: string, name: string, payload: Record<string, unknown> = {}): void {
  document.dispatchEvent(new CustomEvent<GestureDetail>(GESTURE, { detail: { ...payload, lens, name } }));
}

export function dispatchKernel(lens: string, kernel: Kernel): void {
  const detail = { lens, waiting: kernel !== "answered", kernel };
  document.dispatchEvent(new CustomEvent<WaitingDetail>(WAITING, { detail }));
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

export function onKernel(lens: string, callback: (kernel: Kernel) => void, signal: AbortSignal): void {
  const listener = (event: Event) => {
    const detail = (event as CustomEvent<WaitingDetail>).detail;
    if (detail?.lens === lens) callback(detail.kernel);
  };
  document.addEventListener(WAITING, listener, { signal });
}

/** A view of the gestures' widget says that the kernel was restarted; the widget itself has no place on the page. */
export function dispatchRestart(lens: string, restarted: boolean): void {
  document.dispatchEvent(new CustomEvent(RESTART, { detail: { lens, restarted } }));
}

export function onRestart(lens: string, callback: (restarted: boolean) => void, signal: AbortSignal): void {
  const listener = (event: Event) => {
    const detail = (event as CustomEvent<{ lens: string; restarted: boolean }>).detail;
    if (detail?.lens === lens) callback(detail.restarted);
  };
  document.addEventListener(RESTART, listener, { signal });
}

export function onWriting(lens: string, callback: (other: boolean) => void, signal: AbortSignal): void {
  const listener = (event: Event) => {
    const detail = (event as CustomEvent<WritingDetail>).detail;
    if (detail?.lens === lens) callback(detail.other);
  };
  document.addEventListener(WRITING, listener, { signal });
}
