"""``factlens evaluate`` and ``factlens reproduce``: judging edits, and whole experiments, from the command line."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

from factlens.arguments import optional, whole
from factlens.errors import FactlensError

MOST_TEXTS = 200
"""Of a file of prompts or texts, the first so many are asked after every edit."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the two commands to the parser of ``factlens``."""
    evaluate = commands.add_parser("evaluate", help="judge a method's edits on a data set, or a saved edit")
    evaluate.add_argument(
        "facts", help="atlas-facts; a CounterFact, zsRE, JSONL, CSV or TSV file; hf:name; or an edit (.safetensors)"
    )
    evaluate.add_argument("--method", help="the method, or several with commas between them (that of factlens.edit)")
    evaluate.add_argument("--layers", help="which layers: 3 or 3,4,5 (the method's own)")
    evaluate.add_argument("--way", default="single", choices=("single", "sequential", "at once"), help="(single)")
    evaluate.add_argument("--no-text", action="store_true", help="generate no text: no fluency, no consistency")
    source = "a .txt or .jsonl file, a folder of such, or hf:name (for atlas, its own; for others, none)"
    evaluate.add_argument("--unrelated", help=f"prompts that edits have nothing to do with, for the KL: {source}")
    evaluate.add_argument("--texts", help=f"held-out text, for the perplexity: {source}")
    evaluate.add_argument("--out", type=Path, help="save the report to this file (.json or .json.gz)")

    reproduce = commands.add_parser(
        "reproduce", help="run a published experiment: fig2, table4, layer-sweep, sequential"
    )
    reproduce.add_argument("experiment", help="fig2, table4, layer-sweep or sequential")
    reproduce.add_argument("--facts", default="atlas-facts", help="the data set, as for evaluate (atlas-facts)")
    reproduce.add_argument("--out", type=Path, help="the folder for tables and figures (reproduce-EXPERIMENT)")
    reproduce.add_argument("--methods", help="which methods, with commas between them (the experiment's own)")
    reproduce.add_argument("--samples", type=int, help="corrupted runs per fact, where facts are traced (10)")
    reproduce.add_argument("--method", help="the method of layer-sweep (that of factlens.edit)")
    reproduce.add_argument("--layers", help="which layers, for layer-sweep: 3,4,5 (all)")
    reproduce.add_argument("--kind", help="whose tracing effect, for layer-sweep: state, mlp, attn (state)")
    reproduce.add_argument("--generate", action="store_true", default=None, help="measure text too, for sequential")
    reproduce.add_argument("--batch", type=int, help="facts per edit, for sequential (1)")
    reproduce.add_argument("--every", type=int, help="facts between two judgements, for sequential (10)")
    for command in (evaluate, reproduce):
        command.add_argument("--model", default="atlas", help="atlas, a Hub id, or a local folder (atlas)")
        command.add_argument(
            "--encoding", default="utf-8", help="what text files are in: cp1252, shift_jis, ... (utf-8)"
        )
        command.add_argument("--limit", type=int, help="the first so many records only")
        command.add_argument("--seed", type=int, default=0, help="seed of edits and generated text (0)")
        command.add_argument("--device", help="where to run (the best there is)")
        command.add_argument("--dtype", help="number format: float32, bfloat16, float16")


def numbers(text: str) -> list[int]:
    """Return layers as they are written on the command line: ``3,4,5``."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise FactlensError(f"--layers takes numbers with commas between them, such as 3,4: not {text!r}.") from error


def run(options: argparse.Namespace) -> int:
    """Run one of the two commands; return its exit status."""
    from factlens.models import load

    if options.command == "evaluate":
        return _evaluate(options)
    from factlens.reproduce import reproduce

    named = ("samples", "batch", "every", "method", "kind", "generate")
    chosen = {name: value for name in named if (value := getattr(options, name)) is not None}
    if options.layers:
        chosen["layers"] = numbers(options.layers)
    out = options.out or f"reproduce-{options.experiment}"
    model = load(options.model, device=options.device, dtype=options.dtype)
    methods = options.methods.split(",") if options.methods else None
    try:
        folder = reproduce(
            options.experiment,
            model,
            options.facts,
            out,
            encoding=options.encoding,
            limit=options.limit,
            methods=methods,
            seed=options.seed,
            **chosen,
        )
    except KeyboardInterrupt:
        print(f"Stopped. The same command goes on from what is in {out}.")
        return 130
    print("wrote " + ", ".join(path.name for path in folder.written) + f" to {folder.path}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from factlens.editing import Edit
    from factlens.evaluation import Report, evaluate
    from factlens.evaluation.datasets import load_records
    from factlens.models import load
    from factlens.moments import open_corpus
    from factlens.timing import TimeLeft

    # Edits and judgements take different times, so that each has its own clock; edits that are judged one by one are
    # never seen waiting.
    clocks = {"edited": TimeLeft(), "judged": TimeLeft()}
    shown = dict.fromkeys(clocks, -1)

    def progress(report: Report, wanted: int) -> None:
        judged = len(report.outcomes)
        for what, done in (("edited", judged + report.waiting if report.waiting else 0), ("judged", judged)):
            if done and (tenth := 10 * done // wanted) > shown[what]:
                shown[what] = tenth
                print(f"{what} {done} of {wanted}, {clocks[what](done / wanted)}", flush=True)

    asked: dict[str, Any] = {"generate": not options.no_text, "seed": options.seed, "progress": progress}
    for name in ("unrelated", "texts"):
        if (source := getattr(options, name)) is not None:
            asked[name] = list(islice(open_corpus(source, encoding=options.encoding), MOST_TEXTS))
    if options.facts.endswith(".safetensors"):
        edit = Edit.load(options.facts)
        report = evaluate(load(options.model, device=options.device, dtype=options.dtype), edit, **asked)
    else:
        # What is wrong with the data set is said before a large model is loaded.
        records = load_records(options.facts, encoding=options.encoding)[
            : optional(whole, "limit", options.limit, least=1)
        ]
        model = load(options.model, device=options.device, dtype=options.dtype)
        if options.layers:
            asked["layers"] = numbers(options.layers)
        if options.method:
            asked["method"] = options.method.split(",")
        report = evaluate(model, records, way=options.way, **asked)
    print(report)
    if options.out:
        print(f"saved to {report.save(options.out)}")
    return 0
