// What each key does while the cursor's cell has the focus; every other key is the notebook's or the browser's.

import { outward } from "./cells";
import type { Choosing } from "./choosing";
import type { Cursor } from "./cursor";
import { move, stretch } from "./keyboard";
import type { Marks } from "./marks";
import type { Pointing } from "./pointing";
import type { Shown } from "./shown";
import type { Toolbar } from "./toolbar";

export function onKeys(
  cursor: Cursor,
  shown: Shown,
  pointing: Pointing,
  choosing: Choosing,
  marks: Marks,
  toolbar: Toolbar,
  signal: AbortSignal,
): void {
  /** Returns false for a key that is not ours. */
  function press({ key: pressed, shiftKey, ctrlKey }: KeyboardEvent): boolean {
    const { frame } = shown;
    const cell = pointing.at();
    if (!frame || !cell) return false;
    const shape = { kinds: frame.kinds, tokens: frame.tokens.length, layers: frame.layers };
    const key = pressed.length === 1 ? pressed.toLowerCase() : pressed;
    const next = shiftKey ? null : move(cell, key, ctrlKey, shape);
    const span = shiftKey ? stretch(key, marks.spans(), cell, shape) : null;
    if (next) pointing.move(next);
    else if (span) marks.mark(span, true);
    else if (ctrlKey)
      return false; // Ctrl+C is not C
    else if (key === "Enter" || key === " ") choosing.choose(cell);
    else if (key === "p") marks.pin(outward(frame, cell));
    else if (key === "c") toolbar.toggleCompare();
    else if (key === "t") toolbar.toggleTable();
    else if (key === "z") marks.zoom();
    else if (key === "?") toolbar.toggleKeys();
    else if (key === "Escape") return pointing.dismiss() || marks.takeBack();
    else return false;
    return true;
  }

  cursor.root.addEventListener(
    "keydown",
    (event) => {
      if (event.altKey || event.metaKey || !press(event)) return;
      event.preventDefault();
      event.stopPropagation();
    },
    { signal },
  );
}
