// A stand-in for anywidget's front-end model: traits in a Map, listeners counted, sent messages kept.
// The preview page and the browser tests use it; it never ships.

export class MockModel {
  constructor(traits) {
    this.traits = new Map(Object.entries(traits));
    this.listeners = new Map();
    this.sent = [];
  }

  get(name) {
    return this.traits.get(name);
  }

  /** What happens when Python changes a trait. */
  put(name, value) {
    this.traits.set(name, value);
    this.emit(`change:${name}`);
  }

  set(name, value) {
    this.traits.set(name, value);
  }

  save_changes() {
    throw new Error("factlens never writes a trait from the browser");
  }

  on(event, callback) {
    if (!this.listeners.has(event)) this.listeners.set(event, new Set());
    this.listeners.get(event).add(callback);
  }

  off(event, callback) {
    this.listeners.get(event)?.delete(callback);
  }

  send(content) {
    this.sent.push(structuredClone(content));
    this.onsend?.(content);
  }

  /** What happens when Python sends a custom message. */
  reply(content) {
    this.emit("msg:custom", content);
  }

  emit(event, ...args) {
    for (const callback of [...(this.listeners.get(event) ?? [])]) callback(...args);
  }

  get listenerCount() {
    return [...this.listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }
}

export const TOKENS = ["The", " Space", " Needle", " is", " in", " down", "town"].map((text, index) => ({
  text,
  id: 100 + index,
  subject: index < 3,
}));

/**
 * A grid as tracing might give it: an early site at the subject's last token, a late one at the last token.
 * `computed` says how many cells (in reading order of tokens) are there; the rest is NaN.
 */
export function fakeFrame({ run = 1, layers = 8, tokens = TOKENS, share = 1, ...rest } = {}) {
  const kinds = ["state", "mlp", "attn"];
  const [low, high] = [0.04, 0.93];
  const grid = new Float32Array(kinds.length * tokens.length * layers).fill(Number.NaN);
  const subjectEnd = tokens.findLastIndex((token) => token.subject);
  const last = tokens.length - 1;
  const bump = (x, centre, width) => Math.exp(-(((x - centre) / width) ** 2));
  kinds.forEach((kind, k) => {
    tokens.forEach((_, t) => {
      for (let l = 0; l < layers; l += 1) {
        const depth = l / (layers - 1);
        const early = kind === "attn" ? 0.08 : kind === "mlp" ? 0.75 : 1;
        const late = kind === "mlp" ? 0.12 : kind === "attn" ? 0.7 : 1;
        const site =
          early *
            bump(t, subjectEnd, 0.6) *
            (kind === "state" ? 1 / (1 + Math.exp((depth - 0.6) * 14)) : bump(depth, 0.25, 0.22)) +
          late *
            bump(t, last, 0.5) *
            (kind === "state" ? 1 / (1 + Math.exp((0.6 - depth) * 14)) : bump(depth, 0.72, 0.2));
        const noise = 0.012 * Math.sin(12.9 * t + 78.2 * l + 3.7 * k);
        if (t >= last + 1 - share * tokens.length) {
          grid[(k * tokens.length + t) * layers + l] = low + (high - low) * Math.min(1, site) + noise;
        }
      }
    });
  });
  return {
    schema: 1,
    run,
    kinds,
    tokens,
    layers,
    low,
    high,
    answer: " Seattle",
    window: 3,
    samples: 10,
    complete: share >= 1,
    stopped: false,
    suggested: null,
    grid: new DataView(grid.buffer),
    ...rest,
  };
}

export function fakeLocate(rest = {}) {
  return {
    model: "atlas · 8 layers · float32 · cpu",
    prompt: "The Space Needle is in downtown",
    subject: "The Space Needle",
    pieces: TOKENS.map(({ text, subject }) => ({ text, subject })),
    answer: " Seattle",
    high: 0.93,
    low: 0.04,
    status: "idle",
    progress: 0,
    message: "",
    error: null,
    edits: 0,
    ...rest,
  };
}

export function fakeEdit(rest = {}) {
  return {
    layer: null,
    layers: 8,
    default_layer: 1,
    subject: "The Space Needle",
    target: "",
    answer: " Seattle",
    status: "idle",
    edits: [],
    error: null,
    ...rest,
  };
}

/** Renders a widget as anywidget does, and returns a function that ends it. */
export async function mount(name, model, el) {
  const { default: widget } = await import(`/factlens/static/${name}.js`);
  const definition = typeof widget === "function" ? await widget() : widget;
  const ends = [await definition.initialize?.({ model }), await definition.render({ model, el })];
  return () => {
    for (const end of ends.reverse()) end?.();
  };
}
