// A heatmap used without a lens carries its own gestures, and passes on what Python has made of them.
//
// Python has the last word on every trait, here too. But marimo runs the cells that read `heatmap.value` again only when
// the page has written a trait, whether or not Python has set something. So when Python has answered, the page writes back what it was
// told since: for marimo that is the news, for Jupyter's models it is no change, and nothing is sent.
import { type AnyModel, onMessage, onTrait, record, text } from "../shared/model";
import { offer } from "../shared/offer";

/** What a gesture can change. */
const MARKS = ["selection", "pins", "layer_range", "token_range"];

let gestures = 0; // ids: a model may have several views, and each answers for its own gestures

export type SendGesture = (name: string, payload: Record<string, unknown>) => void;

/** `say` is told why Python has not done what was asked. */
export function ownGestures(model: AnyModel, say: (words: string) => void, signal: AbortSignal): SendGesture {
  const sent = new Set<number>();
  const news = new Set<string>();
  for (const trait of MARKS) onTrait(model, trait, () => news.add(trait), signal);
  onMessage(
    model,
    (content, buffers) => {
      const { type, id, name, text: why } = record(content);
      const bytes = buffers?.[0] as DataView<ArrayBuffer> | undefined;
      if (type === "file" && bytes) offer(text(name) || "figure", new Blob([bytes]));
      if (type === "failed") say(`The figure was not drawn. ${text(why)}`);
      if (type !== "ack" || typeof id !== "number" || !sent.delete(id) || news.size === 0) return;
      for (const trait of news) model.set(trait, model.get(trait));
      news.clear(); // marimo's model calls also those who hear of what it was given already
      model.save_changes();
    },
    signal,
  );
  return (name, payload) => {
    gestures += 1;
    sent.add(gestures);
    model.send({ type: "gesture", id: gestures, name, ...payload });
  };
}
