"""Records of facts that a model truly knows: only of these can be measured whether an edit changed them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from threading import Event
from typing import Any

from factlens.arguments import a_seed, event, function, optional, whole
from factlens.bar import by_itself
from factlens.editing.taking import leads_each
from factlens.evaluation.chatting import as_read
from factlens.evaluation.checks import Checks, Probe
from factlens.evaluation.datasets.atlas_facts import atlas_facts
from factlens.evaluation.datasets.opening import records_or_facts
from factlens.evaluation.records import Record
from factlens.facts import Fact
from factlens.knowledge.pool import pool
from factlens.models import Model
from factlens.models.given import a_model
from factlens.models.interrupts import stopped_by
from factlens.models.settling import settled
from factlens.progress import Share
from factlens.spelling import Wording

PARAPHRASES, NEIGHBOURS = 3, 5
"""So many of each are asked about a fact at most: enough to tell settings apart, and quick."""
_AT_ONCE, _FIRST, _REPHRASED = 32, 6, 2
"""Prompts that are run together; facts of a relation that are asked first; paraphrases that are asked then."""


@dataclass(frozen=True)
class _Statement:
    """A fact with its object, among others of its relation; `paraphrases` are about the same subject."""

    relation: str
    fact: Fact
    paraphrases: tuple[Fact, ...] = ()

    @property
    def answer(self) -> Wording:
        """The object as it is spelled."""
        assert self.fact.object is not None  # facts without are left out
        return self.fact.object

    @property
    def object(self) -> str:
        """The object as it is compared with others."""
        return _plainly(self.answer)


def _plainly(wording: Wording) -> str:
    return str(wording).strip().casefold()


@by_itself("Looking for facts that the model knows")
@settled
def known_records(
    model: Model,
    facts: Any = None,
    *,
    n: int = 40,
    seed: int = 0,
    progress: Share | bool | None = None,
    stop: Event | None = None,
) -> list[Record]:
    """Return records of facts that a model truly knows, each with another object of its relation as target.

    A fact is known if greedy decoding says its whole object after its prompt. Those that are also known in other words
    come first. Neighbours are other known facts of the relation, those with the same object first; none of them has
    the new object already. No two records are about one subject, whose keys would be the same. Which facts, targets
    and neighbours are taken depends on their texts and on `seed` alone.

    Parameters
    ----------
    model
        The model, with the edits that it carries.
    facts
        Where to look: facts with their objects, records, or all that `factlens.load_facts` reads (files in the layouts
        of known_1000, CounterFact, zsRE, or your own; ``"atlas-facts"``). Facts that share their template are taken to
        be of one relation. Default: for atlas, what it was taught; for every other model, a pool of some 400 facts of
        general knowledge that comes with factlens.
    n
        How many records at most.
    seed
        Of the choice.
    progress
        Called with the share that is done. Default: a bar shows it, in a notebook or a terminal; False: nothing does.
    stop
        Set it from another thread to give up.

    Returns
    -------
    list of Record
        From none to `n`. What records have of their own (target, paraphrases, neighbours) stays as it is.

    Raises
    ------
    ArgumentError, FactError, FileFormatError, OSError
        As `factlens.load_facts`.
    Interrupted
        If `stop` was set.
    """
    model, n, seed = a_model("model", model), whole("n", n, least=1, example="40"), a_seed("seed", seed)
    progress, stop = optional(function, "progress", progress), optional(event, "stop", stop)
    return find_known(model, facts, n, seed, progress=progress, stop=stop, late=lambda: False)


def find_known(
    model: Model,
    facts: Any,
    n: int,
    seed: int,
    *,
    progress: Share | None,
    stop: Event | None,
    late: Callable[[], bool],
) -> list[Record]:
    """Return what `known_records` does; once it is `late`, no more is asked, and what was not asked is not known."""
    source = (atlas_facts() if model.bundled else None) if facts is None else records_or_facts(facts, name="facts")
    with model.exclusive(stop), stopped_by(stop):
        if source and isinstance(source[0], Record):
            return _known_of_records(model, [one for one in source if isinstance(one, Record)], n, seed, progress, late)
        statements = _pooled() if source is None else _grouped([one for one in source if isinstance(one, Fact)])
        return _known_of_statements(model, statements, n, seed, progress, late)


def split(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Return the records to tune on and those held out, about three to two, by a digest of each one's prompt.

    A record is on the same side with any others, so that a larger calibration holds out what a smaller one
    has held out.
    """
    train: list[Record] = []
    held_out: list[Record] = []
    for record in records:
        (train if int(digest(record.fact.prompt)[:8], 16) % 5 < 3 else held_out).append(record)
    return train, held_out


