// A stand-in for anywidget's front-end model: traits in a Map, listeners counted, sent messages kept.
// The preview page and the browser tests use it; it never ships.

export class MockModel {
  constructor(traits) {
    this.traits = new Map(Object.entries(traits));
    this.listeners = new Map();
    this.sent = [];
    this.buffers = [];
    this.unsaved = new Set();
    this.written = [];
  }

  get(name) {
    return this.traits.get(name);
  }

  /** What happens when Python changes a trait. */
  put(name, value) {
    this.traits.set(name, value);
    this.emit(`change:${name}`);
  }

  /** As marimo's model does it: every write is news, also the value that is there already. */
  set(name, value) {
    if (this.traits.get("lens")) throw new Error("a part of a lens never writes a trait from the browser");
    this.unsaved.add(name);
    this.put(name, value);
  }

  save_changes() {
    this.written.push(Object.fromEntries([...this.unsaved].map((name) => [name, structuredClone(this.get(name))])));
    this.unsaved.clear();
  }

  on(event, callback) {
    if (!this.listeners.has(event)) this.listeners.set(event, new Set());
    this.listeners.get(event).add(callback);
  }

  off(event, callback) {
    this.listeners.get(event)?.delete(callback);
  }

  send(content, _callbacks, buffers) {
    this.sent.push(structuredClone(content));
    this.buffers.push(buffers);
    this.onsend?.(content);
  }

  /** What happens when Python sends a custom message. */
  reply(content, buffers = []) {
    this.emit("msg:custom", content, buffers);
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

export const QUALITY = { facts: 100, rank_correlation: { "hidden state": 0.81, MLP: 0.77, attention: 0.64 } };

const site = (label, family, rest = {}) => ({ label, family, windowed: false, edited: false, head: null, ...rest });
const SITES = {
  state: site("hidden state", "state"),
  mlp: site("MLP", "mlp", { windowed: true, edited: true }),
  attn: site("attention", "attn", { windowed: true }),
  severed_mlp: site("hidden state, MLP severed", "mlp"),
  severed_attn: site("hidden state, attention severed", "attn"),
};

/** What Python says of some kinds (js/test/golden.test.ts holds this against what it really says). */
export function fakeSites(kinds) {
  const of = (kind) => {
    const head = Number(kind.split(".")[1]);
    return SITES[kind] ?? site(`attention head ${head}`, "attn", { head });
  };
  return Object.fromEntries(kinds.map((kind) => [kind, of(kind)]));
}

/** How metrics are called and written, by the names that Python has for them. */
const METRICS = {
  probability: { label: "p", title: "probability", unit: "%", contrasted: false },
  log_probability: { label: "log p", title: "log-probability", unit: "nats", contrasted: false },
  logit_difference: { label: "logit difference", title: "logit difference", unit: "", contrasted: true },
};

/**
 * A grid as tracing might give it: an early site at the subject's last token, a late one at the last token.
 * `share` says which part of the rows is there, from the last one up; the rest is NaN. With `guess` there is an
 * estimate of every cell, and with `sure` the half-width of every interval.
 */
export function fakeFrame({
  run = 1,
  layers = 8,
  tokens = TOKENS,
  kinds = ["state", "mlp", "attn"],
  low = 0.04,
  high = 0.93,
  share = 1,
  guess = false,
  sure = false,
  metric = "probability",
  ...rest
} = {}) {
  const size = kinds.length * tokens.length * layers;
  const grid = new Float32Array(size).fill(Number.NaN);
  const estimate = new Float32Array(size).fill(Number.NaN);
  const subjectEnd = tokens.findLastIndex((token) => token.subject);
  const last = tokens.length - 1;
  const bump = (x, centre, width) => Math.exp(-(((x - centre) / width) ** 2));
  kinds.forEach((name, k) => {
    const kind = name === "mlp" || name === "state" ? name : name.startsWith("severed") ? "state" : "attn";
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
        const at = (k * tokens.length + t) * layers + l;
        const score = low + (high - low) * (Math.min(1, site) + noise);
        if (t >= last + 1 - share * tokens.length) grid[at] = score;
        // The gradient does not see the path that severing takes away.
        if (!name.startsWith("severed")) estimate[at] = low + (score - low) * (kind === "mlp" ? 0.5 : 0.8);
      }
    });
  });
  return {
    schema: 4,
    run,
    kinds,
    sites: fakeSites(kinds),
    tokens,
    layers,
    metric: METRICS[metric],
    contrast: null,
    low,
    high,
    answer: " Seattle",
    window: 3,
    window_convention: "code",
    samples: 10,
    count: share >= 1 ? 10 : 0,
    trust:
      share >= 1
        ? "10 noise samples: 95 % intervals of effects at most ±0.05"
        : `exact for 10 noise samples in ${grid.filter((score) => !Number.isNaN(score)).length} of ${size} cells, else ` +
          (guess ? "an estimate from gradients" : "not computed"),
    remarks: [],
    complete: share >= 1,
    stopped: false,
    suggested: null,
    quality: guess ? QUALITY : null,
    grid: new DataView(grid.buffer),
    estimate: guess ? new DataView(estimate.buffer) : null,
    half: sure ? new DataView(new Float32Array(size).fill(0.05 * Math.abs(high - low)).buffer) : null,
    ...rest,
  };
}

