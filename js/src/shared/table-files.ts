// A table as a file: two small buttons, for a spreadsheet and for a paper. Python writes it.
import { element, onClick } from "./dom";

export function tableFiles(
  what: string,
  gesture: (name: string, payload: Record<string, unknown>) => void,
  signal: AbortSignal,
): HTMLElement {
  const buttons = [
    ["csv", "CSV"],
    ["latex", "LaTeX"],
  ].map(([form, name]) => {
    const words = `This table as ${name}, for a ${form === "csv" ? "spreadsheet" : "paper"}`;
    const button = element("button", { class: "fl-small", title: words, testid: `${what}-${form}` }, name as string);
    onClick(button, () => gesture("table", { what, form }), signal);
    return button;
  });
  return element("div", { class: "fl-table-files" }, ...buttons);
}
