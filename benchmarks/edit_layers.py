"""ROME on atlas, layer by layer: does the edit take, and what else does it change?

    python benchmarks/edit_layers.py                     # 60 facts at every layer
    python benchmarks/edit_layers.py --layers 1 --set clamp=2 --set kl_factor=0.5

Facts are drawn from atlas's own with a seed, one relation after the other; each is edited to another object of its
relation, judged with its ready-made checks (held-out paraphrases, neighbours with the same object, other facts of the
subject), and undone. Columns: *beats* is the published comparison of two objects, *leads* the stricter "is the
model's answer".
"""

from __future__ import annotations

import argparse
import ast
import time
from random import Random

import pandas as pd

import factlens as fl
from factlens.editing.hparams import rome_defaults
from factlens.evaluation import ROLES
from factlens.models.atlas.knowledge import load_knowledge
from factlens.moments import collect


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
        template, subject = statement.parts(random.choice(statement.relation.trained))
        target = random.choice([s.object for s in found if s.object != statement.object])
        fact = fl.Fact(template, subject=subject, target=target)
        if statement in seen or model.answers(fact.prompt, k=1)[0].text.strip() != statement.object:
            continue
        seen.add(statement)
        facts.append(fact)
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", help="comma-separated; default: all")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of ROME")
    options = parser.parse_args()
    model = fl.load("atlas", device="cpu")
    layers = [int(i) for i in options.layers.split(",")] if options.layers else list(range(model.n_layers))
    settings = {name: ast.literal_eval(value) for name, value in (text.split("=") for text in options.set)}
    facts = draw_facts(model, options.facts, options.seed)
    default_layer, defaults = rome_defaults(model)
    print(f"{model}, {len(facts)} facts, default layer {default_layer}, {defaults.with_changes(**settings)}\n")
    assert model.corpus is not None
    moments = collect(model, layers, model.corpus(0), tokens=50_000, corpus="the atlas corpus, seed 0")
    print(f"{'layer':>5} {'measure':8}" + "".join(f"{role:>12}" for role in ROLES) + "   seconds per edit")
    for layer in layers:
        frames, spent = [], 0.0
        for fact in facts:
            began = time.perf_counter()
            edit = fl.edit(model, fact, layer=layer, moment=moments[layer], apply=False, **settings)
            spent += time.perf_counter() - began
            frames.append(fl.evaluate(model, edit).to_dataframe())
        # The mean over facts of the share of a fact's probes, so that subjects with many neighbours weigh no more.
        table = pd.concat(frames, keys=range(len(frames)), names=["fact"]).reset_index()
        for measure in ("success", "leads"):
            for when in ("before", "after") if layer == layers[0] else ("after",):
                shares = table.groupby(["fact", "role"])[f"{measure}_{when}"].mean().groupby("role").mean()
                name = {"success": "beats", "leads": "leads"}[measure]
                label = "none" if when == "before" else str(layer)
                row = "".join(f"{shares.get(role, float('nan')):12.1%}" for role in ROLES)
                print(f"{label:>5} {name:8}{row}   {spent / len(facts):.2f}", flush=True)


if __name__ == "__main__":
    main()
