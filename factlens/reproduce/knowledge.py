"""Which facts of a data set the model knows, asked once and kept in the experiment's folder."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from factlens.bounded import parse_json, read_text
from factlens.errors import FactError
from factlens.evaluation.scoring import read
from factlens.facts import Fact
from factlens.files import checksum, write_text
from factlens.models import Model
from factlens.models.belonging import Weights
from factlens.reproduce.folder import Folder
from factlens.tracing.many import NOT_KNOWN
from factlens.typed import flag, many, optional, record, text

AT_ONCE = 32
"""Facts in one pass, after which their answers are kept."""


class Answer(NamedTuple):
    """What came of one fact.

    Attributes
    ----------
    right
        Whether greedy decoding continues the prompt with the fact's object, all its tokens: the rule by which
        `factlens.trace_many` leaves facts out. A fact without an object counts as known.
    says
        The token that the model finds most probable there, whole.
    problem
        Why the fact cannot be asked.
    """

    right: bool
    says: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Knowledge:
    """Which facts a model knows.

    Attributes
    ----------
    places
        Where they stand in the data set.
    asked, of
        How many facts were asked, from the first on, and how many there are.
    reasons
        Why the others are left out, and how many for each reason.
    """

    places: tuple[int, ...]
    asked: int
    of: int
    reasons: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        among = f"all {self.of}" if self.asked == self.of else f"the first {self.asked} of {self.of}"
        rest = self.asked - len(self.places)
        why = "; ".join(f"{count} left out: {reason}" for reason, count in self.reasons.items())
        return f"The model knows {len(self.places)} of {among} facts" + (f" ({why})" if rest else "") + "."

    def record(self) -> dict[str, object]:
        """Return the numbers, for the provenance."""
        return {"known": len(self.places), "asked": self.asked, "of": self.of, "left_out": dict(self.reasons)}


def ask(model: Model, facts: Sequence[Fact], folder: Folder, limit: int | None = None) -> Knowledge:
    """Ask a model for facts, the first ones first, until it has known `limit` of them.

    Every few facts the answers are kept; the same call after a kill goes on behind them. What it says of each is
    written to ``known.csv``.

    Raises
    ------
    FactError
        If it knows none.
    """
    path = folder.path / "known.json"
    made = hashlib.sha256(repr([Weights.of(model).key, list(facts)]).encode()).hexdigest()
    answers = _read(path, made)
    progress = folder.progress("facts asked")
    while len(answers) < len(facts) and (limit is None or sum(answer.right for answer in answers) < limit):
        part = facts[len(answers) : len(answers) + AT_ONCE]
        answers += _answers(model, part)
        content = {"made": made, "answers": [answer._asdict() for answer in answers]}
        write_text(path, json.dumps({**content, "checksum": checksum(content)}, ensure_ascii=False))
        progress(len(answers), len(facts))
    right = [place for place, answer in enumerate(answers) if answer.right]
    if limit is not None and len(right) >= limit:
        # A batch may have found more than were wanted.
        right = right[:limit]
        answers = answers[: right[-1] + 1]
    reasons = Counter(answer.problem or NOT_KNOWN for answer in answers if not answer.right)
    knowledge = Knowledge(tuple(right), len(answers), len(facts), dict(reasons.most_common()))
    if not right:
        raise FactError(f"There is nothing to reproduce with: {model.name} knows none of the facts. {knowledge}")
    folder.csv("known", _table(facts, answers))
    return knowledge


def _answers(model: Model, facts: Sequence[Fact]) -> list[Answer]:
    """Ask several facts in one pass; where one of them cannot be asked, each in its own."""
    asked = {place: fact.object for place, fact in enumerate(facts) if fact.object is not None}
    answers = [Answer(True)] * len(facts)
    try:
        prompts = [model.as_read(facts[place], warned=False).prompt for place in asked]
        readings = read(model, prompts, [[wording] for wording in asked.values()])
    except FactError as error:
        if len(facts) == 1:
            return [Answer(False, problem=str(error))]
        return [answer for fact in facts for answer in _answers(model, [fact])]
    for place, reading in zip(asked, readings, strict=True):
        answers[place] = Answer(reading.leads[0], reading.top or None)
    return answers


def _table(facts: Sequence[Fact], answers: Sequence[Answer]) -> pd.DataFrame:
    rows = [
        {"prompt": fact.prompt, "object": None if fact.object is None else str(fact.object)} | answer._asdict()
        for fact, answer in zip(facts, answers, strict=False)
    ]
    return pd.DataFrame(rows).rename(columns={"right": "known"}).rename_axis("fact")


_CONTENT = record(
    {
        "made": text,
        "answers": many(record({"right": flag, "says": optional(text), "problem": optional(text)})),
        "checksum": text,
    }
)


def _read(path: Path, made: str) -> list[Answer]:
    """Return what was kept of the same facts and weights; nothing where that is damaged, or is not there."""
    try:
        content = _CONTENT(parse_json(read_text(path)))
    except (OSError, ValueError):
        return []
    if content["made"] != made or content["checksum"] != checksum({k: content[k] for k in ("made", "answers")}):
        return []
    return [Answer(**answer) for answer in content["answers"]]
