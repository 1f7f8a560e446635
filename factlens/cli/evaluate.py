"""``factlens evaluate``: judge edits of a data set's facts, or a saved edit."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

from factlens.arguments import optional, whole
from factlens.cli.options import add_records, load_model, numbers

HELP = "judge a method's edits on a data set, or a saved edit"
MOST_TEXTS = 200
"""Of a file of prompts or texts, the first so many are asked after every edit."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    command.add_argument(
        "facts", help="atlas-facts; a CounterFact, zsRE, JSONL, CSV or TSV file; hf:name; or an edit (.safetensors)"
    )
    command.add_argument("--method", help="the method, or several with commas between them (that of factlens.edit)")
    command.add_argument("--layers", help="which layers: 3 or 3,4,5 (the method's own)")
    command.add_argument("--way", default="single", choices=("single", "sequential", "at once"), help="(single)")
    command.add_argument("--no-text", action="store_true", help="generate no text: no fluency, no consistency")
    source = "a .txt or .jsonl file, a folder of such, or hf:name (for atlas, its own; for others, none)"
    command.add_argument(
        "--written",
        action="store_true",
        help="judge also by what the model writes by itself, not only by probabilities",
    )
    command.add_argument("--unrelated", help=f"prompts that edits have nothing to do with, for the KL: {source}")
    command.add_argument("--texts", help=f"held-out text, for the perplexity: {source}")
    command.add_argument("--out", type=Path, help="save the report to this file (.json or .json.gz)")
    add_records(command)


def run(options: argparse.Namespace) -> int:
    """Edit and judge, print the report, and save it if that is asked for."""
    from factlens.editing import Edit
    from factlens.evaluation import Report, evaluate
    from factlens.evaluation.datasets import load_records
    from factlens.moments import open_corpus
    from factlens.timing import TimeLeft

    # Edits and judgements take different times, so that each has its own clock; edits that are judged one by one are
    # never seen waiting.
    clocks = {"edited": TimeLeft(), "judged": TimeLeft()}
    shown = dict.fromkeys(clocks, -1)

    def progress(report: Report, total: int) -> None:
        judged = len(report.outcomes)
        for what, done in (("edited", judged + report.waiting if report.waiting else 0), ("judged", judged)):
            if done and (tenth := 10 * done // total) > shown[what]:
                shown[what] = tenth
                print(f"{what} {done} of {total}, {clocks[what](done / total)}", flush=True)

    asked: dict[str, Any] = {
        "generate": not options.no_text,
        "written": options.written or None,
        "seed": options.seed,
        "progress": progress,
    }
    for name in ("unrelated", "texts"):
        if (source := getattr(options, name)) is not None:
            asked[name] = list(islice(open_corpus(source, encoding=options.encoding), MOST_TEXTS))
    if options.facts.endswith(".safetensors"):
        edit = Edit.load(options.facts)
        report = evaluate(load_model(options), edit, **asked)
    else:
        # What is wrong with the data set is said before a large model is loaded.
        records = load_records(options.facts, encoding=options.encoding)[
            : optional(whole, "limit", options.limit, least=1)
        ]
        model = load_model(options)
        if options.layers:
            asked["layers"] = numbers(options.layers)
        if options.method:
            asked["method"] = options.method.split(",")
        report = evaluate(model, records, way=options.way, **asked)
    print(report)
    if options.out:
        print(f"saved to {report.save(options.out)}")
    return 0
