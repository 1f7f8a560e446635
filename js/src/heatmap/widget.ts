// Joins the parts of the heatmap, and draws them in their order.
import { onClick, setText, show } from "../shared/dom";
import { keepPlainKeys, onPressWithoutFocus } from "../shared/focus";
import { dispatchGesture, onWriting } from "../shared/gestures-event";
import { lensOf, onTrait, type RenderProps } from "../shared/model";
import { followTheme, readTheme, type Theme } from "../shared/theme";
import { ownGestures, type SendGesture } from "./alone";
import { describe, describeFrame } from "./around";
import { outward } from "./cells";
import { buildChoosing } from "./choosing";
import { Cursor } from "./cursor";
import type { Cell, Frame } from "./grid";
import { onKeys } from "./keys";
import { takeAway } from "./leaving";
import { Legend, panelRamp } from "./legend";
import { buildMarks } from "./marks";
import { followSize, oncePerFrame } from "./pace";
import { buildPage } from "./page";
import { PinList } from "./pins";
import { buildPointing } from "./pointing";
import type { Span } from "./sentences";
import { Shown } from "./shown";
import { Stage } from "./stage";
import { tables } from "./table";
import { firstChoice, type Leaving, Toolbar } from "./toolbar";

/** What has to be made anew before the next drawing: each includes those before it. */
const [NOTHING, RANGE, VIEW, FRAME] = [0, 1, 2, 3];

function render({ model, el }: RenderProps): () => void {
  const end = new AbortController();
  const { signal } = end;
  const lens = lensOf(model); // it has one, or none, for life
  const gesture: SendGesture = lens
    ? (name, payload) => dispatchGesture(lens, name, payload)
    : ownGestures(model, (words) => setText(page.live, words), signal);
  const schedule = oncePerFrame(draw, signal);

  const choice = firstChoice();
  const shown = new Shown(model);
  const toolbar = new Toolbar(choice, chosenAnew, leave, signal);
  const cursor = new Cursor();
  const legend = new Legend();
  const pinList = new PinList((cell) => marks.pin(cell));
  const page = buildPage(toolbar, cursor, legend, pinList);
  const { root, live } = page;
  const stage = new Stage(page);
  const scene = { model, shown, page, stage, gesture, schedule, signal };
  const pointing = buildPointing(scene, cursor, choice);
  const choosing = buildChoosing(scene, pointing);
  const marks = buildMarks(scene, pinList);
  onKeys(cursor, shown, pointing, choosing, marks, toolbar, signal);
  onPressWithoutFocus(() => root, pointing.takeKeys, signal);
  keepPlainKeys(root, signal);
  onClick(page.resume, () => gesture("resume", {}), signal);
  el.append(root);

  const events = {
    hover: pointing.hover,
    click: (cell: Cell, shift: boolean) => (shift ? pin(cell) : choosing.choose(cell)),
    layers: (layers: Span | null, done: boolean) => marks.mark({ layers }, done),
    rows: (rows: Span | null, done: boolean) => marks.mark({ rows }, done),
  };

  let theme: Theme = readTheme(root);
  let stale = FRAME;
  let lookedAgain = false;
  let writing = false;

  function outdate(what: number): void {
    stale = Math.max(stale, what);
    schedule();
  }

  function draw(): void {
    if (stale >= FRAME && shown.take()) {
      choosing.settle();
      pointing.letGo();
    }
    if (stale >= VIEW) {
      const before = shown.frame;
      toolbar.update(shown.offer);
      shown.prepare(choice); // of what is left to choose from
      pointing.follow(before);
    }
    if (stale >= RANGE) marks.takeRange();
    stale = NOTHING;
    const { frame, busy } = shown;
    describe(page, frame, busy);
    if (frame) drawFrame(frame, busy);
    else pointing.hover(null);
  }

  function drawFrame(frame: Frame, busy: boolean): void {
    show(page.tableBox, choice.table);
    show(page.scroller, !choice.table);
    if (stage.build(frame, events)) pointing.begin(frame);
    if (!stage.measure(frame, marks.inView()) || !stage.layout) {
      // No width: the ResizeObserver calls when there is one. But JupyterLab hides and shows a page within a single
      // frame while it changes the theme, which no observer notices: so look once more.
      if (!lookedAgain) schedule();
      lookedAgain = true;
      return;
    }
    lookedAgain = false;
    const rampOf = (kind: string) => panelRamp(frame, kind, choice.palette, theme);
    const sight = stage.sight();
    for (const panel of stage.panels) {
      panel.paint(frame, sight, rampOf(panel.kind), theme);
      panel.suggest(frame.suggested);
    }
    page.map.paint(frame, stage.layout, rampOf, theme);
    legend.update(frame, choice.palette, theme);
    describeFrame(page, frame, busy, lens !== "", writing);
    choosing.draw();
    marks.draw();
    pointing.refresh();
    if (choice.table) page.tableBox.replaceChildren(...tables(frame));
  }

  function pin(cell: Cell): void {
    pointing.click(cell);
    if (shown.frame) marks.pin(outward(shown.frame, cell));
  }

  function chosenAnew(): void {
    pointing.hover(null);
    outdate(VIEW);
  }

  function leave(how: Leaving): void {
    if (how === "paper") askForFigure();
    else if (shown.frame) takeAway(how, shown.frame, choice.palette, signal).then((words) => setText(live, words));
  }

  /** What is shown, drawn by Python: the trace, or the comparison of the kind that is chosen. */
  function askForFigure(): void {
    const { form, look } = toolbar.paper.chosen;
    const { first, always, compare } = shown.offer;
    const comparing = compare.length > 0 && (always || choice.compare !== null);
    const part = comparing ? { kind: choice.compare ?? first } : { effects: choice.reading === "effect" };
    gesture("figure", { what: comparing ? "comparison" : "trace", form, look: { ...look, ...part } });
    setText(live, "Python draws the figure; it comes as a download.");
  }

  const on = (traits: string[], act: () => void) => {
    for (const trait of traits) onTrait(model, trait, act, signal);
  };
  on(["frame", "comparison"], () => outdate(FRAME));
  on(["layer_range", "token_range"], () => outdate(RANGE));
  on(["selection"], choosing.confirm);
  on(["refused"], choosing.settle); // the panel above says why
  on(["pins"], marks.takePins);
  on(["selection", "refused", "pins", "busy", "edit"], schedule);
  onWriting(
    lens,
    (other) => {
      writing = other;
      schedule();
    },
    signal,
  );
  followTheme(
    root,
    (now) => {
      theme = now;
      schedule();
    },
    signal,
  );
  page.scroller.addEventListener("scroll", () => stage.strayed && schedule(), { signal, passive: true });
  followSize(root, schedule, signal);
  draw();
  marks.takePins();
  schedule();

  return () => {
    end.abort();
    root.remove();
  };
}

export default { render };
