"""How good the edits of atlas are: every method, every layer; one at a time, one after the other, all at once.

    python benchmarks/edit_quality.py                                      # all of it: hours
    python benchmarks/edit_quality.py --methods rome --layers default --ways single --facts 200
    python benchmarks/edit_quality.py --set clamp=2 --set kl_factor=0.5    # other settings than the default ones
    python benchmarks/edit_quality.py --plot edit-quality.svg --facts 40      # draw what --csv has over 40 facts

Facts are drawn from atlas's own with a seed, one relation after the other; each is edited to another object of its
relation and judged with its ready-made checks: held-out paraphrases, neighbours with the same object, other facts of
the subject. *Beats* is the published comparison of two objects, *leads* the stricter "is the model's answer". The ways:

single      each fact is edited alone, judged, and undone
sequential  100 facts are edited one after the other on top of each other; all are judged at the end. After every ten
            the model's answers to held-out wordings of facts about other subjects are counted: its health
at once     all facts in one call, where the method can; judged at the end

Methods that look for the same v* of a fact on the unedited model (ROME and EMMET; MEMIT and AlphaEdit) share it here,
so "seconds", of processor time, are of the row that computed it. Rows are appended to a CSV file as they are found, and
those already there are not computed again: several processes may share the work, each with a file and methods of its
own.
"""

from __future__ import annotations

import argparse
import ast
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import pandas as pd

import factlens as fl
from factlens.drawing.figure import new_figure
from factlens.editing import METHODS, batches, defaults, spreading
from factlens.editing.hparams import ValueHparams
from factlens.editing.methods import Problem, emmet, rome
from factlens.editing.prompts import Context
from factlens.editing.tail import Place
from factlens.editing.values import Values
from factlens.evaluation.checks import ROLES as ALL_ROLES
from factlens.evaluation.scoring import read
from factlens.models.atlas.knowledge import load_knowledge
from factlens.moments import default_moments

# What atlas's ready-made checks ask.
ROLES = ALL_ROLES[:4]
WAYS = ("single", "at once", "sequential")
SEQUENTIAL = 100
EVERY = 10
FALL = 0.05


def draw_facts(model: fl.Model, count: int, seed: int) -> list[fl.Fact]:
    """Draw facts that the model knows, relations in turn, each with another object of its relation as target."""
    random, knowledge = Random(seed), load_knowledge()
    by_relation: dict[str, list] = {}
    for statement in knowledge.statements:
        by_relation.setdefault(statement.relation.name, []).append(statement)
    relations = [name for name, found in by_relation.items() if name != "kind" and len({s.object for s in found}) > 3]
    facts: list[fl.Fact] = []
    seen = set()
    while len(facts) < count:
        found = by_relation[relations[len(facts) % len(relations)]]
        statement = random.choice(found)
        template, subject = statement.parts(random.choice(statement.trained))
        target = random.choice([s.object for s in found if s.object != statement.object])
        fact = fl.Fact(template, subject=subject, target=target)
        if statement in seen or model.answers(fact.prompt, k=1)[0].text.strip() != statement.object:
            continue
        seen.add(statement)
        facts.append(fact)
    return facts


def held_out(facts: Sequence[fl.Fact], count: int, seed: int) -> list[tuple[str, str]]:
    """Draw prompts with their answers: held-out wordings of statements about subjects that `facts` are not about."""
    random, knowledge = Random(seed), load_knowledge()
    edited = {knowledge.subject(fact.subject) for fact in facts}
    others = [s for s in knowledge.statements if s.subject not in edited and s.held_out]
    return [(s.prompt(random.choice(s.held_out)), s.object) for s in random.sample(others, count)]


def accuracy(model: fl.Model, prompts: Sequence[tuple[str, str]]) -> float:
    """The share of prompts that the model answers as it should."""
    readings = read(model, [prompt for prompt, _ in prompts], [(answer,) for _, answer in prompts])
    return sum(reading.leads[0] for reading in readings) / len(prompts)


