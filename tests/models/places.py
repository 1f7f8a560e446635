"""A model that carries one of two edits that are called alike, and what is computed on its weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import factlens as fl
from factlens.evaluation import Checks, Record, Report
from factlens.models import Dense
from factlens.session import Session
from tests.editing.made import FACT

OTHER = fl.Fact("{} is in the city of", "Space Needle", target="Paris")
SAMPLES = {"samples": 2, "window": 2}
RECORD = Record(FACT, Checks.of(FACT, "Paris", paraphrases=["One finds the {} near"]), "the record")


def twins(model: fl.Model) -> tuple[fl.Edit, fl.Edit]:
    """Two edits that say the same of themselves and change the weights differently."""
    first = fl.edit(model, FACT, method="ft", layers=1, steps=2, learning_rate=1e-2, apply=False)
    (term,) = first.updates
    assert isinstance(term, Dense)
    second = replace(first, updates=(replace(term, change=2 * term.change),))
    assert (str(first), first.label, repr(first)) == (str(second), second.label, repr(second))
    return first, second


@dataclass
class Place:
    """A model that carries the first of two edits that are called alike, and other models."""

    model: fl.Model
    other: fl.Model
    first: fl.Edit
    second: fl.Edit
    again: fl.Edit
    folder: Path

    def put(self, *edits: fl.Edit) -> None:
        self.model.set_edits(edits)


def session_of(model: fl.Model) -> Session:
    return Session(model, FACT)


def report_of(model: fl.Model, folder: Path) -> Report:
    made = fl.evaluate(model, [RECORD], method="ft", steps=1, layers=2, generate=False)
    return Report.load(made.save(folder / "report.json"))
