// Choosing a cell. The outline moves at once; the sentence waits for Python's word.
import { say, setText } from "../shared/dom";
import { inward, outward, sameCell } from "./cells";
import type { Cell } from "./grid";
import type { Pointing } from "./pointing";
import type { Scene } from "./scene";
import { decodeEdit, nothingSelected, pending, selected } from "./sentences";

/** A click is confirmed in milliseconds; only a kernel that lets it wait is worth a word. */
const PENDING_TEXT_MS = 400;

export function buildChoosing({ model, shown, page, stage, gesture, signal }: Scene, pointing: Pointing) {
  let chosen: Cell | null = null; // and not confirmed
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isNews = false;

  function draw(): void {
    const { frame, selection } = shown;
    if (!frame) return;
    const edit = decodeEdit(model.get("edit"));
    const edited = chosen ? [] : (edit?.layers ?? []);
    for (const panel of stage.panels) panel.select(chosen ?? selection, frame, edited, chosen !== null);
    const shownCell = selection && inward(frame, selection)[0];
    const line = shownCell ? selected(frame, shownCell, edit) : shown.given ? nothingSelected(edit) : "";
    say(page.selection, line);
    if (!isNews) return;
    // Said once per selection: values that still stream in must not make the page talk.
    isNews = false;
    setText(page.live, shownCell ? line : "Selection cleared.");
  }

  function choose(cell: Cell): void {
    const { frame, selection } = shown;
    if (!frame) return;
    pointing.click(cell);
    if (!shown.given) return; // a comparison alone has no layer to edit
    const meant = outward(frame, cell);
    settle();
    // Choosing the same cell again changes no trait, so there would be nothing to wait for.
    if (!sameCell(meant, selection)) {
      chosen = meant;
      timer = setTimeout(() => {
        if (shown.frame && chosen) setText(page.selection, pending(shown.frame, cell));
      }, PENDING_TEXT_MS);
    }
    draw();
    gesture("select", { kind: meant.kind, token: meant.token, layer: meant.layer });
  }

  /** Python has answered, or another run has begun. */
  function settle(): void {
    chosen = null;
    clearTimeout(timer);
  }

  function confirm(): void {
    isNews = true;
    settle();
  }

  signal.addEventListener("abort", settle, { once: true });
  return { draw, choose, settle, confirm };
}

export type Choosing = ReturnType<typeof buildChoosing>;