export function fakeLocate({ metric = "probability", ...rest } = {}) {
  return {
    model: "atlas · 8 layers · float32 · cpu",
    prompt: "The Space Needle is in downtown",
    subject: "The Space Needle",
    chat: false,
    chats: false,
    notes: [],
    pieces: TOKENS.map(({ text, subject }) => ({ text, subject, template: false })),
    traced: true,
    answer: " Seattle",
    high: 0.93,
    low: 0.04,
    metric: METRICS[metric],
    contrast: null,
    status: "idle",
    progress: 0,
    message: "",
    error: null,
    edits: 0,
    outdated: false,
    ...rest,
  };
}

const FIELD = { group: "Corruption", form: "text", error: null, choices: [], empty: "", suggested: [] };
const SETTINGS = [
  {
    ...FIELD,
    name: "kinds",
    group: "What is restored",
    title: "kinds",
    help: "One grid for each.",
    form: "ticks",
    value: ["state", "mlp", "attn"],
    choices: ["Hidden state", "MLP", "Attention"].map((title, i) => ({ value: ["state", "mlp", "attn"][i], title })),
  },
  {
    ...FIELD,
    name: "window",
    group: "What is restored",
    title: "window",
    help: "Layers restored together.",
    value: "",
    empty: "3, for this model",
  },
  {
    ...FIELD,
    name: "corruption",
    title: "corrupted by",
    help: "What the corrupted runs read.",
    form: "choice",
    value: "noise",
    choices: [
      { value: "noise", title: "noise" },
      { value: "replacement", title: "another subject" },
    ],
  },
  { ...FIELD, name: "samples", title: "samples", help: "Corrupted runs.", value: "10" },
  { ...FIELD, name: "replace", title: "in place", help: "Not added.", form: "switch", value: false },
  {
    ...FIELD,
    name: "metric",
    group: "What is measured",
    title: "metric",
    help: "What a cell brings back.",
    form: "choice",
    value: "probability",
    choices: ["probability", "log_probability"].map((value) => ({ value, title: value.replace("_", " ") })),
  },
];

/** The drawer: what differs in some of its fields (null leaves one out), what differs around them, and more fields. */
export function fakeSettings(fields = {}, rest = {}, more = []) {
  const present = SETTINGS.filter(({ name }) => fields[name] !== null);
  return {
    fields: [...present.map((field) => ({ ...field, ...fields[field.name] })), ...more],
    changed: [],
    stale: false,
    code: null,
    ...rest,
  };
}

export function fakeEdit(rest = {}) {
  return {
    layer: null,
    edit_layers: rest.layer === undefined || rest.layer === null ? (rest.default?.layers ?? [1]) : [rest.layer],
    default: { layers: [1], source: "tuned with benchmarks/edit_quality.py", calibrated: false },
    budget: "10 min",
    method: "rome",
    methods: [
      { name: "rome", title: "ROME" },
      { name: "memit", title: "MEMIT" },
    ],
    knobs: [
      { name: "clamp", value: 6, title: "clamp", help: "longest change", least: 0, most: null, step: 0.5 },
      { name: "steps", value: 40 },
    ],
    redo: null,
    foreign: null,
    subject: "The Space Needle",
    target: "",
    exactly: false,
    remarks: [],
    answer: " Seattle",
    status: "idle",
    edits: [],
    error: null,
    ...rest,
  };
}

