// Small builders for DOM nodes. Text always goes in as text: tokens, prompts and errors are other people's strings.

export type Attributes = Record<string, string | number | boolean | null | undefined>;

/**
 * Keeps JupyterLab's shortcuts away from an element. Each element that can have the focus needs it itself: Lab looks
 * upwards from the focused element, but most notebook shortcuts ("a", "b", "d d") match right there, on ":focus".
 */
export const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" };

const FOCUSABLE: readonly string[] = ["button", "input", "select", "summary", "textarea"];

/** `testid` is what tests find it by: `data-testid="factlens-…"`, as README lists them. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  { testid, ...attributes }: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  if (FOCUSABLE.includes(tag)) setAttributes(node, OWN_KEYS);
  if (tag === "button") setAttributes(node, { type: tag }); // it must not submit a form of the page around
  setAttributes(node, { ...attributes, "data-testid": testid && `factlens-${testid}` });
  node.append(...children);
  return node;
}

/** A part of a lens: its root, marked for the style sheet, for screen readers and for tests. */
export function region(name: string, label: string): HTMLElement {
  return element("div", {
    class: `factlens fl-${name}`,
    role: "region",
    "aria-label": label,
    testid: name,
    ...OWN_KEYS,
  });
}

/** `false`, `null` and `undefined` remove an attribute, `true` sets it empty. */
export function setAttributes(node: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) node.removeAttribute(name);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Writes only what differs, so that live regions speak and mutation observers wake only when something changed. */
export function setText(node: Element, value: string): void {
  if (node.textContent !== value) node.textContent = value;
}

export function show(node: HTMLElement, visible: boolean): void {
  node.hidden = !visible;
}

/** A line that is there only when it has something to say. */
export function say(node: HTMLElement, words: string): void {
  setText(node, words);
  show(node, words !== "");
}

/** Puts an element somewhere, in pixels. */
export function place(node: HTMLElement, left: number, top: number, width: number, height: number): void {
  Object.assign(node.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}

const drawn = new WeakMap<Element, string>();

/**
 * Draws an element's children anew only when what they show has changed: a focused button, an open list and a marked
 * text survive news of other things.
 */
export function redraw(node: Element, shown: unknown, children: () => (Node | string)[]): void {
  const key = JSON.stringify(shown);
  if (drawn.get(node) === key) return;
  drawn.set(node, key);
  node.replaceChildren(...children());
}

/** Calls back on Enter, and keeps the key from the notebook; in a box of several lines, Shift and Enter begin one. */
export function onEnter(box: HTMLInputElement | HTMLTextAreaElement, callback: () => void, signal: AbortSignal): void {
  // Of two kinds of boxes, TypeScript would know of an event no more than that it is one.
  const target: HTMLElement = box;
  target.addEventListener(
    "keydown",
    (event) => {
      // An Enter that ends a composition (Japanese, Chinese …) belongs to the input method.
      if (event.key !== "Enter" || event.isComposing || (event.shiftKey && box instanceof HTMLTextAreaElement)) return;
      event.preventDefault();
      event.stopPropagation();
      callback();
    },
    { signal },
  );
}

/** Calls back when an available button is pressed. */
export function onClick(button: HTMLButtonElement, callback: () => void, signal?: AbortSignal): void {
  button.addEventListener("click", () => isAvailable(button) && callback(), signal ? { signal } : {});
}

/** Shows whether what a button turns on is on. */
export function setPressed(button: HTMLButtonElement, pressed: boolean): void {
  setAttributes(button, { "aria-pressed": String(pressed) });
}

/**
 * A button that can be unavailable without losing the keyboard focus. A truly disabled button drops the focus to the
 * page, where the notebook takes the next key for a command: two presses of "d" would delete the cell.
 */
export function setAvailable(button: HTMLButtonElement, available: boolean, why = ""): void {
  setAttributes(button, { "aria-disabled": String(!available), title: (!available && why) || null });
}

export function isAvailable(button: HTMLButtonElement): boolean {
  return button.getAttribute("aria-disabled") !== "true";
}
