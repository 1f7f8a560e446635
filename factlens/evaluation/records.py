"""`Record`: one case of an editing data set."""

from __future__ import annotations

from dataclasses import dataclass

from factlens.arguments import a_text, instance
from factlens.errors import FactError
from factlens.evaluation.checks import Checks
from factlens.facts import Fact, a_fact


@dataclass(frozen=True)
class Record:
    """A fact with its new object, and what to ask a model before and after the edit.

    Attributes
    ----------
    fact
        The fact, with its `target` (what an edit is to make of it) and, as far as known, its `object` (what is true).
    checks
        What to ask.
    name
        What it is called in its data set: ``"counterfact 17"``.

    Raises
    ------
    FactError
        If the fact has no target.
    """

    fact: Fact
    checks: Checks
    name: str

    def __post_init__(self) -> None:
        a_fact("fact", self.fact)
        instance("checks", self.checks, Checks, "a factlens.Checks: factlens.Checks.of(fact, 'Seattle', ...)")
        a_text("name", self.name, example="'my record 1'")
        if self.fact.target is None:
            raise FactError(
                f"Record {self.name!r}: the fact {self.fact.prompt!r} has no target, Fact(..., target='Paris')."
            )