class SharedValues:
    """v* of every fact, computed once for the methods and ways that want the same."""

    def __init__(self) -> None:
        self.known: dict[tuple[Any, ...], Values] = {}

    def __call__(self, problem: Problem[Any], contexts: Sequence[Context], site: Place) -> Values:
        if problem.model.edits:
            return batches.values_of(problem, contexts, site)
        shared = tuple(getattr(problem.hparams, field.name) for field in fields(ValueHparams))
        keys = [(fact, problem.layers[-1], site, shared) for fact in problem.facts]
        for fact, key in zip(problem.facts, keys, strict=True):
            if key not in self.known:
                self.known[key] = batches.values_of(replace(problem, facts=[fact]), contexts, site)
        return Values.joined([self.known[key] for key in keys])


def judged(model: fl.Model, facts: list[fl.Fact], way: str, **options: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Edit in one of the ways; return the checks of every fact, and what else there is to tell."""
    spent, frames, made, health = 0.0, [], [], []
    prompts = held_out(facts, 500, seed=0)
    if way == "sequential":
        health.append(accuracy(model, prompts))
    if way == "at once":
        began = time.process_time()
        made = [fl.edit(model, facts, **options)]
        spent = time.process_time() - began
    else:
        for done, fact in enumerate(facts, 1):
            began = time.process_time()
            try:
                edit = fl.edit(model, fact, apply=way == "sequential", **options)
                if way == "single":
                    frames.append(fl.evaluate(model, edit).to_dataframe())
                else:
                    made.append(edit)
            except fl.FactlensError as error:
                # An earlier edit has brought the object in already, or has broken the model.
                print(f"  {fact.prompt!r}: {error}", file=sys.stderr)
            spent += time.process_time() - began
            if way == "sequential" and done % EVERY == 0:
                health.append(accuracy(model, prompts))
    if way != "single":
        frames = [after(model, fact) for fact in facts]
        for edit in reversed(made):
            model.undo(edit)
    table = pd.concat(frames, keys=range(len(frames)), names=["fact"]).reset_index()
    fell = [EVERY * i for i, share in enumerate(health) if share < health[0] - FALL]
    return table, {
        "health": " ".join(f"{share:.3f}" for share in health),
        "healthy until": (fell[0] if fell else f"over {len(facts)}") if health else "",
        "seconds": spent,
    }


def after(model: fl.Model, fact: fl.Fact) -> pd.DataFrame:
    """Judge one fact on the weights as they are."""
    from factlens.evaluation.checks import atlas_checks

    probes = atlas_checks(fact).probes
    rows = []
    readings = read(model, [p.prompt for p in probes], [(p.old, p.new) for p in probes])
    for probe, reading in zip(probes, readings, strict=True):
        wanted = (probe.old, probe.new).index(probe.wanted)
        rows.append(
            {
                "role": probe.role,
                "success_after": reading.probabilities[wanted] > reading.probabilities[1 - wanted],
                "leads_after": reading.leads[wanted],
            }
        )
    return pd.DataFrame(rows)


def shares(table: pd.DataFrame) -> dict[str, float]:
    """The mean over facts of the share of a fact's probes, so that subjects with many neighbours weigh no more."""
    found: dict[str, float] = {}
    for name, measure in (("beats", "success_after"), ("leads", "leads_after")):
        means = table.groupby(["fact", "role"])[measure].mean().groupby("role").mean()
        found |= {f"{role} {name}": float(means.get(role, float("nan"))) for role in ROLES}
    return found


def plot(csv: Path, path: Path, facts: int) -> None:
    """Draw shares against layers: a row per way, a panel per role, a line per method; of the rows over `facts`."""
    table = pd.read_csv(csv, dtype={"layers": str})
    table = table[table.facts == facts]
    table = table.assign(layer=table.layers.str.split(" ").str[-1].astype(int)).sort_values("layer")
    rows = {"single": "alone", "at once": "all at once"}
    figure = new_figure("Drawing shares", 11, 5.4)
    grid = figure.subplots(len(rows), len(ROLES), sharex=True, sharey=True)
    for panels, (way, title) in zip(grid, rows.items(), strict=True):
        for axes, role in zip(panels, ROLES, strict=True):
            for number, method in enumerate(METHODS):
                line = table[(table.way == way) & (table.method == method)]
                # EMMET with one fact is ROME: dashes let both be seen.
                style = {"ls": "--", "zorder": 3} if method == "emmet" else {}
                if len(line):
                    look = {"marker": "o", "ms": 3, "color": f"C{number}", "label": method, **style}
                    axes.plot(line.layer, line[f"{role} leads"], **look)
            axes.set(title=role if way == "single" else "", ylim=(-0.03, 1.03))
        panels[0].set_ylabel(f"{title}: wanted object leads")
    for axes in grid[-1]:
        axes.set_xlabel("(last) layer edited")
    grid[0][0].figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(METHODS))
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--layers", default="all", help="comma-separated, 'default', or 'all': each as the last layer")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--facts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the method")
    parser.add_argument("--csv", type=Path, default=Path("edit-quality.csv"))
    parser.add_argument("--plot", type=Path, help="draw the CSV file instead")
    options = parser.parse_args()
    if options.plot:
        plot(options.csv, options.plot, options.facts)
        return
    model = fl.load("atlas", device="cpu")
    facts = draw_facts(model, options.facts, options.seed)
    settings = {name: ast.literal_eval(value) for name, value in (text.split("=") for text in options.set)}
    with ExitStack() as stack:
        shared = SharedValues()
        for module in (rome, emmet, spreading):
            stack.enter_context(mock.patch.object(module, "values_of", shared))
        for method, layers, way in planned(model, options):
            run(model, facts, method, layers, way, settings, options)


