// Small builders for DOM nodes. Text always goes in as text: tokens, prompts and errors are other people's strings.

type Attributes = Record<string, string | number | boolean | null | undefined>;

/**
 * Keeps JupyterLab's shortcuts away from an element. Each element that can have the focus needs it itself: Lab looks
 * upwards from the focused element, but most notebook shortcuts ("a", "b", "d d") match right there, on ":focus".
 */
export const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" };

const FOCUSABLE: readonly string[] = ["button", "input", "select", "summary", "textarea"];

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  if (FOCUSABLE.includes(tag)) setAttributes(node, OWN_KEYS);
  setAttributes(node, attributes);
  node.append(...children);
  return node;
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

/** Calls back when Enter is pressed in a text box, and keeps the key from the notebook. */
/** Call back on Enter; in a box of several lines, Shift and Enter together begin a new one. */
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

/** What a view's `render` returns: every listener ends with `end`, and the nodes go. */
export function tearDown(end: AbortController, root: HTMLElement): () => void {
  return () => {
    end.abort();
    root.remove();
  };
}

let counter = 0;

/** An id that no other widget on the page has. */
export function uniqueId(stem: string): string {
  counter += 1;
  return `factlens-${stem}-${counter}-${Math.random().toString(36).slice(2, 8)}`;
}

/**
 * A button that can be unavailable without losing the keyboard focus. A truly disabled button drops the focus to the
 * page, where the notebook takes the next key for a command: two presses of "d" would delete the cell.
 */
export function setAvailable(button: HTMLButtonElement, available: boolean, why = ""): void {
  setAttributes(button, { "aria-disabled": available ? "false" : "true", title: available ? null : why || null });
}

export function isAvailable(button: HTMLButtonElement): boolean {
  return button.getAttribute("aria-disabled") !== "true";
}
