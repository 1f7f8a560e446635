"""``factlens trace``: where a model keeps a fact."""

from __future__ import annotations

import argparse

import factlens as fl
from factlens.cli.options import add_fact, model_and_fact, wording
from factlens.cli.terminal import say, show_trace
from factlens.tracing.metrics import METRICS
from factlens.tracing.sites import KINDS, SITES

HELP = "trace a fact"


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_fact(command, "trace")
    command.add_argument("--kinds", nargs="+", default=KINDS, help=f"{', '.join(SITES)}, head.3, ...")
    command.add_argument(
        "--samples", type=count_or_auto, default=10, help="corrupted runs (10), or auto: as many as are needed"
    )
    command.add_argument("--window", type=int, help="layers restored together for mlp and attn (the model's default)")
    command.add_argument("--replace-by", metavar="SUBJECT", help="put another subject in the place instead of noise")
    command.add_argument("--metric", default="probability", choices=METRICS, help="what is measured (probability)")
    command.add_argument("--answer", help="the answer to measure (the model's own)")
    command.add_argument("--contrast", help="the answer to compare with, for --metric logit_difference")


def count_or_auto(text: str) -> int | str:
    """Return a number as one, and any other word as it is: the library knows those that it takes."""
    return int(text) if text.strip().lstrip("+-").isdigit() else text


def run(options: argparse.Namespace) -> int:
    """Trace a fact, show the grids, and save them if that is asked for."""
    with model_and_fact(options) as (model, fact):
        trace = fl.trace(
            model,
            fact,
            kinds=options.kinds,
            samples=options.samples,
            window=options.window,
            metric=options.metric,
            answer=wording(options, options.answer),
            contrast=wording(options, options.contrast),
            corruption=fl.Noise() if options.replace_by is None else fl.Replacement(options.replace_by),
        )
        show_trace(trace)
        if options.out:
            say(f"\nWrote {trace.save(options.out)}.")
    return 0