export function fakeJudge(rest = {}) {
  const said = (top, old, fresh) => ({ top, old, new: fresh });
  const row = (role, prompt, before, after, held) => ({
    role,
    prompt,
    old: "Seattle",
    new: "Paris",
    before,
    after,
    held,
  });
  return {
    edits: 1,
    outdated: false,
    judgement: {
      edits: ["The Space Needle → Paris"],
      rows: [
        row("rewrite", "The Space Needle is in downtown", said(" Seattle", 0.99, 0), said(" Paris", 0, 0.98), [
          false,
          true,
        ]),
        row("paraphrase", "You find the Space Needle in", said(" Seattle", 0.9, 0), said(" Paris", 0.1, 0.8), [
          false,
          true,
        ]),
        row("neighbour", "Pike Place is in downtown", said(" Seattle", 0.97, 0), said(" Paris", 0.3, 0.5), [
          true,
          false,
        ]),
        row("neighbour", "The Kerry Park is in", said(" Seattle", 0.97, 0), said(" Seattle", 0.9, 0.05), [true, true]),
        row("own", "Everyone loves", said(" you", 0.2, 0.01), said(" you", 0.2, 0.01), [true, true]),
      ],
      texts: [{ prompt: "The Space Needle is in downtown", before: " Seattle.", after: " Paris, of course." }],
    },
    roles: [
      { name: "rewrite", title: "the prompt" },
      { name: "paraphrase", title: "paraphrases" },
      { name: "neighbour", title: "neighbours" },
      { name: "other", title: "other facts of the subject" },
      { name: "own", title: "your prompts" },
    ],
    own: ["Everyone loves"],
    status: "idle",
    error: null,
    ...rest,
  };
}

const words = (given) => given.map(([text, probability], id) => ({ text, id, probability }));

export function fakeDetails(rest = {}) {
  return {
    kind: "attn",
    token: 6,
    piece: "town",
    layer: 5,
    answer: " Seattle",
    answer_id: 0,
    score: 0.8,
    effect: 0.76,
    interval: [0.61, 0.91],
    lens: {
      clean: words([
        [" Seattle", 0.94],
        [" New", 0.02],
        [" San", 0.007],
        [" Chicago", 0.004],
        [" Rome", 0.0004],
      ]),
      corrupted: words([
        [" Seattle", 0.35],
        [" New", 0.13],
        [" San", 0.08],
        [" London", 0.07],
        [" Copenhagen", 0.05],
      ]),
      restored: words([
        [" Seattle", 0.92],
        [" New", 0.03],
        [" San", 0.007],
        [" Paris", 0.007],
        [" Washington", 0.006],
      ]),
    },
    rank: { clean: 1, corrupted: 1, restored: 1 },
    probability: { clean: 0.94, corrupted: 0.35, restored: 0.92 },
    cosine: { clean: 0.466, corrupted: 0.366, restored: 0.469 },
    total: { clean: 2.572, corrupted: 0.757 },
    heads: [0.219, 1.175, 0.019, -0.282, 0.119, 0.796].map((clean, head) => ({ head, clean, corrupted: clean / 3 })),
    neurons: null,
    ...rest,
  };
}

export function fakeReader(details = fakeDetails(), { metric = "probability", ...rest } = {}) {
  const { kind, token, layer, piece } = details ?? fakeDetails();
  return {
    traced: true,
    cell: { kind, site: fakeSites([kind])[kind], token, layer, piece, last: token === 6 },
    reading: false,
    outdated: false,
    status: "idle",
    answer: " Seattle",
    metric: METRICS[metric],
    contrast: null,
    details,
    error: null,
    ...rest,
  };
}

export const NEURONS = [
  { neuron: 160, clean: 3.601, corrupted: 0.697, contribution: -0.244 },
  { neuron: 75, clean: 2.624, corrupted: 0.644, contribution: 0.174 },
  { neuron: 423, clean: 1.241, corrupted: -0.232, contribution: -0.064 },
  { neuron: 1621, clean: 1.752, corrupted: 0.585, contribution: 0.059 },
  { neuron: 150, clean: 1.474, corrupted: 0.656, contribution: 0.0044 },
];

/** Renders a widget as anywidget does, and returns a function that ends it. */
export async function mount(name, model, el) {
  const { default: widget } = await import(`/factlens/static/${name}.js`);
  const definition = typeof widget === "function" ? await widget() : widget;
  const ends = [await definition.initialize?.({ model }), await definition.render({ model, el })];
  return () => {
    for (const end of ends.reverse()) end?.();
  };
}
