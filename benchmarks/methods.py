"""Every method on published facts that a model knows: one by one, and many in one edit.

    python benchmarks/methods.py --model smollm2 --facts counterfact.json
    python benchmarks/methods.py --model smollm2 --facts counterfact.json relations.json --at-once 100 --methods memit
    python benchmarks/methods.py --pool --methods alphaedit --try nullspace=0.1,0.3 layer=3,4    # to choose by
    python benchmarks/methods.py --facts atlas-facts --model FOLDER --methods rome --at-once 1 --tokens 0 256 2048

Facts come from files that `factlens.load_records` reads, or from a file of relations (a list of objects with
"prompt_templates" and "samples", Hernandez et al. 2023): their first wording is the prompt, the others are paraphrases,
other known facts of the relation neighbours. Taken are those whose object the model says by itself, one for each
subject, and none about a subject of the pool by which `factlens.calibrate` and the look at a model choose layers and
settings: no choice has seen them. Several files take turns. A neighbour that the model gets wrong by itself says
nothing of an edit, and is not asked. `--pool` takes facts of that pool instead, to choose by.

Methods have the settings that `factlens.edit` gives them, or those of `--try`; second moments are of as many tokens of
the model's own text as it takes, or of as many as `--tokens` says, 0 being the identity matrix. S is the harmonic mean
of efficacy (ES), paraphrases (PS) and neighbourhood (NS), in percent, with a 95 % interval over facts. Values that
methods share are optimised once, so that the seconds are those of what came first. Each row is written to the CSV file
as it is done, and not done again; what became of each fact is written beside it.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product, zip_longest
from pathlib import Path
from typing import Any

import factlens as fl
from factlens.calibration.known import known_records
from factlens.calibration.trials import Bench, Candidate, Trial
from factlens.editing import METHODS
from factlens.editing.api import looked_up_defaults
from factlens.evaluation.checks import Probe
from factlens.evaluation.records import Record
from factlens.evaluation.scoring import read
from factlens.knowledge.pool import pool
from factlens.moments import SecondMoment, default_moments

COLUMNS = (
    "tokens",
    "facts",
    "at once",
    "method",
    "layers",
    "changed",
    "S",
    "low",
    "high",
    "ES",
    "PS",
    "NS",
    "seconds",
    "note",
)


def relations(path: Path) -> list[dict[str, Any]] | None:
    """Return the relations of a file, without those of words and of prejudice; None if it is no such file."""
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, list) or not content or "prompt_templates" not in content[0]:
        return None
    return [one for one in content if one["properties"]["relation_type"] == "factual"]


def known(model: fl.Model, source: str) -> list[Record]:
    """Return the records of a data set that the model knows."""
    tables = relations(Path(source)) if Path(source).exists() else None
    if tables is None:
        return known_records(model, fl.load_records(source), n=10_000)
    words: dict[str, list[str]] = {}
    facts = []
    for relation in tables:
        templates: list[str] = [*relation["prompt_templates"], *relation["prompt_templates_zs"]]
        first = templates[0]
        words.setdefault(first, templates[1:])
        facts += [fl.Fact(first, one["subject"], object=one["object"]) for one in relation["samples"]]
    found = []
    for record in known_records(model, facts, n=10_000):
        fact = record.fact
        old, new = fact.object or "", fact.target or ""
        said = [fact.with_template(other) for other in words[fact.template]]
        more = tuple(Probe("paraphrase", one.prompt, old, new) for one in said)
        found.append(replace(record, checks=replace(record.checks, probes=(*record.checks.probes, *more))))
    return found


def unseen(records: Sequence[Record]) -> list[Record]:
    """Return records with one about each subject, and none about a subject of the pool."""
    taken = {subject.casefold() for relation in pool() for subject in relation.objects}
    kept = []
    for record in records:
        subject = record.fact.subject.casefold()
        if subject not in taken:
            taken.add(subject)
            kept.append(record)
    return kept


def right_before(model: fl.Model, records: Sequence[Record]) -> list[Record]:
    """Return records with those neighbours that the model gets right as it is."""
    near = [probe for record in records for probe in record.checks.probes if probe.role == "neighbour"]
    readings = read(model, [probe.prompt for probe in near], [(probe.old, probe.new) for probe in near])
    wrong = {probe for probe, (old, new) in zip(near, (r.probabilities for r in readings), strict=True) if old <= new}
    return [
        replace(record, checks=replace(record.checks, probes=tuple(p for p in record.checks.probes if p not in wrong)))
        for record in records
    ]


def counterfact(number: int, record: Record) -> dict[str, Any]:
    """Return a record as CounterFact has it, for `factlens reproduce`."""
    fact = record.fact
    return {
        "case_id": number,
        "requested_rewrite": {
            "prompt": fact.template,
            "subject": fact.subject,
            "target_new": {"str": fact.target},
            "target_true": {"str": fact.object},
        },
        "paraphrase_prompts": [probe.prompt for probe in record.checks.probes if probe.role == "paraphrase"],
        # A neighbour there has the fact's own old object.
        "neighborhood_prompts": [
            probe.prompt for probe in record.checks.probes if probe.role == "neighbour" and probe.old == fact.object
        ],
    }


def candidates(model: fl.Model, method: str, tries: Sequence[str]) -> Iterator[tuple[str, Candidate]]:
    """Yield what to run of a method: what `factlens.edit` takes, or each combination of what is to be tried."""
    default = looked_up_defaults(model, method, fl.Fact("{} is in", "Rome", target="Spain"), None)
    names = [text.partition("=")[0] for text in tries]
    values = [[ast.literal_eval(one) for one in text.partition("=")[2].split(",")] for text in tries]
    for some in product(*values):
        changes = dict(zip(names, some, strict=True))
        shown = " ".join(f"{name}={value}" for name, value in changes.items())
        layer = changes.pop("layer", None)
        width = changes.pop("width", None)
        layers = default.layers
        if layer is not None or width is not None:
            last, count = layers[-1] if layer is None else layer, len(layers) if width is None else width
            layers = tuple(range(max(0, last - count + 1), last + 1))
        yield shown, Candidate(method, layers, default.hparams.with_changes(**changes))


def moments(model: fl.Model, layers: Sequence[int], tokens: int | None) -> dict[int, SecondMoment]:
    """Return second moments of so many tokens."""
    if tokens == 0:
        return {layer: SecondMoment.identity_matrix(model, layer) for layer in layers}
    return default_moments(model, layers, tokens=tokens) if layers else {}


def judged(bench: Bench, candidate: Candidate, records: Sequence[Record], at_once: int) -> Trial:
    """Judge records in edits of so many; the methods of one fact edit them one by one in any case."""
    if at_once >= len(records) or METHODS[candidate.method].most_facts == 1:
        return bench.judge(candidate, records)
    parts = [bench.judge(candidate, records[i : i + at_once]) for i in range(0, len(records), at_once)]
    return replace(
        parts[0],
        results=tuple(result for part in parts for result in part.results),
        seconds=sum(part.seconds for part in parts),
        note="; ".join(part.note for part in parts if part.note),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--facts", nargs="+", help="files of facts, or atlas-facts")
    parser.add_argument("--pool", action="store_true", help="facts of the pool of general knowledge, in their place")
    parser.add_argument("--n", type=int, default=40, help="facts in all (40)")
    parser.add_argument("--skip", type=int, default=0, help="facts to leave out before these (0)")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 20], help="facts per edit (1 20)")
    parser.add_argument("--tokens", type=int, nargs="+", default=[None], help="of which second moments are made")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--try", dest="tries", nargs="+", metavar="SETTING=A,B", default=[], help="also layer=, width=")
    parser.add_argument("--write", type=Path, help="write all known facts in CounterFact's layout, and edit nothing")
    parser.add_argument("--csv", type=Path, default=Path("methods.csv"))
    options = parser.parse_args()
    if bool(options.facts) == options.pool:
        parser.error("give --facts or --pool")

    model = fl.load(options.model)
    if options.pool:
        records = known_records(model, n=options.n)
    else:
        turns = zip_longest(*(known(model, path) for path in options.facts))
        records = unseen([record for turn in turns for record in turn if record is not None])
    print(f"{model.name} knows {len(records)} of these facts; {min(options.n, len(records))} are taken.")
    if options.write:
        options.write.write_text(json.dumps([counterfact(*one) for one in enumerate(records)], indent=1), "utf-8")
        return
    records = right_before(model, records[options.skip : options.skip + options.n])
    each = options.csv.with_name(f"{options.csv.stem}-facts.csv")
    done = set()
    if options.csv.exists():
        with options.csv.open(encoding="utf-8", newline="") as file:
            done = {tuple(row[name] for name in COLUMNS[:6]) for row in csv.DictReader(file)}
    else:
        options.csv.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    chosen = [(name, *one) for name in options.methods for one in candidates(model, name, options.tries)]
    layers = sorted({layer for name, _, one in chosen if METHODS[name].needs_moments for layer in one.layers})
    bench = Bench(model, {})
    for tokens, at_once in product(options.tokens, options.at_once):
        began = time.perf_counter()
        bench = bench.with_moments(moments(model, layers, tokens))
        print(f"Second moments, in {time.perf_counter() - began:.0f} s:")
        for layer, moment in bench.moments.items():
            print(f"  layer {layer}: {moment.described}")
        for name, changed, candidate in chosen:
            if METHODS[name].most_facts == 1 and at_once != min(options.at_once):
                continue
            row = (
                "default" if tokens is None else str(tokens),
                str(len(records)),
                str(at_once),
                name,
                " ".join(map(str, candidate.layers)),
                changed,
            )
            if row in done:
                continue
            with model.unedited():
                trial = judged(bench, candidate, records, at_once)
            numbers = [100 * one for one in (trial.score.mean, trial.score.low, trial.score.high, *trial.shares)]
            with options.csv.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerow(
                    [*row, *(f"{one:.1f}" for one in numbers), f"{trial.seconds:.0f}", trial.note]
                )
            score, low, high, *shares = (f"{one:.1f}" for one in numbers)
            with each.open("a", encoding="utf-8", newline="") as file:
                for record, result in zip(records, trial.results, strict=True):
                    csv.writer(file).writerow([*row, record.fact.prompt, record.fact.target, *result[1:]])
            print(*row, f"S {score} [{low}, {high}]", *shares, f"{trial.seconds:.0f} s", trial.note, flush=True)


if __name__ == "__main__":
    main()
