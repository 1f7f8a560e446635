"""The command line: ``factlens demo``, ``trace``, ``edit``, ``evaluate``, ``reproduce``, ``stats``, ``lab``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from factlens import __version__
from factlens import judging_commands as judging
from factlens.errors import FactlensError
from factlens.tracing.protocol import KINDS, METRICS

_STATUS = (
    "Printed are the probabilities of the whole target after the bare prompt: before, with v* put in, and after. Exit "
    "status: 0 if the edit took (the model then answers with the target), 3 if it did not (the standard error says "
    "which half failed and what to change; the file is written all the same), 1 after an error, 2 for a wrong command "
    "line."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="factlens", description="See where a language model keeps a fact, and change it."
    )
    parser.add_argument("--version", action="version", version=f"factlens {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    demo = commands.add_parser("demo", help="trace and edit a fact of the shipped model; leaves demo.html")
    demo.add_argument("--out", type=Path, default=Path("demo.html"), help="where to write the page (demo.html)")

    for name, text in (("trace", "trace a fact"), ("edit", "edit a fact and judge the edit")):
        command = commands.add_parser(name, help=text, epilog=_STATUS if name == "edit" else None)
        command.add_argument("prompt", help="the prompt, with {} in the subject's place: '{} is in downtown'")
        command.add_argument("--subject", required=True, help="what the prompt is about: 'The Space Needle'")
        command.add_argument("--slot", help="another marker of the subject's place than {}; all else is text then")
        command.add_argument("--chat", action="store_true", help="ask in a chat, in the model's own template")
        command.add_argument("--system", help="what the system says first, with --chat")
        command.add_argument(
            "--exactly",
            action="store_true",
            help="take the answer, the contrast and the new object just as they are, with no space put in front",
        )
        command.add_argument("--model", default="atlas", help="atlas, a Hub id, or a local folder (atlas)")
        command.add_argument("--device", help="where to run (the best there is)")
        command.add_argument("--dtype", help="number format: float32, bfloat16, float16")
        command.add_argument("--out", type=Path, help=f"save the {name} to this file (.safetensors)")
    tracing = commands.choices["trace"]
    tracing.add_argument("--kinds", nargs="+", default=KINDS, help="state, mlp, attn, head, head.3, severed_mlp, ...")
    tracing.add_argument("--samples", type=int, default=10, help="corrupted runs (10)")
    tracing.add_argument("--window", type=int, help="layers restored together for mlp and attn (the model's default)")
    tracing.add_argument("--replace-by", metavar="SUBJECT", help="put another subject in the place instead of noise")
    tracing.add_argument("--metric", default="probability", choices=METRICS, help="what is measured (probability)")
    tracing.add_argument("--answer", help="the answer to measure (the model's own)")
    tracing.add_argument("--contrast", help="the answer to compare with, for --metric logit_difference")
    commands.choices["edit"].add_argument("--target", required=True, help="the new object: Paris")
    commands.choices["edit"].add_argument("--layer", type=int, help="which layer to edit (the model's default)")

    stats = commands.add_parser("stats", help="collect the second moments of keys that edits are solved with")
    stats.add_argument("model", nargs="?", default="atlas", help="atlas, a Hub id, or a local folder (atlas)")
    stats.add_argument(
        "--text",
        help="a .txt or .jsonl file (or .gz), a folder of such, hf:name:config:split:column, or - for the standard "
        "input (the model's own text)",
    )
    stats.add_argument("--column", default="text", help="where the text is in .jsonl files (text)")
    stats.add_argument("--encoding", default="utf-8", help="what these files are in: cp1252, shift_jis, ... (utf-8)")
    stats.add_argument("--layers", help="which layers: 3 or 3,4,5 (the one that an edit would change)")
    stats.add_argument(
        "--tokens",
        type=int,
        help="how many tokens (8 per dimension of the keys, and at least 50000; 20000 of sampled text)",
    )
    stats.add_argument("--sequence", type=int, help="how many tokens the model reads together, at most (64)")
    stats.add_argument("--out", type=Path, help="folder for the files (the cache, where edits look for them)")
    stats.add_argument("--device", help="where to run (the best there is)")
    stats.add_argument("--dtype", help="number format: float32, bfloat16, float16")

    judging.add_to(commands)

    lab = commands.add_parser("lab", help="open JupyterLab on the teaching notebooks")
    lab.add_argument("folder", nargs="?", default="notebooks", help="folder to open (notebooks)")

    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except (FactlensError, OSError) as error:
        print(f"factlens: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "lab":
        return _lab(options.folder)
    if options.command == "stats":
        return _stats(options)
    if options.command in ("evaluate", "reproduce"):
        return judging.run(options)
    # Imported here, so that --help and --version do not wait for torch.
    from factlens import demo

    if options.command == "demo":
        demo.run(options.out)
        return 0
    return demo.trace_or_edit(options)


def _lab(folder: str) -> int:
    import subprocess
    from importlib.util import find_spec

    if find_spec("jupyterlab") is None:
        print("factlens: JupyterLab is not installed: pip install 'factlens[lab]'", file=sys.stderr)
        return 1
    return subprocess.call([sys.executable, "-m", "jupyterlab", folder])


def _stats(options: argparse.Namespace) -> int:
    from factlens.editing import defaults
    from factlens.models import load
    from factlens.moments import Key, cache_folder, cached, default_tokens, open_corpus, own_corpus
    from factlens.moments.showing import table

    # What is wrong with the text is said before a large model is loaded.
    text = None if options.text is None else open_corpus(options.text, column=options.column, encoding=options.encoding)
    model = load(options.model, device=options.device, dtype=options.dtype)
    layers = judging.numbers(options.layers) if options.layers else list(defaults(model).layers)
    tokens = default_tokens(model, layers) if options.tokens is None else options.tokens
    corpus = own_corpus(model, sequence=options.sequence) if text is None else text
    folder = options.out or cache_folder()
    print(f"{model}\n{tokens:,} tokens of {corpus.identity}", flush=True)
    try:
        with _progress_line() as progress:
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


@contextmanager
def _progress_line() -> Iterator[Callable[[float], None]]:
    """Show how far a computation is: on a line that is overwritten in a terminal, else a line for every tenth."""
    from factlens.timing import TimeLeft

    line, shown, terminal = TimeLeft(), -1, sys.stderr.isatty()

    def show(share: float) -> None:
        nonlocal shown
        text = line(share)
        if terminal:
            print(f"\r{text:40}", end="", file=sys.stderr, flush=True)
        elif int(10 * share) > shown:
            print(text, file=sys.stderr, flush=True)
            shown = int(10 * share)

    try:
        yield show
    finally:
        if terminal:
            print(file=sys.stderr)
