// What can be restored, as Python describes it (docs/wire.md): nothing here, or anywhere else, knows a site by its name.
import { number, record, text } from "./model";

export interface Site {
  /** What it is called in a sentence. */
  label: string;
  /** The sites that share its colours. */
  family: string;
  /** Are several neighbouring layers restored together? */
  windowed: boolean;
  /** Is it what an edit changes? */
  edited: boolean;
  /** The only attention head that is restored. */
  head: number | null;
}

/** A site that Python says nothing about is called by its kind, and has the colours of no family. */
export function decodeSite(value: unknown, kind: string): Site {
  const { label, family, windowed, edited, head } = record(value);
  return {
    label: text(label) || kind,
    family: text(family),
    windowed: windowed === true,
    edited: edited === true,
    head: number(head),
  };
}

/** What stands above its panel. */
export function siteTitle({ label }: Site): string {
  return `${label.charAt(0).toUpperCase()}${label.slice(1)}`;
}
