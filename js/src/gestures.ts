// The widget that carries gestures to Python, and nothing else.
//
// It shows nothing. It listens once per page (initialize), however many views the notebook has, and it alone sends:
// a comm on which Python streams would make a click wait for the user's cell (docs/wire.md says why).
import { focusPart, keepPlainKeys, onPressWithoutFocus } from "./shared/focus";
import { dispatchKernel, dispatchRestart, onGesture, onRestart } from "./shared/gestures-event";
import { type AnyModel, lensOf, listen, onMessage, type RenderProps, record, text } from "./shared/model";
import { offer } from "./shared/offer";

/** Python answers at once; a longer silence means that the kernel is busy with another cell. */
const PATIENCE_MS = 1000;

const DISCONNECTED = ".jupyter-widgets-disconnected";

function initialize({ model }: { model: AnyModel }): () => void {
  const end = new AbortController();
  const lens = lensOf(model);
  const outstanding = new Map<number, ReturnType<typeof setTimeout>>();
  let last = 0;
  let waiting = false;
  let restarted = false;

  onRestart(
    lens,
    (gone) => {
      restarted = gone;
      for (const timer of outstanding.values()) clearTimeout(timer);
      outstanding.clear();
      dispatchKernel(lens, gone ? "restarted" : "answered");
    },
    end.signal,
  );

  onGesture(
    lens,
    ({ lens: _lens, buffers, ...gesture }) => {
      if (restarted) {
        dispatchKernel(lens, "restarted");
        return;
      }
      const id = ++last;
      outstanding.set(
        id,
        setTimeout(() => {
          waiting = true;
          dispatchKernel(lens, "busy");
        }, PATIENCE_MS),
      );
      const message = { ...gesture, type: "gesture", id };
      if (buffers === undefined) model.send(message);
      else model.send(message, undefined, buffers as ArrayBuffer[]);
    },
    end.signal,
  );

  onMessage(
    model,
    (content, buffers) => {
      const { type, id, name } = record(content);
      const bytes = buffers?.[0] as DataView<ArrayBuffer> | undefined;
      if (type === "file" && bytes) {
        offer(text(name) || "edit.safetensors", new Blob([bytes], { type: "application/octet-stream" }));
      }
      if (type !== "ack" || typeof id !== "number" || !outstanding.has(id)) return;
      clearTimeout(outstanding.get(id));
      outstanding.delete(id);
      if (outstanding.size === 0) {
        waiting = false;
        dispatchKernel(lens, "answered");
      }
    },
    end.signal,
  );

  return () => {
    end.abort();
    for (const timer of outstanding.values()) clearTimeout(timer);
    if (waiting) dispatchKernel(lens, "answered");
  };
}

function render({ model, el }: RenderProps): () => void {
  const marker = document.createElement("span");
  marker.hidden = true;
  marker.dataset.testid = "factlens-gestures";
  el.append(marker);
  el.style.display = "none";
  // Python's pong binds this comm to the shell that stays free while a cell runs: it has to happen before the first
  // click, not with it.
  model.send({ type: "hello" });
  const end = new AbortController();
  watchForRestart(model, el, end.signal);
  requestAnimationFrame(() => hidePicture(el, lensOf(model), end.signal));
  keepTheKeyboard(el, end.signal);
  return () => {
    end.abort();
    marker.remove();
  };
}

/**
 * Says when the kernel was restarted. Jupyter's widget manager takes every comm for dead then, and each view of a widget
 * bears the mark of that; where there is another manager, a restart looks like a kernel that is busy.
 */
function watchForRestart(model: AnyModel, el: HTMLElement, signal: AbortSignal): void {
  const look = () =>
    // After the view itself has heard of it.
    queueMicrotask(() => !signal.aborted && dispatchRestart(lensOf(model), el.closest(DISCONNECTED) !== null));
  listen(model, "comm_live_update", look, signal);
}

/** After a press anywhere in the lens, also on parts that are not ours (charts), the notebook does not get the keys. */
function keepTheKeyboard(el: HTMLElement, signal: AbortSignal): void {
  const kept = new WeakSet<HTMLElement>();
  // Asked for at each press: here, the lens around is not on the page yet.
  const lens = () => el.closest<HTMLElement>(".factlens-lens");
  onPressWithoutFocus(
    lens,
    (part) => {
      if (!kept.has(part)) keepPlainKeys(part, signal);
      kept.add(part);
      focusPart(part);
    },
    signal,
  );
}

/**
 * Hides the saved picture of a lens that lives: an output beside it, which comes a little later and is replaced now
 * and then. Where it cannot be found (another front end than Jupyter's) it stays in sight, which does no harm.
 */
function hidePicture(el: HTMLElement, lens: string, signal: AbortSignal): void {
  const area = el.closest(".jp-OutputArea");
  if (!area || signal.aborted || !/^\w+$/.test(lens)) return;
  const hidden = new Set<HTMLElement>();
  const hide = () => {
    for (const picture of area.querySelectorAll(`.factlens-picture-${lens}`)) {
      const output = picture.closest<HTMLElement>(".jp-OutputArea-child");
      if (!output || output.style.display === "none") continue;
      output.style.display = "none";
      hidden.add(output);
    }
  };
  const observer = new MutationObserver(hide);
  observer.observe(area, { childList: true, subtree: true });
  hide();
  signal.addEventListener(
    "abort",
    () => {
      observer.disconnect();
      for (const output of hidden) output.style.removeProperty("display");
    },
    { once: true },
  );
}

export default { initialize, render };
