// The heatmap's own elements, from top to bottom.
import { element, OWN_KEYS, region } from "../shared/dom";
import type { Cursor } from "./cursor";
import type { Legend } from "./legend";
import { Minimap } from "./minimap";
import { MOST_PINS, type PinList } from "./pins";
import * as say from "./sentences";
import type { Toolbar } from "./toolbar";

export type Page = ReturnType<typeof buildPage>;

export function buildPage(toolbar: Toolbar, cursor: Cursor, legend: Legend, pins: PinList) {
  const title = element("div", { class: "fl-heading" });
  const panelBox = element("div", { class: "fl-panels-inner", "aria-hidden": "true" });
  const panels = element("div", { class: "fl-panels" }, panelBox, cursor.root);
  const scroller = element("div", { class: "fl-scroll" }, panels);
  const map = new Minimap(scroller);
  const tableBox = element("div", {
    ...OWN_KEYS,
    class: "fl-tables",
    hidden: true,
    role: "region",
    "aria-label": "The grids as tables",
    tabindex: 0, // it scrolls, so it has to be reachable
    testid: "table",
  });
  const details = element("span", { class: "fl-details" });
  const narrow = element("span", { hidden: true, testid: "narrow" }, say.NARROW);
  const progress = element("span", { class: "fl-progress-note", testid: "heatmap-status" });
  const resume = element("button", { hidden: true, testid: "resume" }, "Resume");
  const estimates = element("p", { class: "fl-estimates", testid: "estimate-note" });
  const selection = element("p", { class: "fl-selection", testid: "selection" });
  const suggestedText = element("span");
  const suggested = element(
    "p",
    { class: "fl-suggestion", testid: "suggestion" },
    element("span", { class: "fl-suggestion-mark", "aria-hidden": "true" }),
    suggestedText,
  );
  const rangeText = element("span");
  const zoom = element("button", { class: "fl-small", testid: "zoom" }, "Zoom");
  const clear = element("button", { class: "fl-small", testid: "clear-range" }, "Clear");
  const range = element("p", { class: "fl-range", hidden: true, testid: "range" }, rangeText, zoom, clear);
  const pinsFull = element(
    "p",
    { class: "fl-pins-full", hidden: true, testid: "pins-full" },
    `No more than ${MOST_PINS} pins: unpin one first.`,
  );
  const live = element("div", {
    class: "fl-sr",
    "aria-live": "polite",
    role: "status",
    testid: "live",
  });
  const empty = element("p", { class: "fl-empty", testid: "empty" });
  const full = element(
    "div",
    { class: "fl-full" },
    element("div", { class: "fl-header" }, title, toolbar.tools),
    toolbar.folds,
    element("div", { class: "fl-look" }, scroller, map.root),
    tableBox,
    element("div", { class: "fl-footer" }, legend.root, progress, resume, details, narrow),
    estimates,
    selection,
    range,
    pins.root,
    pinsFull,
    suggested,
    element("p", { class: "fl-honest" }, say.HONEST),
  );
  const root = region("heatmap", "Causal tracing heatmap");
  root.append(empty, full, live);
  return {
    root,
    empty,
    full,
    title,
    panelBox,
    panels,
    scroller,
    map,
    tableBox,
    details,
    narrow,
    progress,
    resume,
    estimates,
    selection,
    suggested,
    suggestedText,
    range,
    rangeText,
    zoom,
    clear,
    pinsFull,
    live,
  };
}
