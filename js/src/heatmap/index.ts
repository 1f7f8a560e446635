// The heatmap widget: traits in, one gesture out. It computes no result; it draws what it was sent.
//
// Traits may change many times between two screen refreshes. They only mark what is stale; one animation frame later
// everything stale is drawn at once, from the newest values.
import { element, isAvailable, OWN_KEYS, setAttributes, setText, show } from "../shared/dom";
import { dispatchGesture } from "../shared/gestures-event";
import { lensOf, onTrait, type RenderProps } from "../shared/model";
import { type PaletteName, rampFor } from "../shared/palettes";
import { followTheme, readTheme, type Theme } from "../shared/theme";
import { Cursor } from "./cursor";
import { type Cell, decodeCell, decodeFrame, type Frame, sameCell } from "./grid";
import { move } from "./keyboard";
import { type Layout, layoutFor } from "./layout";
import { Legend } from "./legend";
import { Panel } from "./panel";
import { windowAround } from "./scales";
import * as say from "./sentences";
import { tables } from "./table";
import { Tooltip } from "./tooltip";

/** A click is confirmed in milliseconds; only a kernel that lets it wait is worth a word. */
const PENDING_TEXT_MS = 400;

/** More rows than this, and the panels scroll inside the widget. */
const LONG_PROMPT = 28;

let lastPalette: PaletteName = "rome"; // new views begin with what this reader chose last
let gestures = 0; // ids for a heatmap used alone

