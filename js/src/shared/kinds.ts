// The kinds of state that a trace restores: what they are called, and what they have in common.

const TITLES: Record<string, string> = {
  state: "Hidden state",
  mlp: "MLP",
  attn: "Attention",
  severed_mlp: "Hidden state, MLP severed",
  severed_attn: "Hidden state, attention severed",
};

const NAMES: Record<string, string> = {
  state: "hidden state",
  mlp: "MLP",
  attn: "attention",
  severed_mlp: "hidden state, MLP severed",
  severed_attn: "hidden state, attention severed",
};

/** The number in "head.3"; null for every other kind. */
export function headOf(kind: string): number | null {
  const found = /^head\.(\d+)$/.exec(kind);
  return found ? Number(found[1]) : null;
}

export function kindTitle(kind: string): string {
  const head = headOf(kind);
  return head === null ? (TITLES[kind] ?? kind) : `Attention head ${head}`;
}

export function kindName(kind: string): string {
  const head = headOf(kind);
  return head === null ? (NAMES[kind] ?? kind) : `attention head ${head}`;
}

/** Are several neighbouring layers restored together? Every other kind restores one layer at a time. */
export function isWindowed(kind: string): boolean {
  return kind === "mlp" || kind === "attn";
}

/** The kind of the paper whose colour this kind has: a severed path that of what is severed, a head attention's. */
export function family(kind: string): string {
  if (kind === "severed_mlp") return "mlp";
  return kind === "severed_attn" || headOf(kind) !== null ? "attn" : kind;
}
