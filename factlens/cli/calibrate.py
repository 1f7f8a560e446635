"""``factlens calibrate``: measure which layers and settings edit a model best; edits of it take them from then on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from factlens.cli.options import MODEL, add_device, load_model, numbers
from factlens.cli.terminal import say
from factlens.timing import TimeLeft, a_time

HELP = "measure which layers and settings edit a model best"


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    command.add_argument("model", nargs="?", default="atlas", help=MODEL)
    add_device(command)
    command.add_argument(
        "--facts",
        help="where to look for facts that the model knows: a file of CounterFact, zsRE, known_1000, or your own "
        "(general knowledge; for atlas, what it was taught)",
    )
    command.add_argument("--methods", help="which methods, with commas between them (those that optimise a value)")
    command.add_argument("--budget", default="10m", help="how long the trials may take: 90s, 5m, 1h (10m)")
    command.add_argument("--layers", help="which layers may be edited: 3 or 3,4,5 (those that a few traces suggest)")
    command.add_argument("--seed", type=int, default=0, help="seed of the choice of facts (0)")
    command.add_argument("--out", type=Path, help="save the calibration to this file as well (.json)")
    command.add_argument("--no-store", action="store_true", help="do not keep it for later edits")


def run(options: argparse.Namespace) -> int:
    """Calibrate, print what was chosen, and save it; 130 where that was interrupted."""
    from factlens.calibration import calibrate

    budget = a_time("--budget", options.budget)
    layers = numbers(options.layers) if options.layers else None
    asked = {} if options.methods is None else {"methods": options.methods.split(",")}
    model = load_model(options)
    say(str(model))
    clocks: dict[str, tuple[TimeLeft, int]] = {}

    def progress(stage: str, share: float) -> None:
        clock, shown = clocks.get(stage, (TimeLeft(), -1))
        line = clock(share)
        if int(10 * share) > shown:
            print(f"{stage}: {line}", file=sys.stderr, flush=True)
            shown = int(10 * share)
        clocks[stage] = clock, shown

    try:
        calibration = calibrate(
            model,
            options.facts,
            budget=budget,
            layers=layers,
            seed=options.seed,
            progress=progress,
            store=not options.no_store,
            **asked,
        )
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    say(calibration.table)
    for method, choice in calibration.choices.items():
        say(f"{method}: {choice.source}")
    if options.out:
        say(f"Wrote {calibration.save(options.out)}.")
    return 0
