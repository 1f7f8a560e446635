// The heatmap widget: traits in, gestures out. It draws what it was sent.
//
// Traits may change many times between two screen refreshes. They only mark what is stale; one animation frame later
// everything stale is drawn at once, from the newest values.
import { setAttributes, setText, show } from "../shared/dom";
import { dispatchGesture } from "../shared/gestures-event";
import { lensOf, onTrait, type RenderProps } from "../shared/model";
import type { PaletteName } from "../shared/palettes";
import { siteTitle } from "../shared/sites";
import { followTheme, readTheme, type Theme } from "../shared/theme";
import { ownGestures, type SendGesture } from "./alone";
import { type Comparison, decodeComparison, firstCompared } from "./comparison";
import { Cursor } from "./cursor";
import { type Cell, decodeCell, decodeFrame, type Frame, inward, outward, sameCell } from "./grid";
import { move, stretch } from "./keyboard";
import { type Layout, LONG_PROMPT, layoutFor } from "./layout";
import { takeAway } from "./leaving";
import { Legend, panelRamp } from "./legend";
import { buildPage } from "./page";
import { Panel } from "./panel";
import { decodePins, MOST_PINS, PinList, toggled } from "./pins";
import { prepare, readable } from "./prepare";
import { decodeSpan, meansIn } from "./range";
import { windowOf } from "./scales";
import * as say from "./sentences";
import { tables } from "./table";
import { type Choice, type Leaving, Toolbar } from "./toolbar";
import { Tooltip } from "./tooltip";
import { wordStarts } from "./words";

/** A click is confirmed in milliseconds; only a kernel that lets it wait is worth a word. */
const PENDING_TEXT_MS = 400;

let lastPalette: PaletteName = "rome"; // new views begin with what this reader chose last

