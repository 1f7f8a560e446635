"""The command line: ``factlens demo``, ``trace``, ``edit``, ``lab``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from factlens import __version__
from factlens.errors import FactlensError
from factlens.tracing.protocol import KINDS, METRICS


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
        command = commands.add_parser(name, help=text)
        command.add_argument("prompt", help="the prompt, with {} in the subject's place: '{} is in downtown'")
        command.add_argument("--subject", required=True, help="what the prompt is about: 'The Space Needle'")
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
