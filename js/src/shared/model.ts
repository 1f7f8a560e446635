// The little of anywidget's front-end model that we use, typed, with listeners that end with an AbortSignal.

export interface AnyModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, callback: (...args: never[]) => void): void;
  off(event: string, callback: (...args: never[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void;
}

export interface RenderProps {
  model: AnyModel;
  el: HTMLElement;
}

/** Calls `callback` whenever the trait changes, until `signal` aborts. */
export function onTrait(model: AnyModel, trait: string, callback: () => void, signal: AbortSignal): void {
  listen(model, `change:${trait}`, callback, signal);
}

/** Calls `callback` with every custom message from Python, until `signal` aborts. */
export function onMessage(
  model: AnyModel,
  callback: (content: unknown, buffers?: DataView[]) => void,
  signal: AbortSignal,
): void {
  listen(model, "msg:custom", callback as (...args: never[]) => void, signal);
}

/** Calls `callback` with every event of a model, until `signal` aborts. */
export function listen(
  model: AnyModel,
  event: string,
  callback: (...args: never[]) => void,
  signal: AbortSignal,
): void {
  if (signal.aborted) return;
  model.on(event, callback);
  signal.addEventListener("abort", () => model.off(event, callback), { once: true });
}

/** Traits arrive from another process: nothing about their shape is certain. */
export function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

export function lensOf(model: AnyModel): string {
  return text(model.get("lens"));
}
