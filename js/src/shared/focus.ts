// The keyboard stays with what the pointer was last pressed in.
//
// A press on what cannot have the focus (a title, an axis, a chart) leaves it with the notebook's cell, and the next key
// is a command there: "z" undoes a deletion, two of "d" delete the cell. So such a press gives the focus to the part.
import { OWN_KEYS, setAttributes } from "./dom";

/** Calls `take` after each press inside of the part that `within` names at that time, if the focus is not in it then. */
export function onPressWithoutFocus(
  within: () => HTMLElement | null,
  take: (part: HTMLElement) => void,
  signal: AbortSignal,
): void {
  function pressed(event: Event): void {
    const part = within();
    const [target] = event.composedPath(); // inside of a shadow root, too
    if (!part || !(target instanceof Node) || !part.contains(target)) return;
    // When the browser and the notebook have put the focus where they want it.
    setTimeout(() => {
      if (!signal.aborted && part.isConnected && !part.matches(":focus-within")) take(part);
    });
  }
  // The notebook moves the focus as a press begins, and some front ends once more at its end.
  for (const type of ["pointerdown", "click"]) document.addEventListener(type, pressed, { capture: true, signal });
}

/** Gives the focus to an element that is no stop of the Tab key, and keeps the notebook's keys from it. */
export function focusPart(part: HTMLElement): void {
  setAttributes(part, { ...OWN_KEYS, tabindex: -1 });
  part.focus({ preventScroll: true });
}

/**
 * Keeps plain keys that nothing inside has used from what is around: front ends that know nothing of JupyterLab's
 * attribute listen further out. Keys with Ctrl, Alt or the command key go through: they save, copy, and reload.
 */
export function keepPlainKeys(part: HTMLElement, signal: AbortSignal): void {
  part.addEventListener(
    "keydown",
    (event) => {
      if (!event.ctrlKey && !event.altKey && !event.metaKey) event.stopPropagation();
    },
    { signal },
  );
}
