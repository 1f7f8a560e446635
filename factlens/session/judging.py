"""Judging what edits have changed: probes and continuations, with the original weights and with the present ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import traitlets as t

from factlens.errors import FactError
from factlens.evaluation import Checks, Probe, Reading, Record, atlas_checks, read
from factlens.evaluation.chatting import as_read
from factlens.evaluation.chatting import asked as asked_beside
from factlens.evaluation.checks import OWN
from factlens.evaluation.texts import generate
from factlens.facts import Fact
from factlens.models.belonging import ids_of
from factlens.models.spellings import wording_of
from factlens.progress import Share, Stage, Stages
from factlens.session.calibrating import Calibrating
from factlens.session.following import label_of
from factlens.session.working import Work, gesture
from factlens.spelling import Wording

MOST_OWN = 20
_TOKENS = 40
_BEFORE, _AFTER = "with the original weights", "with the edits"
_PARTS = (("asking", 0.35), ("writing", 0.65))
"""What is done, once before and once after, and about which part of the time each takes."""


class Judging(Calibrating):
    """What else changed.

    Attributes
    ----------
    checks
        What to ask about the fact that they were made for, where the model brings no checks of its own.
    own
        Prompts that the user has added to the checks.
    judgement
        What the checks have found, as `judge_rows` and `continuations` have it, with the labels and ids of the edits
        that were in force, and the fingerprint of the model under them; None before the first, and after the fact in
        hand has changed.
    """

    checks = t.Instance(Checks, allow_none=True)
    own = t.Tuple()
    judgement: Any = t.Dict(allow_none=True, default_value=None)

    @gesture("check", "judge", "The edit could not be checked")
    def start_judge(self) -> Work:
        """Ask the checks of the fact in hand, with the original weights and with the present ones."""
        fact = self.fact
        if fact is None or not self.edits:
            raise FactError("There is nothing to check yet: edit a fact first.")
        own = tuple(self.own)
        return lambda: self._judge(fact, own)

    def add_prompt(self, prompt: str) -> None:
        """Add a prompt to the checks; it is asked with the next ones."""
        with self._asked("judge", "The prompt was not added"):
            if not prompt.strip():
                raise FactError("The prompt is empty.")
            if prompt in self.own:
                raise FactError("That prompt is among the checks already.")
            if len(self.own) >= MOST_OWN:
                raise FactError(f"There are {MOST_OWN} prompts of yours already: take one out first.")
            self.model.ids_of(prompt)
            self.own = (*self.own, prompt)
            if self.error and self.error["place"] == "judge":
                self.error = None

    def remove_prompt(self, prompt: str) -> None:
        """Take a prompt out of the checks."""
        with self.gate:
            self.check_open()
            self.own = tuple(text for text in self.own if text != prompt)

    @t.observe("fact")
    def _other_fact(self, change: Any) -> None:
        before, now = change["old"], change["new"]
        if before is None or now is None or before.prompt != now.prompt:
            self.judgement = None

    @property
    def judged_otherwise(self) -> bool:
        """Whether the checks were asked with other weights than the model has now."""
        judgement = self.judgement
        if judgement is None:
            return False
        return (judgement["fingerprint"], tuple(judgement["edit_ids"])) != self.weights.key

    def _judge(self, fact: Fact, own: Sequence[str]) -> None:
        stages = Stages({f"{what}, {when}": part for when in (_BEFORE, _AFTER) for what, part in _PARTS})

        def at(what: str, when: str, words: str) -> Share:
            stage = Stage(f"{what}, {when}", f"{words} {when}")
            return lambda share: self._say(*stages.say(stage, share))

        with self._at_work("judging"):
            edits = self.model.edits
            if not edits:
                raise FactError("There is nothing to check any more: the edits were taken out.")
            target = fact.target or self._target_of(fact)
            with self.model.as_original():
                asked = [*self._probes(fact, target)]
                for prompt in (asked_beside(self.model, fact, text) for text in own):
                    asked.append(Probe(OWN, prompt, self._answer_to(prompt), target))
                prompts, options = [p.prompt for p in asked], [(p.old, p.new) for p in asked]
                begun = [fact.prompt, fact.subject]

                def ask(when: str) -> tuple[list[Reading], list[str]]:
                    answers = read(
                        self.model, prompts, options, progress=at("asking", when, f"asking {len(prompts)} prompts")
                    )
                    written = at("writing", when, "letting it write on")
                    return answers, generate(self.model, begun, length=_TOKENS, greedy=True, progress=written)

                before, written_before = ask(_BEFORE)
            after, written_after = ask(_AFTER)
            with self.gate:
                self.judgement = {
                    "edits": list(map(label_of, edits)),
                    "edit_ids": list(ids_of(edits)),
                    "fingerprint": self.model.fingerprint,
                    "rows": [
                        {**row, "prompt": said_in(fact, row["prompt"])} for row in judge_rows(asked, before, after)
                    ],
                    "texts": [
                        # So many tokens may end inside a character, of which nothing is shown then.
                        {
                            "prompt": said_in(fact, text),
                            "before": old[len(text) :].rstrip("\ufffd"),
                            "after": new[len(text) :].rstrip("\ufffd"),
                        }
                        for text, old, new in zip(begun, written_before, written_after, strict=True)
                    ],
                }

    def _probes(self, fact: Fact, target: Wording) -> tuple[Probe, ...]:
        """Return the checks of the fact in hand, as the model reads them."""
        checks, fact = self.checks, fact.with_target(target)
        if checks is not None:
            checks = as_read(self.model, Record(fact, checks, "the checks")).checks
        return _probes(fact, target, self._answer_to(fact.prompt), checks)

    def _answer_to(self, prompt: str) -> Wording:
        """Return the most probable next token after a prompt, as one writes it."""
        return wording_of(self.model, prompt, self.model.answers(prompt, k=1)[0])

    def _target_of(self, fact: Fact) -> Wording:
        """Return what the newest edit of the fact in hand has made of it, or else the new object in the box."""
        for edit in reversed(self.model.edits):
            for other in getattr(edit, "facts", ()):
                if other.prompt == fact.prompt and other.target:
                    return cast("Wording", other.target)
        if self.new_object is None:
            raise FactError("There is no new object to compare with: write one.")
        return self.new_object


def _probes(fact: Fact, target: Wording, answer: Wording, checks: Checks | None) -> tuple[Probe, ...]:
    """Return the checks that were given for the fact, else ready-made ones, else the prompt itself."""
    fact = fact.with_target(target)
    if checks is not None and any((probe.role, probe.prompt) == ("rewrite", fact.prompt) for probe in checks.probes):
        return _with_target(checks.probes, target)
    try:
        return atlas_checks(fact).probes
    except FactError:
        return Checks.of(fact, fact.object or answer).probes


def _with_target(probes: Sequence[Probe], target: Wording) -> tuple[Probe, ...]:
    """Put another new object into probes; what would follow from it is not known."""
    same = all(probe.new == target for probe in probes if probe.role == "rewrite")
    return tuple(
        replace(p, new=target) if p.role != "portability" else p for p in probes if same or p.role != "portability"
    )


def said_in(fact: Fact, prompt: str) -> str:
    """Return what the turn of a prompt says that was asked in the chat of a fact; any other prompt as it is."""
    own = None if fact.conversation is None else fact.conversation.own
    if own is None:
        return prompt
    start, stop = own
    before, after = fact.prompt[:start], fact.prompt[stop:]
    inside = prompt.startswith(before) and prompt.endswith(after) and len(prompt) > len(before + after)
    return prompt[start : len(prompt) - len(after)] if inside else prompt


def judge_rows(probes: Sequence[Probe], before: Sequence[Reading], after: Sequence[Reading]) -> list[dict[str, Any]]:
    """Return a row per probe: its role and objects, and for each of before and after both probabilities and the top."""
    rows = []
    for probe, then, now in zip(probes, before, after, strict=True):
        row: dict[str, Any] = {"role": probe.role, "prompt": probe.prompt, "old": str(probe.old), "new": str(probe.new)}
        for when, reading in (("before", then), ("after", now)):
            old, new = reading.probabilities
            row[when] = {"old": old, "new": new, "top": reading.top}
        i = 0 if probe.role == OWN else (probe.old, probe.new).index(probe.wanted)
        row["held"] = [then.leads[i], now.leads[i]]
        rows.append(row)
    return rows
