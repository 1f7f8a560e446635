"""`Record`: one case of an editing data set."""

from __future__ import annotations

from dataclasses import dataclass

from factlens.errors import FactError
from factlens.evaluation.checks import Checks
from factlens.facts import Fact


@dataclass(frozen=True)
class Record:
    """A fact with its new object, and what to ask a model before and after the edit.

    Attributes
    ----------
    fact
        The fact, with its `object` (what is true) and its `target` (what an edit shall make of it).
    checks
        What to ask.
    name
        What it is called in its data set: ``"counterfact 17"``.

    Raises
    ------
    FactError
        If the fact lacks its object or target.
    """

    fact: Fact
    checks: Checks
    name: str

    def __post_init__(self) -> None:
        for what in ("object", "target"):
            if getattr(self.fact, what) is None:
                raise FactError(f"Record {self.name!r}: the fact {self.fact.prompt!r} has no {what}.")
