// The heatmap: traits in, gestures out. It draws what it was sent, and computes no result.
//
//   widget      joins the parts below, and says in which order they are drawn
//   what came   grid, cells, comparison: frames as numbers. shown: what a view shows of them
//   what of it  readings, words, prepare: units and rows. scales, palettes: places and colours. range: means
//   where       layout, hit, stage: sizes, panels and points. minimap: a long prompt. page: elements from top to bottom
//   drawn       view (the canvas), inks, panel, legend, table, around; sentences: everything in words
//   touched     pointing, tooltip, cursor, keyboard, keys: one cell. choosing, marks, pins, brush: what is marked
//   offered     toolbar; leaving, export: files and code. alone: a heatmap without a lens
//   when        pace; scene: what the parts of one view are given
export { default } from "./widget";