def digest(*words: object) -> str:
    """Return hex digits that stand for some texts, the same on every machine."""
    return hashlib.sha256("\0".join(map(str, words)).encode("utf-8", "surrogatepass")).hexdigest()


# Where the facts are from ---------------------------------------------------------------------------------------------


def _pooled() -> list[_Statement]:
    return [
        _Statement(relation.name, fact, tuple(fact.with_template(words) for words in relation.templates[1:]))
        for relation in pool()
        for subject, answer in relation.objects.items()
        for fact in [Fact(relation.templates[0], subject=subject, object=answer)]
    ]


def _grouped(facts: Sequence[Fact]) -> list[_Statement]:
    """Return facts that say their object; two of one subject and relation are the same in other words."""
    return [_Statement(fact.template, fact) for fact in facts if fact.object is not None]


# What the model knows of them -----------------------------------------------------------------------------------------


def _known_of_records(
    model: Model, records: Sequence[Record], n: int, seed: int, progress: Share | None, late: Callable[[], bool]
) -> list[Record]:
    """Return records whose old object the model says; it is asked in turns, until there are enough."""
    chosen: list[Record] = []
    subjects: set[str] = set()
    ordered = sorted(records, key=lambda record: digest(seed, record.fact.prompt))
    # A data set may hold thousands: asked are no more than it takes.
    for start in range(0, len(ordered), _AT_ONCE):
        part = [as_read(model, record) for record in ordered[start : start + _AT_ONCE]]
        olds = [_old_of(record) for record in part]
        asked = [record.fact.with_target(old) for record, old in zip(part, olds, strict=True) if old is not None]
        leads = iter(_says(model, asked, lambda: False))
        for record, old in zip(part, olds, strict=True):
            if old is not None and next(leads) and record.fact.subject not in subjects and len(chosen) < n:
                subjects.add(record.fact.subject)
                chosen.append(replace(record, fact=replace(record.fact, object=old)))
        if progress is not None:
            progress(1.0 if len(chosen) == n else (start + len(part)) / len(ordered))
        if len(chosen) == n or late():
            break
    if progress is not None:
        progress(1.0)
    return chosen


def _old_of(record: Record) -> Wording | None:
    """Return what is true before the edit, as the fact or the check of its prompt has it."""
    if record.fact.object is not None:
        return record.fact.object
    return next((probe.old for probe in record.checks.probes if probe.role == "rewrite"), None)