def planned(model: fl.Model, options: argparse.Namespace) -> list[tuple[str, tuple[int, ...], str]]:
    """List what to do, layers outermost: methods that end in the same layer share their v*."""
    found = []
    for method in options.methods.split(","):
        usual = defaults(model, method).layers
        if options.layers == "default":
            ends = [usual[-1]]
        else:
            ends = list(range(model.n_layers)) if options.layers == "all" else list(map(int, options.layers.split(",")))
        for end in ends:
            layers = tuple(range(max(0, end - len(usual) + 1), end + 1))
            found += [
                (method, layers, way)
                for way in options.ways.split(",")
                if not (way == "at once" and METHODS[method].most_facts == 1)
            ]
    return sorted(found, key=lambda what: (what[2] == "sequential", what[1][-1]))


def run(
    model: fl.Model,
    facts: list[fl.Fact],
    method: str,
    layers: tuple[int, ...],
    way: str,
    settings: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """Compute one row of the CSV file, unless it is there."""
    name = {
        "method": method,
        "way": way,
        "layers": " ".join(map(str, layers)),
        "facts": min(SEQUENTIAL, len(facts)) if way == "sequential" else len(facts),
        "set": " ".join(options.set),
    }
    if options.csv.exists():
        there = pd.read_csv(options.csv, keep_default_na=False, dtype=str)
        if (there[list(name)] == pd.Series({k: str(v) for k, v in name.items()})).all(axis=1).any():
            return
    extra: dict[str, Any] = {**settings, "method": method}
    if METHODS[method].needs_moments:
        extra["moments"] = default_moments(model, layers)
    extra["layers"] = layers[0] if METHODS[method].most_layers == 1 else layers
    table, told = judged(model, facts[: name["facts"]], way, **extra)
    row = {**name, **shares(table), **told}
    pd.DataFrame([row]).to_csv(options.csv, mode="a", header=not options.csv.exists(), index=False)
    print(
        f"{method:9} {way:10} layers {name['layers']:9} "
        + "  ".join(f"{role} {row[f'{role} beats']:6.1%}/{row[f'{role} leads']:6.1%}" for role in ROLES)
        + f"  {row['seconds'] / name['facts']:.2f} s per edit"
        + (f"  healthy until {row['healthy until']}" if way == "sequential" else ""),
        flush=True,
    )


if __name__ == "__main__":
    main()
