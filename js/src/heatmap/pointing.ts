// The cell that the keyboard stands on, the cell under the pointer, and the tooltip, which tells of either.

import { inward, outward, sameCell } from "./cells";
import type { Cursor } from "./cursor";
import type { Cell, Frame } from "./grid";
import { windowOf } from "./scales";
import type { Scene } from "./scene";
import * as say from "./sentences";
import type { Choice } from "./toolbar";
import { Tooltip } from "./tooltip";

export type Pointing = ReturnType<typeof buildPointing>;

export function buildPointing({ shown, page, stage, schedule, signal }: Scene, cursor: Cursor, choice: Choice) {
  const tooltip = new Tooltip(page.root);
  page.root.append(tooltip.root);
  let cell: Cell | null = null; // on the page, as is `hovered`
  let moved = false;
  let hovered: Cell | null = null;
  let dismissed = false;

  /** Keeps the cursor on what it stood on in the frame before, also when it has another name now. */
  function follow(before: Frame | null): void {
    const now = shown.frame;
    if (!before || !now || (before.rowOf === now.rowOf && before.kinds.join() === now.kinds.join())) return;
    const stood = cell && outward(before, cell);
    cell = (stood && inward(now, stood)[0]) ?? null;
    hovered = null;
  }

  /** Of new panels nothing was pointed at. */
  function begin(frame: Frame): void {
    cell = hovered = null;
    tooltip.hide();
    cursor.describe(frame);
  }

  /** Another run: the cursor stands where there is most to see, until it is moved. */
  function letGo(): void {
    moved = false;
  }

  function place(): void {
    const { frame, selection } = shown;
    if (!frame || !stage.layout) return;
    const inside = cell && frame.kinds.includes(cell.kind) && cell.token < frame.tokens.length;
    if (!moved || !cell || !inside) {
      const subject = frame.tokens.findIndex((token) => token.subject);
      const home: Cell = { kind: frame.kinds[0] ?? "", token: Math.max(0, subject), layer: 0 };
      cell = (selection && inward(frame, selection)[0]) ?? frame.suggested ?? home;
    }
    const box = stage.boxOf(cell);
    if (box) cursor.place(frame, cell, box, sameCell(outward(frame, cell), selection));
  }

  function hover(next: Cell | null): void {
    hovered = next;
    const { frame } = shown;
    const pointed = next ?? (cursor.focused ? cell : null);
    if (frame) for (const panel of stage.panels) panel.hover(pointed, frame);
    const box = pointed && stage.boxOf(pointed);
    if (!frame || !pointed || !box || choice.table || (!next && dismissed)) {
      tooltip.hide();
      return;
    }
    const [first, last] = windowOf(frame, pointed.kind, pointed.layer);
    const origin = page.panels.getBoundingClientRect();
    const { width } = box;
    const spot = new DOMRect(origin.left + box.left, origin.top + box.top, width, box.height);
    tooltip.show(
      say.tooltipLines(frame, pointed),
      spot,
      spot.left - (pointed.layer - first) * width,
      spot.right + (last - pointed.layer) * width,
    );
  }

  /** After a frame was drawn: the values are others, and the kind may be gone. */
  function refresh(): void {
    place();
    if (hovered && !shown.frame?.kinds.includes(hovered.kind)) hover(null);
    else if (hovered || cursor.focused) hover(hovered);
  }

  function stand(next: Cell): void {
    cell = next;
    moved = true;
    dismissed = false;
    place();
  }

  /** With the keys, to a cell that may be out of sight. */
  function move(next: Cell): void {
    if (stage.reveal(next.layer)) schedule();
    stand(next);
    cursor.reveal(stage.labelWidth);
    hover(null);
  }

  /** After a click on a cell one goes on from there with the keyboard. */
  function click(next: Cell): void {
    stand(next);
    cursor.focus();
  }

  /** The keys are ours after a press beside the cells, too; a tooltip of where they begin would be in the way. */
  function takeKeys(): void {
    dismissed = true;
    cursor.focus();
  }

  /** Takes the tooltip away; false when there is none. */
  function dismiss(): boolean {
    if (!tooltip.visible) return false;
    dismissed = true;
    hover(null);
    return true;
  }

  cursor.root.addEventListener("focusin", () => hover(hovered), { signal });
  cursor.root.addEventListener("focusout", () => requestAnimationFrame(() => hover(hovered)), { signal });
  page.scroller.addEventListener("scroll", () => hover(null), { signal, passive: true });
  return { at: () => cell, follow, begin, letGo, refresh, hover, move, click, takeKeys, dismiss };
}
