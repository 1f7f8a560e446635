"""``factlens stats``: the second moments of keys that edits are solved with, collected ahead of time."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from factlens.cli.options import MODEL, add_device, load_model, numbers
from factlens.cli.terminal import progress_line

HELP = "collect the second moments of keys that edits are solved with"


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    command.add_argument("model", nargs="?", default="atlas", help=MODEL)
    add_device(command)
    command.add_argument(
        "--text",
        help="a .txt or .jsonl file (or .gz), a folder of such, hf:name:config:split:column, or - for the standard "
        "input (the model's own text)",
    )
    command.add_argument("--column", default="text", help="where the text is in .jsonl files (text)")
    command.add_argument("--encoding", default="utf-8", help="what these files are in: cp1252, shift_jis, ... (utf-8)")
    command.add_argument("--layers", help="which layers: 3 or 3,4,5 (the one that an edit would change)")
    command.add_argument(
        "--tokens",
        type=int,
        help="how many tokens (8 per dimension of the keys, and at least 20000; of sampled text 2048 to 4096)",
    )
    command.add_argument("--sequence", type=int, help="how many tokens the model reads together, at most (64)")
    command.add_argument("--out", type=Path, help="folder for the files (the cache, where edits look for them)")


def run(options: argparse.Namespace) -> int:
    """Collect second moments into files, or go on collecting; 130 where that was interrupted."""
    from factlens.editing import defaults
    from factlens.moments import Key, cache_folder, cached, default_tokens, open_corpus, own_corpus
    from factlens.moments.showing import table

    # What is wrong with the text is said before a large model is loaded.
    text = None if options.text is None else open_corpus(options.text, column=options.column, encoding=options.encoding)
    model = load_model(options)
    layers = numbers(options.layers) if options.layers else list(defaults(model).layers)
    corpus = own_corpus(model, sequence=options.sequence) if text is None else text
    tokens = default_tokens(model, layers, corpus) if options.tokens is None else options.tokens
    folder = options.out or cache_folder()
    print(f"{model}\n{tokens:,} tokens of {corpus.identity}", flush=True)
    try:
        with progress_line() as progress:
            moments = cached(
                model, layers, corpus, tokens=tokens, sequence=options.sequence, folder=folder, progress=progress
            )
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    keys = {layer: Key.of(model, layer, corpus.identity, tokens, options.sequence) for layer in moments}
    files = {layer: keys[layer].file(folder) for layer in moments}
    print(table((moment, files[layer]) for layer, moment in moments.items()))
    if not all(path.exists() for path in files.values()):
        print(f"factlens: nothing could be written to {folder}", file=sys.stderr)
        return 1
    return 0