function render({ model, el }: RenderProps): () => void {
  const end = new AbortController();
  const { signal } = end;

  // --- the page -----------------------------------------------------------------------------------------------------
  const title = element("div", { class: "fl-heading" });
  const byKind = element("button", { type: "button", "data-palette": "rome" }, "by kind");
  const safe = element("button", { type: "button", "data-palette": "safe" }, "colour-blind safe");
  const paletteControl = element(
    "div",
    { class: "fl-segmented", role: "group", "aria-label": "Colours", "data-testid": "factlens-palette" },
    element("span", { class: "fl-segmented-name", "aria-hidden": "true" }, "Colours"),
    byKind,
    safe,
  );
  const tableToggle = element(
    "button",
    { type: "button", class: "fl-quiet", "aria-pressed": "false", "data-testid": "factlens-table-toggle" },
    "View as table",
  );
  const header = element(
    "div",
    { class: "fl-header" },
    title,
    element("div", { class: "fl-tools" }, paletteControl, tableToggle),
  );
  const panelBox = element("div", { class: "fl-panels-inner", "aria-hidden": "true" });
  const cursor = new Cursor();
  const panels = element("div", { class: "fl-panels" }, panelBox, cursor.root);
  const scroller = element("div", { class: "fl-scroll" }, panels);
  const tableBox = element("div", {
    ...OWN_KEYS,
    class: "fl-tables",
    hidden: true,
    role: "region",
    "aria-label": "The grids as tables",
    tabindex: 0, // it scrolls, so it has to be reachable
    "data-testid": "factlens-table",
  });
  const legend = new Legend();
  const details = element("span", { class: "fl-details" });
  const progress = element("span", { class: "fl-progress-note", "data-testid": "factlens-heatmap-status" });
  const footer = element("div", { class: "fl-footer" }, legend.root, progress, details);
  const estimates = element("p", { class: "fl-estimates", "data-testid": "factlens-estimate-note" });
  const selectionLine = element("p", { class: "fl-selection", "data-testid": "factlens-selection" });
  const suggestedText = element("span");
  const suggestedLine = element(
    "p",
    { class: "fl-suggestion", "data-testid": "factlens-suggestion" },
    element("span", { class: "fl-suggestion-mark", "aria-hidden": "true" }),
    suggestedText,
  );
  const honest = element("p", { class: "fl-honest" }, say.HONEST);
  const live = element("div", {
    class: "fl-sr",
    "aria-live": "polite",
    role: "status",
    "data-testid": "factlens-live",
  });
  const empty = element("p", { class: "fl-empty", "data-testid": "factlens-empty" });
  const full = element(
    "div",
    { class: "fl-full" },
    header,
    scroller,
    tableBox,
    footer,
    estimates,
    selectionLine,
    suggestedLine,
    honest,
  );
  const root = element("div", {
    class: "factlens fl-heatmap",
    role: "region",
    "aria-label": "Causal tracing heatmap",
    "data-testid": "factlens-heatmap",
    ...OWN_KEYS,
    "data-complete": "false",
    "data-run": "",
    "data-computed": "0",
    "data-estimated": "0",
  });
  const tooltip = new Tooltip(root);
  root.append(empty, full, live, tooltip.root);
  el.append(root);

  // --- the state of this view ---------------------------------------------------------------------------------------
  let theme: Theme = readTheme(root);
  let palette: PaletteName = lastPalette;
  let frame: Frame | null = null;
  let newestRun = Number.NEGATIVE_INFINITY;
  let built: Panel[] = [];
  let builtFor = "";
  let layout: Layout | null = null;
  let layoutKey = "";
  let labelWidth = 0;
  let cursorCell: Cell | null = null;
  let cursorMoved = false;
  let hovered: Cell | null = null;
  let pending: Cell | null = null;
  let pendingTimer: ReturnType<typeof setTimeout> | undefined;
  let frameStale = true;
  let selectionStale = false;
  let lookedAgain = false;

  const selection = (): Cell | null => (frame ? decodeCell(model.get("selection"), frame) : null);
  const busy = (): boolean => model.get("busy") === true;

  // --- drawing ------------------------------------------------------------------------------------------------------
  let scheduled = 0;
  function schedule(): void {
    if (scheduled || signal.aborted) return;
    scheduled = requestAnimationFrame(() => {
      scheduled = 0;
      draw();
    });
  }

  function takeFrame(): void {
    const next = decodeFrame(model.get("frame"));
    if (next && next.run < newestRun) return; // late news of a run that was replaced
    if (next && next.run > newestRun) {
      newestRun = next.run;
      pending = null;
      cursorMoved = false;
    }
    frame = next;
  }

  function draw(): void {
    if (frameStale) {
      frameStale = false;
      takeFrame();
    }
    show(empty, frame === null);
    show(full, frame !== null);
    setText(empty, busy() ? say.EMPTY_BUSY : say.EMPTY);
    setAttributes(root, {
      "data-complete": frame?.complete ? "true" : "false",
      "data-run": frame ? frame.run : "",
      "data-computed": frame ? frame.computed : 0,
      "data-estimated": frame ? frame.estimated : 0,
      "aria-busy": busy() ? "true" : "false",
    });
    if (!frame) {
      setHover(null);
      return;
    }
    build(frame);
    if (!measure(frame) || !layout) {
      // No width: the ResizeObserver calls when there is one. But JupyterLab hides and shows a page within a single
      // frame while it changes the theme, which no observer notices: so look once more.
      if (!lookedAgain) schedule();
      lookedAgain = true;
      return;
    }
    lookedAgain = false;
    for (const panel of built) panel.paint(frame, layout, rampFor(panel.kind, palette, theme), theme);
    legend.update(frame, palette, theme);
    setText(title, say.heading(frame));
    setText(progress, say.progress(frame, busy()));
    show(progress, progress.textContent !== "");
    setText(details, say.details(frame));
    setText(estimates, say.estimateNote(frame, busy()));
    show(estimates, estimates.textContent !== "");
    for (const button of [byKind, safe]) {
      setAttributes(button, { "aria-pressed": button.dataset.palette === palette ? "true" : "false" });
    }
    for (const panel of built) panel.suggest(frame.suggested);
    show(suggestedLine, frame.suggested !== null);
    if (frame.suggested) setText(suggestedText, say.suggestion(frame, frame.suggested));
    drawSelection();
    placeCursor();
    if (hovered && !decodeCell(hovered, frame)) setHover(null);
    else if (hovered || cursor.focused) setHover(hovered);
    if (!tableBox.hasAttribute("hidden")) tableBox.replaceChildren(...tables(frame));
  }

  /** Makes new panels when the tokens, kinds or layers are other ones than before. */
  function build(now: Frame): void {
    const key = JSON.stringify([now.kinds, now.layers, now.tokens]);
    if (key === builtFor) return;
    builtFor = key;
    built = now.kinds.map((kind) => new Panel(now, kind));
    for (const panel of built) {
      panel.onPointer(
        (event) => setHover(frame && panel.at(event, frame)),
        () => setHover(null),
        (event) => {
          const cell = frame && panel.at(event, frame);
          if (cell) choose(cell);
        },
      );
    }
    panelBox.replaceChildren(...built.map((panel) => panel.root));
    layoutKey = "";
    hovered = null;
    tooltip.hide();
    cursorCell = null;
    cursor.describe(now);
  }

  function measure(now: Frame): boolean {
    // The table hides the panels; the root's width is the same and always there.
    const width = root.clientWidth;
    if (width <= 0) return false;
    if (!scroller.hidden) labelWidth = built[0]?.labels.offsetWidth || labelWidth;
    const key = `${width} ${labelWidth}`;
    if (key !== layoutKey) {
      layoutKey = key;
      layout = layoutFor(width - 2, labelWidth, {
        kinds: now.kinds.length,
        tokens: now.tokens.length,
        layers: now.layers,
      });
      panels.dataset.layout = layout.mode;
      setAttributes(scroller, { "data-long": now.tokens.length > LONG_PROMPT });
    }
    return true;
  }

  function drawSelection(): void {
    if (!frame) return;
    const confirmed = selection();
    const shown = pending ?? confirmed;
    for (const panel of built) panel.select(shown, pending !== null);
    const line = confirmed
      ? say.selected(frame, confirmed)
      : "Nothing selected. Click a cell, or press Enter on it, to choose the layer to edit.";
    setText(selectionLine, line);
    if (selectionStale) {
      // Said once per selection: values that still stream in must not make the page talk.
      selectionStale = false;
      setText(live, confirmed ? line : "Selection cleared.");
    }
  }

  function placeCursor(): void {
    if (!frame || !layout) return;
    if (!cursorMoved || !cursorCell || !decodeCell(cursorCell, frame)) {
      const subject = Math.max(
        0,
        frame.tokens.findIndex((token) => token.subject),
      );
      const home: Cell = { kind: frame.kinds[0] ?? "", token: subject, layer: 0 };
      cursorCell = selection() ?? frame.suggested ?? home;
    }
    const box = boxOf(cursorCell);
    if (box) cursor.place(frame, cursorCell, box, sameCell(cursorCell, selection()));
  }

  /** Where a cell lies inside the panels, which scroll as a whole. */
  function boxOf(cell: Cell): { left: number; top: number; width: number; height: number } | null {
    const panel = built.find((candidate) => candidate.kind === cell.kind);
    if (!panel || !layout) return null;
    const origin = panels.getBoundingClientRect();
    const canvas = panel.canvas.getBoundingClientRect();
    return {
      left: canvas.left - origin.left + cell.layer * layout.cellWidth,
      top: canvas.top - origin.top + cell.token * layout.cellHeight,
      width: layout.cellWidth,
      height: layout.cellHeight,
    };
  }

  function setHover(cell: Cell | null): void {
    hovered = cell;
    const shown = cell ?? (cursor.focused ? cursorCell : null);
    if (frame) for (const panel of built) panel.hover(shown, frame);
    const box = shown && boxOf(shown);
    if (!frame || !shown || !box || (!cell && tooltipDismissed)) {
      tooltip.hide();
      return;
    }
    const [first, last] = windowAround(shown.kind, shown.layer, frame);
    const origin = panels.getBoundingClientRect();
    const at = new DOMRect(origin.left + box.left, origin.top + box.top, box.width, box.height);
    tooltip.show(
      say.tooltipLines(frame, shown),
      at,
      at.left - (shown.layer - first) * at.width,
      at.right + (last - shown.layer) * at.width,
    );
  }
  let tooltipDismissed = false;

  // --- gestures -----------------------------------------------------------------------------------------------------
  function choose(cell: Cell): void {
    if (!frame) return;
    cursorCell = cell;
    cursorMoved = true;
    tooltipDismissed = false;
    placeCursor();
    cursor.focus();
    clearTimeout(pendingTimer);
    // The outline moves at once; the sentence waits for Python's word. Choosing the same cell again changes no trait,
    // so there would be nothing to wait for.
    pending = sameCell(cell, selection()) ? null : cell;
    if (pending) {
      pendingTimer = setTimeout(() => {
        if (frame && pending) setText(selectionLine, say.pending(frame, pending));
      }, PENDING_TEXT_MS);
    }
    drawSelection();
    const payload = { kind: cell.kind, token: cell.token, layer: cell.layer };
    const lens = lensOf(model);
    if (lens) dispatchGesture(lens, "select", payload);
    else model.send({ type: "gesture", id: ++gestures, name: "select", ...payload });
  }

  cursor.root.addEventListener(
    "keydown",
    (event) => {
      if (!frame || !cursorCell || event.altKey || event.metaKey) return;
      let handled = true;
      const next = move(cursorCell, event.key, event.ctrlKey, {
        kinds: frame.kinds,
        tokens: frame.tokens.length,
        layers: frame.layers,
      });
      if (next) {
        cursorCell = next;
        cursorMoved = true;
        tooltipDismissed = false;
        placeCursor();
        cursor.reveal(built[0]?.labels.offsetWidth ?? 0);
        setHover(null);
      } else if (event.key === "Enter" || event.key === " ") {
        choose(cursorCell);
      } else if (event.key === "Escape" && tooltip.visible) {
        tooltipDismissed = true;
        setHover(null);
      } else {
        handled = false; // the notebook's or the browser's
      }
      if (handled) {
        event.preventDefault();
        event.stopPropagation();
      }
    },
    { signal },
  );
  cursor.root.addEventListener("focusin", () => setHover(hovered), { signal });
  cursor.root.addEventListener("focusout", () => requestAnimationFrame(() => setHover(hovered)), { signal });
  scroller.addEventListener("scroll", () => setHover(null), { signal, passive: true });

  for (const button of [byKind, safe]) {
    button.addEventListener(
      "click",
      () => {
        palette = lastPalette = button.dataset.palette === "safe" ? "safe" : "rome";
        schedule();
      },
      { signal },
    );
  }
  tableToggle.addEventListener(
    "click",
    () => {
      if (!isAvailable(tableToggle)) return;
      const asTable = tableBox.hasAttribute("hidden");
      show(tableBox, asTable);
      show(scroller, !asTable);
      setAttributes(tableToggle, { "aria-pressed": asTable ? "true" : "false" });
      setHover(null);
      schedule();
    },
    { signal },
  );

  // --- changes from Python and from the page ------------------------------------------------------------------------
  onTrait(
    model,
    "frame",
    () => {
      frameStale = true;
      schedule();
    },
    signal,
  );
  onTrait(model, "busy", schedule, signal);
  function settle(): void {
    pending = null;
    clearTimeout(pendingTimer);
    schedule();
  }
  onTrait(
    model,
    "selection",
    () => {
      selectionStale = true;
      settle();
    },
    signal,
  );
  onTrait(model, "refused", settle, signal); // the panel above says why
  followTheme(
    root,
    (now) => {
      theme = now;
      schedule();
    },
    signal,
  );
  const resized = new ResizeObserver(schedule);
  resized.observe(root);
  followPixelRatio(schedule, signal);
  draw();

  return () => {
    end.abort();
    cancelAnimationFrame(scheduled);
    clearTimeout(pendingTimer);
    resized.disconnect();
    root.remove();
  };
}

/** Calls back when the window moves to a screen with other pixels, or the page is zoomed. */
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

export default { render };