function render({ model, el }: RenderProps): () => void {
  const end = new AbortController();
  const { signal } = end;

  // --- the state of this view ---------------------------------------------------------------------------------------
  const choice: Choice = {
    palette: lastPalette,
    table: false,
    reading: "score",
    words: false,
    ownScale: false,
    compare: null,
  };
  let given: Frame | null = null; // as it came
  let comparison: Comparison | null = null;
  let frame: Frame | null = null; // as it is shown
  let newestRun = Number.NEGATIVE_INFINITY;
  let built: Panel[] = [];
  let builtFor = "";
  let layout: Layout | null = null;
  let layoutKey = "";
  let labelWidth = 0;
  let cursorCell: Cell | null = null; // on the page, as are `hovered` and the spans; pins and selection are the trace's
  let cursorMoved = false;
  let hovered: Cell | null = null;
  let tooltipDismissed = false;
  let pending: Cell | null = null;
  let pendingTimer: ReturnType<typeof setTimeout> | undefined;
  let pins: Cell[] = [];
  let layers: say.Span | null = null;
  let rows: say.Span | null = null;
  let zoomed = false;
  let frameStale = true;
  let viewStale = true;
  let rangeStale = true;
  let selectionStale = false;
  let lookedAgain = false;

  const toolbar = new Toolbar(choice, chosenAnew, leave, signal);
  const cursor = new Cursor();
  const legend = new Legend();
  const pinList = new PinList((cell) => pin(cell));
  const page = buildPage(toolbar, cursor, legend, pinList);
  const { root, panels, scroller, tableBox, live } = page;
  const tooltip = new Tooltip(root);
  root.append(tooltip.root);
  el.append(root);
  let theme: Theme = readTheme(root);

  const selection = (): Cell | null => (given ? decodeCell(model.get("selection"), given) : null);
  const busy = (): boolean => model.get("busy") === true;

  const lens = lensOf(model); // it has one, or none, for life
  const gesture: SendGesture = lens
    ? (name, payload) => dispatchGesture(lens, name, payload)
    : ownGestures(model, signal);

  // --- drawing ------------------------------------------------------------------------------------------------------
  let scheduled = 0;
  function schedule(): void {
    if (scheduled || signal.aborted) return;
    scheduled = requestAnimationFrame(() => {
      scheduled = 0;
      draw();
    });
  }

  function chosenAnew(): void {
    lastPalette = choice.palette;
    viewStale = true;
    setHover(null);
    schedule();
  }

  function takeFrame(): void {
    comparison = decodeComparison(model.get("comparison"));
    const next = decodeFrame(model.get("frame"));
    if (next && next.run < newestRun) return; // late news of a run that was replaced
    if (next && next.run > newestRun) {
      newestRun = next.run;
      pending = null;
      cursorMoved = false;
      rangeStale = true;
    }
    given = next;
  }

  function prepareView(): void {
    const before = frame;
    const cells = given ?? comparison?.b ?? null;
    toolbar.update({
      readable: (reading) => readable(given, comparison, reading),
      words: cells !== null && wordStarts(cells.tokens).length < cells.tokens.length,
      compare: Object.entries(comparison?.a.sites ?? {}).map(([kind, site]) => [kind, siteTitle(site)]),
      first: comparison ? firstCompared(comparison) : "",
      always: given === null,
      code: (cells?.code ?? "") !== "",
    });
    frame = prepare(given, comparison, choice); // of what is left to choose from
    if (before && frame && (before.rowOf !== frame.rowOf || before.kinds.join() !== frame.kinds.join())) {
      // The cursor stays on what it stood on, under whatever name that has now.
      const cell = cursorCell && outward(before, cursorCell);
      cursorCell = (cell && inward(frame, cell)[0]) ?? null;
      hovered = null;
    }
  }

  function takeRange(): void {
    const cells = given ?? comparison?.b;
    if (!cells || !frame) return;
    layers = decodeSpan(model.get("layer_range"), cells.layers);
    const tokens = decodeSpan(model.get("token_range"), cells.tokens.length);
    rows = tokens && frame.rowOf ? [frame.rowOf[tokens[0]] ?? 0, frame.rowOf[tokens[1]] ?? 0] : tokens;
    if (!layers) zoomed = false;
  }

  function draw(): void {
    if (frameStale) {
      frameStale = false;
      viewStale = true;
      takeFrame();
    }
    if (viewStale) {
      prepareView();
      rangeStale = true;
      viewStale = false;
    }
    if (rangeStale) takeRange();
    rangeStale = false;
    show(page.empty, frame === null);
    show(page.full, frame !== null);
    setText(page.empty, busy() ? say.EMPTY_BUSY : say.EMPTY);
    setAttributes(root, {
      "data-complete": frame?.complete ? "true" : "false",
      "data-run": frame ? frame.run : "",
      "data-computed": frame ? frame.computed : 0,
      "data-estimated": frame ? frame.estimated : 0,
      "data-view": frame && frame.kinds[0] !== undefined && frame.sources[frame.kinds[0]] ? "comparison" : "trace",
      "aria-busy": busy() ? "true" : "false",
    });
    if (!frame) {
      setHover(null);
      return;
    }
    show(tableBox, choice.table);
    show(scroller, !choice.table);
    build(frame);
    if (!measure(frame) || !layout) {
      // No width: the ResizeObserver calls when there is one. But JupyterLab hides and shows a page within a single
      // frame while it changes the theme, which no observer notices: so look once more.
      if (!lookedAgain) schedule();
      lookedAgain = true;
      return;
    }
    lookedAgain = false;
    for (const panel of built) {
      panel.paint(frame, layout, panelRamp(frame, panel.kind, choice.palette, theme), theme);
      panel.suggest(frame.suggested);
    }
    legend.update(frame, choice.palette, theme);
    setText(page.title, say.heading(frame));
    setText(page.progress, say.progress(frame, busy()));
    show(page.progress, page.progress.textContent !== "");
    show(page.resume, frame.stopped && !busy() && lens !== "");
    setText(page.details, say.details(frame));
    setText(page.estimates, say.estimateNote(frame, busy()));
    show(page.estimates, page.estimates.textContent !== "");
    show(page.suggested, frame.suggested !== null);
    if (frame.suggested) setText(page.suggestedText, say.suggestion(frame, frame.suggested));
    drawSelection();
    drawPins();
    drawRange();
    placeCursor();
    if (hovered && !frame.kinds.includes(hovered.kind)) setHover(null);
    else if (hovered || cursor.focused) setHover(hovered);
    if (choice.table) tableBox.replaceChildren(...tables(frame));
  }

  /** Makes new panels when the tokens, kinds or layers are other ones than before. */
  function build(now: Frame): void {
    const key = JSON.stringify([now.kinds, now.titles, now.layers, now.tokens]);
    if (key === builtFor) return;
    builtFor = key;
    built = now.kinds.map(
      (kind) =>
        new Panel(now, kind, {
          move: (event) => setHover(frame && at(kind, event)),
          leave: () => setHover(null),
          click: (event) => {
            const cell = at(kind, event);
            if (!cell || !frame) return;
            if (event.shiftKey) {
              stand(cell);
              pin(outward(frame, cell));
            } else choose(cell);
          },
          layers: (span, done) => mark(span, rows, done),
          rows: (span, done) => mark(layers, span, done),
        }),
    );
    page.panelBox.replaceChildren(...built.map((panel) => panel.root));
    layoutKey = "";
    hovered = null;
    tooltip.hide();
    cursorCell = null;
    cursor.describe(now);
  }

  function at(kind: string, event: MouseEvent): Cell | null {
    const panel = built.find((one) => one.kind === kind);
    return (frame && panel?.at(event, frame)) ?? null;
  }

  function measure(now: Frame): boolean {
    // The table hides the panels; the root's width is the same and always there.
    const width = root.clientWidth;
    if (width <= 0) return false;
    if (!scroller.hidden) labelWidth = built[0]?.labels.offsetWidth || labelWidth;
    const inView = zoomed && layers ? layers[1] - layers[0] + 1 : null;
    const key = `${width} ${labelWidth} ${inView}`;
    if (key !== layoutKey) {
      layoutKey = key;
      layout = layoutFor(
        width - 2,
        labelWidth,
        { kinds: now.kinds.length, tokens: now.tokens.length, layers: now.layers },
        inView,
      );
      panels.dataset.layout = layout.mode;
      setAttributes(scroller, { "data-long": now.tokens.length > LONG_PROMPT });
      if (inView !== null && layers) {
        const left = layers[0] * layout.cellWidth;
        requestAnimationFrame(() => scroller.scrollTo({ left }));
      }
    }
    return true;
  }

  function drawSelection(): void {
    if (!frame) return;
    const confirmed = selection();
    const shown = pending ?? confirmed;
    const edit = say.decodeEdit(model.get("edit"));
    for (const panel of built) panel.select(shown, frame, pending ? [] : (edit?.layers ?? []), pending !== null);
    const here = confirmed && inward(frame, confirmed)[0];
    const line = here ? say.selected(frame, here, edit) : given ? say.nothingSelected(edit) : "";
    setText(page.selection, line);
    show(page.selection, line !== "");
    if (selectionStale) {
      // Said once per selection: values that still stream in must not make the page talk.
      selectionStale = false;
      setText(live, here ? line : "Selection cleared.");
    }
  }

  function drawPins(): void {
    if (!frame) return;
    for (const panel of built) panel.pin(pins, frame);
    pinList.update(pins, frame);
    if (pins.length < MOST_PINS) show(page.pinsFull, false);
  }

  function drawRange(): void {
    if (!frame) return;
    for (const panel of built) panel.range(layers, rows);
    const marked = layers !== null || rows !== null;
    show(page.range, marked);
    show(page.zoom, layers !== null);
    setAttributes(page.zoom, { "aria-pressed": String(zoomed) });
    if (marked) setText(page.rangeText, say.range(frame, layers, rows, meansIn(frame, layers, rows)));
  }

  function placeCursor(): void {
    if (!frame || !layout) return;
    const inside = cursorCell && frame.kinds.includes(cursorCell.kind) && cursorCell.token < frame.tokens.length;
    if (!cursorMoved || !cursorCell || !inside) {
      const subject = Math.max(
        0,
        frame.tokens.findIndex((token) => token.subject),
      );
      const home: Cell = { kind: frame.kinds[0] ?? "", token: subject, layer: 0 };
      const chosen = selection();
      cursorCell = (chosen && inward(frame, chosen)[0]) ?? frame.suggested ?? home;
    }
    const box = boxOf(cursorCell);
    if (box) cursor.place(frame, cursorCell, box, sameCell(outward(frame, cursorCell), selection()));
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
    if (!frame || !shown || !box || choice.table || (!cell && tooltipDismissed)) {
      tooltip.hide();
      return;
    }
    const [first, last] = windowOf(frame, shown.kind, shown.layer);
    const origin = panels.getBoundingClientRect();
    const place = new DOMRect(origin.left + box.left, origin.top + box.top, box.width, box.height);
    tooltip.show(
      say.tooltipLines(frame, shown),
      place,
      place.left - (shown.layer - first) * place.width,
      place.right + (last - shown.layer) * place.width,
    );
  }

  // --- gestures -----------------------------------------------------------------------------------------------------
  /** Whoever clicks a cell goes on from there with the keyboard. */
  function stand(cell: Cell): void {
    cursorCell = cell;
    cursorMoved = true;
    tooltipDismissed = false;
    placeCursor();
    cursor.focus();
  }

  function choose(cell: Cell): void {
    if (!frame) return;
    stand(cell);
    if (!given) return; // a comparison alone has no layer to edit
    const wanted = outward(frame, cell);
    clearTimeout(pendingTimer);
    // The outline moves at once; the sentence waits for Python's word. Choosing the same cell again changes no trait,
    // so there would be nothing to wait for.
    pending = sameCell(wanted, selection()) ? null : wanted;
    if (pending) {
      pendingTimer = setTimeout(() => {
        if (frame && pending) setText(page.selection, say.pending(frame, cell));
      }, PENDING_TEXT_MS);
    }
    drawSelection();
    gesture("select", { kind: wanted.kind, token: wanted.token, layer: wanted.layer });
  }

  /** Pins and ranges are shown at once, and told to Python, whose traits have the last word. */
  function pin(cell: Cell): void {
    const next = toggled(pins, cell);
    show(page.pinsFull, next === null);
    if (!next) {
      setText(live, page.pinsFull.textContent ?? "");
      return;
    }
    setPins(next);
  }

  function setPins(next: Cell[]): void {
    setText(live, next.length > pins.length ? `Pinned as number ${next.length}.` : "Unpinned.");
    pins = next;
    drawPins();
    gesture("pins", { cells: next });
  }

  function mark(nextLayers: say.Span | null, nextRows: say.Span | null, done: boolean): void {
    [layers, rows] = [nextLayers, nextRows];
    if (!layers) zoomed = false;
    drawRange();
    if (!done) return;
    schedule();
    setText(live, layers || rows ? (page.rangeText.textContent ?? "") : "Range cleared.");
    const first = (row: number) => frame?.rowOf?.indexOf(row) ?? row;
    const last = (row: number) => frame?.rowOf?.lastIndexOf(row) ?? row;
    gesture("range", { layers, tokens: rows && [first(rows[0]), last(rows[1])] });
  }

  function leave(how: Leaving): void {
    if (!frame) return;
    takeAway(how, frame, choice.palette, signal).then(
      (words) => setText(live, words),
      (error: unknown) => {
        if (!signal.aborted) setText(live, `That did not work. ${error instanceof Error ? error.message : ""}`);
      },
    );
  }

  /** Takes away one thing after the other; false when there is nothing left to take. */
  function takeBack(): boolean {
    if (tooltip.visible) {
      tooltipDismissed = true;
      setHover(null);
    } else if (layers || rows) mark(null, null, true);
    else if (pins.length > 0) setPins([]);
    else return false;
    return true;
  }

  cursor.root.addEventListener(
    "keydown",
    (event) => {
      if (!frame || !cursorCell || event.altKey || event.metaKey) return;
      const shape = { kinds: frame.kinds, tokens: frame.tokens.length, layers: frame.layers };
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const next = event.shiftKey ? null : move(cursorCell, key, event.ctrlKey, shape);
      const span = event.shiftKey ? stretch(key, { layers, rows }, cursorCell, shape) : null;
      let handled = true;
      if (next) {
        cursorCell = next;
        cursorMoved = true;
        tooltipDismissed = false;
        placeCursor();
        cursor.reveal(built[0]?.labels.offsetWidth ?? 0);
        setHover(null);
      } else if (span) {
        mark(span.layers, span.rows, true);
      } else if (event.ctrlKey) {
        handled = false; // Ctrl+C is not C
      } else if (key === "Enter" || key === " ") {
        choose(cursorCell);
      } else if (key === "p") {
        pin(outward(frame, cursorCell));
      } else if (key === "c") {
        toolbar.toggleCompare();
      } else if (key === "t") {
        choice.table = !choice.table;
        chosenAnew();
      } else if (key === "z") {
        zoom();
      } else if (key === "?") {
        toolbar.toggleKeys();
      } else if (key === "Escape") {
        handled = takeBack();
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

  function zoom(): void {
    zoomed = !zoomed && layers !== null;
    schedule();
  }
  page.zoom.addEventListener("click", zoom, { signal });
  page.clear.addEventListener("click", () => mark(null, null, true), { signal });
  page.resume.addEventListener("click", () => gesture("resume", {}), { signal });

  // --- changes from Python and from the page ------------------------------------------------------------------------
  for (const trait of ["frame", "comparison"]) {
    onTrait(
      model,
      trait,
      () => {
        frameStale = true;
        schedule();
      },
      signal,
    );
  }
  for (const trait of ["busy", "edit"]) onTrait(model, trait, schedule, signal);
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
  function takePins(): void {
    const cells = given ?? comparison?.b ?? null;
    pins = cells ? decodePins(model.get("pins"), cells) : [];
    schedule();
  }
  onTrait(model, "pins", takePins, signal);
  for (const trait of ["layer_range", "token_range"]) {
    onTrait(
      model,
      trait,
      () => {
        rangeStale = true;
        schedule();
      },
      signal,
    );
  }
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
  takePins();

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
