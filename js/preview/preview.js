// Every designed state of the widgets on one page. Serve the repository's root and open /js/preview/ (js/README.md).
// ?theme=dark and ?only=<number> are for screenshots.
import { fakeDetails, fakeEdit, fakeFrame, fakeLocate, fakeReader, MockModel, mount, NEURONS, TOKENS } from "./mock.js";

const main = document.querySelector("main");
const query = new URLSearchParams(location.search);
if (query.get("theme") === "dark") document.body.dataset.jpThemeLight = "false";
document.querySelector("#toggle").addEventListener("click", () => {
  const { dataset } = document.body;
  dataset.jpThemeLight = dataset.jpThemeLight === "true" ? "false" : "true";
});

const suggested = { kind: "mlp", token: 2, layer: 2 };
const long =
  "The current head of state of the country in which the Space Needle of the city of Seattle stands is called"
    .split(" ")
    .map((word, i) => ({ text: i === 0 ? word : ` ${word}`, id: 200 + i, subject: i >= 10 && i <= 16 }));

const scenes = [
  {
    name: "A traced fact, with a cell selected and one suggested",
    locate: fakeLocate(),
    heatmap: {
      frame: fakeFrame({ suggested }),
      selection: { kind: "mlp", token: 2, layer: 4 },
      busy: false,
    },
    edit: fakeEdit({ layer: 4, target: "Paris" }),
    details: fakeReader(
      fakeDetails({ kind: "mlp", token: 2, piece: " Needle", layer: 4, heads: null, neurons: NEURONS }),
    ),
  },
  {
    name: "While tracing: what is not computed yet is estimated, paler and striped",
    locate: fakeLocate({ status: "tracing", progress: 0.57, message: "token 4 of 7", edits: 2 }),
    heatmap: { frame: fakeFrame({ share: 0.57, guess: true }), selection: null, busy: true },
    edit: fakeEdit({
      status: "tracing",
      target: "Paris",
      edits: [
        { key: "a", label: "The Space Needle → Paris", method: "rome", layers: [2], origin: "here" },
        { key: "b", label: "The Eiffel Tower → Rome", method: "rome", layers: [3], origin: "lens" },
        { key: "c", label: "Mount Fuji → Chile", method: "rome", layers: [1], origin: "python" },
      ],
    }),
  },
  {
    name: "Nothing traced yet, and an error",
    locate: fakeLocate({
      pieces: [],
      answer: null,
      high: null,
      low: null,
      error: {
        title: "The subject is not in the prompt.",
        text: "The prompt is “The Space Needle is in downtown”. Write the subject exactly as it stands there.",
      },
    }),
    heatmap: { frame: {}, selection: null, busy: false },
    edit: fakeEdit({ subject: "", answer: null }),
    details: fakeReader(null, { traced: false, cell: null }),
  },
  {
    name: "A deep model and a long prompt; an attention cell selected",
    heatmap: {
      frame: fakeFrame({ layers: 48, tokens: long, window: 10, stopped: true, complete: false, share: 0.8 }),
      selection: { kind: "attn", token: 20, layer: 34 },
      busy: false,
    },
  },
  {
    name: "Without a preview what is not computed yet is hatched",
    heatmap: { frame: fakeFrame({ share: 0.57 }), selection: null, busy: true },
  },
  {
    name: "A logit difference; a severed path, which no gradient sees, and two heads; stopped",
    heatmap: {
      frame: fakeFrame({
        kinds: ["state", "severed_mlp", "head.3", "head.11"],
        metric: "logit_difference",
        contrast: " Paris",
        low: -1.5,
        high: 6.2,
        share: 0.4,
        guess: true,
        sure: true,
        stopped: true,
        complete: false,
      }),
      selection: { kind: "head.3", token: 2, layer: 4 },
      busy: false,
    },
    details: fakeReader(
      fakeDetails({
        kind: "head.3",
        layer: 4,
        score: null,
        effect: null,
        interval: null,
        heads: Array.from({ length: 25 }, (_, head) => ({ head, clean: Math.sin(head * 7), corrupted: 0.1 })),
      }),
      { metric: "logit_difference", contrast: " Paris" },
    ),
  },
  {
    name: "Awkward tokens, two layers",
    heatmap: {
      frame: fakeFrame({
        layers: 4,
        tokens: [
          ...["\n", "  ", "antidisestablishmentarianism", " <img src=x onerror=alert(1)>", "東京", " "].map(
            (text, i) => ({
              text,
              id: i,
              subject: i === 2 || i === 4,
            }),
          ),
          ...TOKENS.slice(3, 5),
        ],
      }),
      selection: null,
      busy: false,
    },
  },
];

const only = query.get("only");
for (const [index, scene] of scenes.entries()) {
  if (only !== null && Number(only) !== index) continue;
  const heading = document.createElement("h2");
  heading.textContent = scene.name;
  const box = document.createElement("div");
  box.className = "lens";
  main.append(heading, box);
  const lens = `preview-${index}`;
  if (scene.locate) await place("locate", { lens, state: scene.locate }, box);
  const heatmap = await place("heatmap", { lens, ...scene.heatmap }, box);
  if (scene.edit) await place("edit", { lens, state: scene.edit }, box);
  if (scene.details) await place("details", { lens, state: scene.details }, box);
  // A kernel that agrees with every choice, after a moment.
  document.addEventListener("factlens:gesture", ({ detail }) => {
    if (detail.lens !== lens || detail.name !== "select") return;
    const { kind, token, layer } = detail;
    setTimeout(() => heatmap.put("selection", { kind, token, layer }), 30);
  });
}
document.body.dataset.ready = "true";

async function place(name, traits, box) {
  const el = document.createElement("div");
  box.append(el);
  const model = new MockModel(traits);
  await mount(name, model, el);
  return model;
}