def _known_of_statements(
    model: Model,
    statements: Sequence[_Statement],
    n: int,
    seed: int,
    progress: Share | None,
    late: Callable[[], bool],
) -> list[Record]:
    by_relation: defaultdict[str, list[_Statement]] = defaultdict(list)
    for statement in statements:
        by_relation[statement.relation].append(statement)
    first, rest = [], []
    for some in by_relation.values():
        few = _few(some, seed)
        first += few
        rest += [one for one in some if one not in few]
    done = _counted(progress, len(first) + PARAPHRASES * n)
    there = _led(model, first, late, done)
    ordered = _in_turns(there, seed)
    if len(ordered) < n and not late():
        there += _led(model, rest, late)
        ordered = _in_turns(there, seed)
    ordered = ordered[: n + n // 2]
    rephrased = [fact.with_target(one.answer) for one in ordered for fact in one.paraphrases[:_REPHRASED]]
    answers = iter(_says(model, rephrased, late, done))
    also = []
    for one in ordered:
        # All of its answers are taken, even where the first one is enough.
        says = [next(answers) for _ in one.paraphrases[:_REPHRASED]]
        also.append(any(says))
    records = [_record(one, [other for other in there if other.relation == one.relation], seed) for one in ordered]
    # Python's sort is stable: best are those with neighbours, known in other words, too; otherwise as they were.
    order = sorted(range(len(ordered)), key=lambda i: (not _has_neighbours(records[i]), not also[i]))
    if progress is not None:
        progress(1.0)
    return [record for i in order[:n] if (record := records[i]) is not None]


def _few(statements: Sequence[_Statement], seed: int) -> list[_Statement]:
    """Return the statements of a relation to ask first: those of a few objects, which make each other's neighbours."""
    by_object: defaultdict[str, list[_Statement]] = defaultdict(list)
    for one in sorted(statements, key=lambda one: digest(seed, one.fact.prompt)):
        by_object[one.object].append(one)
    few: list[_Statement] = []
    for name in sorted(by_object, key=lambda name: digest(seed, name)):
        if len(few) < _FIRST:
            few += by_object[name][:NEIGHBOURS]
    return few


def _led(
    model: Model, statements: Sequence[_Statement], late: Callable[[], bool], done: Share | None = None
) -> list[_Statement]:
    leads = _says(model, [one.fact.with_target(one.answer) for one in statements], late, done)
    return [one for one, knows in zip(statements, leads, strict=True) if knows]


def _in_turns(there: Sequence[_Statement], seed: int) -> list[_Statement]:
    """Return statements with one of each relation in turn, and none about a subject that another one is about."""
    by_relation: defaultdict[str, list[_Statement]] = defaultdict(list)
    for one in sorted(there, key=lambda one: digest(seed, one.fact.prompt)):
        by_relation[one.relation].append(one)
    turns = [
        by_relation[name]
        for name in sorted(by_relation, key=lambda name: digest(seed, name))
        # A relation with one object has no other to edit in, unless the fact brings its own.
        if len({one.object for one in by_relation[name]}) > 1 or by_relation[name][0].fact.target is not None
    ]
    return _one_per_subject(one for turn in zip_longest(*turns) for one in turn if one is not None)


def _has_neighbours(record: Record | None) -> bool:
    return record is not None and any(probe.role == "neighbour" for probe in record.checks.probes)


def _one_per_subject(statements: Iterable[_Statement]) -> list[_Statement]:
    first: dict[str, _Statement] = {}
    for statement in statements:
        first.setdefault(statement.fact.subject, statement)
    return list(first.values())


def _record(statement: _Statement, others: Sequence[_Statement], seed: int) -> Record | None:
    """Return a record of a statement; None where nothing of its relation can be put in the object's place."""
    fact, answer = statement.fact, statement.answer
    targets = [one.answer for one in others if one.object != statement.object] if fact.target is None else [fact.target]
    if not targets:
        return None
    target = min(targets, key=lambda other: digest(seed, fact.prompt, other))
    near = [one for one in others if one.fact.subject != fact.subject and one.object != _plainly(target)]
    near.sort(key=lambda one: (one.object != statement.object, digest(seed, fact.prompt, one.fact.prompt)))
    probes = [Probe("rewrite", fact.prompt, answer, target)]
    probes += [Probe("paraphrase", one.prompt, answer, target) for one in statement.paraphrases[:PARAPHRASES]]
    probes += [Probe("neighbour", one.fact.prompt, one.answer, target) for one in near[:NEIGHBOURS]]
    return Record(fact.with_target(target), Checks(tuple(probes)), f"{fact.prompt} {statement.object}")


def _says(model: Model, facts: Sequence[Fact], late: Callable[[], bool], done: Share | None = None) -> list[bool]:
    """Return whether greedy decoding says each fact's target; texts of like length are run together.

    The first are asked in any case; later ones, once it is late, are not, and count as not said.
    """
    order = sorted(range(len(facts)), key=lambda i: len(facts[i].prompt))
    leads = [False] * len(facts)
    for start in range(0, len(order), _AT_ONCE):
        part = order[start : start + _AT_ONCE]
        for i, says_it in zip(part, leads_each(model, [facts[i] for i in part]), strict=True):
            leads[i] = says_it
        if done is not None:
            done(len(part))
        if late():
            break
    return leads


def _counted(progress: Share | None, total: int) -> Share | None:
    """Return what counts the questions that were answered, and tells how many of all that is."""
    answered = 0.0

    def done(more: float) -> None:
        nonlocal answered
        answered += more
        if progress is not None:
            progress(min(1.0, answered / total))

    return done
