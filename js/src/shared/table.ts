// Tables for reading and for copying: a caption, named columns, rows with a name each.
import { type Attributes, element } from "./dom";

export function table(attributes: Attributes, caption: string, columns: string[], ...bodies: HTMLElement[]) {
  const head = columns.map((column) => (column ? element("th", { scope: "col" }, column) : element("td")));
  return element(
    "table",
    attributes,
    ...(caption ? [element("caption", {}, caption)] : []),
    element("thead", {}, element("tr", {}, ...head)),
    ...bodies,
  );
}

/** `className` is that of the row; text becomes a cell of its own. */
export function row(name: string, cells: (string | HTMLElement)[], className = ""): HTMLElement {
  return element(
    "tr",
    { class: className || null },
    element("th", { scope: "row" }, name),
    ...cells.map((cell) => (typeof cell === "string" ? element("td", {}, cell) : cell)),
  );
}
