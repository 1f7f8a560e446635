"""``factlens reproduce``: whole experiments that were published."""

from __future__ import annotations

import argparse
from pathlib import Path

from factlens.bar import unshown
from factlens.cli.options import add_records, load_model, numbers
from factlens.errors import FactlensError

HELP = "run a published experiment: fig2, table4, layer-sweep, sequential"


ATLAS_FACTS = "atlas-facts"


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    command.add_argument("experiment", help="fig2, table4, layer-sweep or sequential")
    command.add_argument("--facts", default=ATLAS_FACTS, help="the data set, as for evaluate (atlas-facts)")
    command.add_argument("--out", type=Path, help="the folder for tables and figures (reproduce-EXPERIMENT)")
    command.add_argument(
        "--methods",
        help="which methods, with commas between them, with settings as METHOD:name=value (the experiment's own)",
    )
    command.add_argument("--samples", type=int, help="corrupted runs per fact, where facts are traced (10)")
    command.add_argument("--method", help="the method of layer-sweep (that of factlens.edit)")
    command.add_argument(
        "--layers",
        help="which layers: 3,4,5 (layer-sweep: all); by method, for the others: METHOD=3,METHOD=2+3+4 (its own)",
    )
    command.add_argument(
        "--known",
        action=argparse.BooleanOptionalAction,
        help="leave out facts that the model does not know (yes for fig2 and layer-sweep, no for the others)",
    )
    command.add_argument("--kind", help="whose tracing effect, for layer-sweep: state, mlp, attn (state)")
    command.add_argument("--generate", action="store_true", default=None, help="measure text too, for sequential")
    command.add_argument(
        "--text", type=Path, help="ordinary text to measure perplexity on, for sequential (atlas's own)"
    )
    command.add_argument("--batch", type=int, help="facts per edit, for sequential (1)")
    command.add_argument("--every", type=int, help="facts between two judgements, for sequential (10)")
    command.add_argument("--figure-width", type=float, metavar="MM", help="width of the figures, in mm, for a paper")
    command.add_argument("--palette", help="colours of the figures: kind, safe (for colour-blind eyes), grey (kind)")
    add_records(command)


def run(options: argparse.Namespace) -> int:
    """Run an experiment into a folder, or go on with it; 130 where it was interrupted."""
    from factlens.drawing.look import PAPER
    from factlens.reproduce import reproduce
    from factlens.reproduce.experiments import data_of

    named = ("samples", "batch", "every", "method", "kind", "generate", "text")
    chosen = {name: value for name in named if (value := getattr(options, name)) is not None}
    if options.layers:
        chosen["layers"] = _layers(options.layers)
    out = options.out or f"reproduce-{options.experiment}"
    if options.facts != ATLAS_FACTS:
        # What is wrong with the data set is said before a large model is loaded.
        data_of(options.experiment, options.facts, options.encoding)
    model = load_model(options)
    looks = {"width_mm": options.figure_width, "palette": options.palette}
    look = {name: value for name, value in looks.items() if value is not None}
    if options.figure_width is not None:
        look = {**PAPER, **look}
    methods = options.methods.split(",") if options.methods else None
    try:
        with unshown():  # the lines say how far it is
            folder = reproduce(
                options.experiment,
                model,
                options.facts,
                out,
                encoding=options.encoding,
                limit=options.limit,
                only_known=options.known,
                methods=methods,
                seed=options.seed,
                say=print,
                look=look,  # type: ignore[arg-type]
                **chosen,
            )
    except KeyboardInterrupt:
        print(f"Stopped. The same command goes on from what is in {out}.")
        return 130
    print("wrote " + ", ".join(path.name for path in folder.written) + f" to {folder.path}")
    return 0


def _layers(text: str) -> list[int] | dict[str, list[int]]:
    """Return layers as they are written on the command line: ``3,4,5``, or ``rome=3,memit=2+3+4``."""
    if "=" not in text:
        return numbers(text)
    by_method = {}
    for part in text.split(","):
        # A method's settings have equals signs of their own.
        method, equals, layers = part.rpartition("=")
        if not equals:
            raise FactlensError(
                f"--layers takes methods with their layers, METHOD=3 or METHOD=2+3+4 with commas between: not {part!r} "
                f"in {text!r}."
            )
        by_method[method.strip()] = numbers(layers.replace("+", ","))
    return by_method
