// The drawer of settings: how the next trace is made, folded away until it is asked for. What there is to set comes
// from Python as data, and so does what a value means, and why one cannot be.
import { copy } from "../shared/clipboard";
import { element, onClick, redraw, say, setAvailable, setText, show } from "../shared/dom";
import { list, record, text } from "../shared/model";
import { statusLine } from "../shared/panel";
import { isolated } from "../shared/visible";
import { SettingField } from "./settings-field";

const STALE = "The trace that is shown was made with other settings. Trace uses those that are set here.";

export class SettingsDrawer {
  readonly root = element("div", { class: "fl-settings", hidden: true, testid: "settings" });
  readonly #changed = element("span", { class: "fl-settings-changed", testid: "settings-changed" });
  readonly #groups = element("div", { class: "fl-setting-groups" });
  readonly #reset = element("button", { class: "fl-small", testid: "settings-reset" }, "Reset to defaults");
  readonly #copy = element("button", { class: "fl-small", testid: "settings-code" }, "Copy code");
  readonly #done = statusLine("settings-done");
  readonly #stale = statusLine("settings-stale");
  readonly #fields = new Map<string, SettingField>();
  #code = "";

  constructor(
    private readonly gesture: (name: string, payload?: Record<string, unknown>) => void,
    private readonly signal: AbortSignal,
  ) {
    const fold = element(
      "details",
      { testid: "settings-fold" },
      element("summary", {}, "Settings", this.#changed),
      this.#groups,
      element("div", { class: "fl-buttons" }, this.#reset, this.#copy, this.#done),
    );
    this.root.append(fold, this.#stale);
    onClick(this.#reset, () => gesture("reset_settings"), signal);
    onClick(this.#copy, () => void this.#take(), signal);
  }

  update(state: Record<string, unknown>): void {
    const fields = list(state.fields).map(record);
    show(this.root, fields.length > 0);
    const changed = list(state.changed).map((words) => isolated(text(words)));
    setText(this.#changed, changed.length > 0 ? `: ${changed.join(" · ")}` : "");
    const wrong = fields.some(({ error }) => text(error) !== "");
    setAvailable(this.#reset, changed.length > 0 || wrong, "Everything is as it is by default.");
    this.#code = text(state.code);
    setAvailable(this.#copy, this.#code !== "", "Write down a fact first.");
    say(this.#stale, state.stale === true ? STALE : "");
    this.#place(fields);
    for (const field of fields) this.#fields.get(text(field.name))?.update(field);
  }

  /** Puts the fields under their headings. One that stays is left where it is, so that it keeps the focus. */
  #place(fields: Record<string, unknown>[]): void {
    const names = new Map<string, string[]>();
    for (const field of fields) {
      const [name, group] = [text(field.name), text(field.group)];
      names.set(group, [...(names.get(group) ?? []), name]);
      if (!this.#fields.has(name)) this.#fields.set(name, this.#made(name, text(field.form)));
    }
    redraw(this.#groups, [...names.keys()], () =>
      [...names.keys()].map((group) =>
        element(
          "fieldset",
          { class: "fl-setting-group", "data-group": group },
          element("legend", {}, group),
          element("div", { class: "fl-setting-fields" }),
        ),
      ),
    );
    for (const group of this.#groups.querySelectorAll<HTMLElement>("fieldset")) {
      const [box, present] = [group.lastElementChild as HTMLElement, names.get(group.dataset.group ?? "") ?? []];
      const roots = present.flatMap((name) => this.#fields.get(name)?.root ?? []);
      for (const old of [...box.children]) if (!roots.includes(old as HTMLElement)) old.remove();
      for (const [place, root] of roots.entries()) {
        if (box.children[place] !== root) box.insertBefore(root, box.children[place] ?? null);
      }
    }
  }

  #made(name: string, form: string): SettingField {
    return new SettingField(form, (value) => this.gesture("setting", { setting: name, value }), this.signal);
  }

  async #take(): Promise<void> {
    try {
      await copy(this.#code);
      setText(this.#done, "The code that makes a trace with these settings is on the clipboard.");
    } catch (error) {
      setText(this.#done, `That did not work. ${error instanceof Error ? error.message : ""}`);
    }
  }
}
