"""Judging what edits have changed: probes and continuations, with the original weights and with the present ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import traitlets as t

from factlens.errors import FactError
from factlens.evaluation import Checks, Probe, Reading, atlas_checks, read
from factlens.evaluation.texts import generate
from factlens.facts import Fact
from factlens.session.editing import Editing

OWN = "own"
"""The role of prompts that the user has added."""
MOST_OWN = 20
_TOKENS = 40


class Judging(Editing):
    """What else changed.

    Attributes
    ----------
    checks
        What to ask about the fact that they were made for, where the model brings no checks of its own.
    own
        Prompts that the user has added to the checks.
    judgement
        What the checks have found, as `judge_rows` and `continuations` have it, with the labels of the edits that were
        in force; None before the first, and after the fact in hand has changed.
    """

    checks = t.Instance(Checks, allow_none=True)
    own = t.Tuple()
    judgement: Any = t.Dict(allow_none=True, default_value=None)

    def start_judge(self) -> None:
        """Ask the checks of the fact in hand, with the original weights and with the present ones."""

        def begin() -> Callable[[], None]:
            self._check_idle("check")
            fact = self.fact
            if fact is None or not self.model.edits:
                raise FactError("There is nothing to check yet: edit a fact first.")
            own = tuple(self.own)
            return lambda: self._judge(fact, own)

        self._begin(begin, "judge", "The edit could not be checked")

    def add_prompt(self, prompt: str) -> None:
        """Add a prompt to the checks; it is asked with the next ones."""
        with self.gate, self.reporting("judge", "The prompt was not added"):
            text = prompt.strip()
            if not text:
                raise FactError("The prompt is empty.")
            if text in self.own:
                raise FactError("That prompt is among the checks already.")
            if len(self.own) >= MOST_OWN:
                raise FactError(f"There are {MOST_OWN} prompts of yours already: take one out first.")
            ids = self.model.tokenizer(text)["input_ids"]
            if self.model.max_tokens is not None and len(ids) > self.model.max_tokens:
                raise FactError(f"The prompt has {len(ids)} tokens; {self.model.name} reads {self.model.max_tokens}.")
            self.own = (*self.own, text)
            if self.error and self.error["place"] == "judge":
                self.error = None

    def remove_prompt(self, prompt: str) -> None:
        """Take a prompt out of the checks."""
        with self.gate:
            self.own = tuple(text for text in self.own if text != prompt)

    @t.observe("fact")
    def _other_fact(self, change: Any) -> None:
        before, now = change["old"], change["new"]
        if before is None or now is None or before.prompt != now.prompt:
            self.judgement = None

    def _judge(self, fact: Fact, own: Sequence[str]) -> None:
        with self.model.exclusive(self._stop):
            with self.gate:
                self._set_status("judging")
            edits = self.model.edits
            target = fact.target or self._target_of(fact)
            with self.model.unedited():
                asked = [*_probes(fact, target, self.model.answers(fact.prompt, k=1)[0].text.strip(), self.checks)]
                asked += [Probe(OWN, text, self.model.answers(text, k=1)[0].text.strip(), target) for text in own]
                prompts, options = [p.prompt for p in asked], [(p.old, p.new) for p in asked]
                before = read(self.model, prompts, options)
                begun = [fact.prompt, fact.subject]
                written_before = generate(self.model, begun, length=_TOKENS, greedy=True)
            after = read(self.model, prompts, options)
            written_after = generate(self.model, begun, length=_TOKENS, greedy=True)
            with self.gate:
                self.judgement = {
                    "edits": [str(getattr(edit, "label", edit)) for edit in edits],
                    "rows": judge_rows(asked, before, after),
                    "texts": [
                        {"prompt": text, "before": old[len(text) :], "after": new[len(text) :]}
                        for text, old, new in zip(begun, written_before, written_after, strict=True)
                    ],
                }

    def _target_of(self, fact: Fact) -> str:
        """Return what the newest edit of the fact in hand has made of it, or else the new object in the box."""
        for edit in reversed(self.model.edits):
            for other in getattr(edit, "facts", ()):
                if other.prompt == fact.prompt and other.target:
                    return str(other.target)
        if not self.target.strip():
            raise FactError("There is no new object to compare with: write one.")
        return self.target.strip()


def _probes(fact: Fact, target: str, answer: str, checks: Checks | None) -> tuple[Probe, ...]:
    """Return the checks that were given for the fact, else ready-made ones, else the prompt itself."""
    wanted = fact.with_target(target)
    if checks is not None and any((probe.role, probe.prompt) == ("rewrite", fact.prompt) for probe in checks.probes):
        return _with_target(checks.probes, target)
    try:
        return atlas_checks(wanted).probes
    except FactError:
        return Checks.of(wanted, fact.object or answer).probes


def _with_target(probes: Sequence[Probe], target: str) -> tuple[Probe, ...]:
    """Put another new object into probes; what would follow from it is not known."""
    same = all(probe.new == target for probe in probes if probe.role == "rewrite")
    return tuple(
        replace(p, new=target) if p.role != "portability" else p for p in probes if same or p.role != "portability"
    )


def judge_rows(probes: Sequence[Probe], before: Sequence[Reading], after: Sequence[Reading]) -> list[dict[str, Any]]:
    """Return a row per probe: its role and objects, and for each of before and after both probabilities and the top."""
    rows = []
    for probe, then, now in zip(probes, before, after, strict=True):
        row: dict[str, Any] = {"role": probe.role, "prompt": probe.prompt, "old": probe.old, "new": probe.new}
        for when, reading in (("before", then), ("after", now)):
            old, new = reading.probabilities
            row[when] = {"old": old, "new": new, "top": reading.top}
        i = 0 if probe.role == OWN else (probe.old, probe.new).index(probe.wanted)
        row["held"] = [then.leads[i], now.leads[i]]
        rows.append(row)
    return rows
