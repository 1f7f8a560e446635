// When to draw. Traits may change many times between two screen refreshes: they only ask for a drawing, and one
// animation frame later everything is drawn at once, from the newest values.

/** Returns what asks for a drawing. */
export function oncePerFrame(draw: () => void, signal: AbortSignal): () => void {
  let asked = 0;
  signal.addEventListener("abort", () => cancelAnimationFrame(asked), { once: true });
  return () => {
    if (asked || signal.aborted) return;
    asked = requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
}

/** Calls back when the element has another size, or the screen below it other pixels. */
export function followSize(node: Element, callback: () => void, signal: AbortSignal): void {
  const resized = new ResizeObserver(callback);
  resized.observe(node);
  signal.addEventListener("abort", () => resized.disconnect(), { once: true });
  followPixelRatio(callback, signal);
}

/** The window moves to another screen, or the page is zoomed. */
function followPixelRatio(callback: () => void, signal: AbortSignal): void {
  if (signal.aborted) return;
  matchMedia(`(resolution: ${globalThis.devicePixelRatio}dppx)`).addEventListener(
    "change",
    () => {
      callback();
      followPixelRatio(callback, signal);
    },
    { signal, once: true },
  );
}
