"""Other subjects to write in a subject's place: well-known names that the prompt has as many tokens with."""

from __future__ import annotations

from collections.abc import Iterator

from factlens.errors import FactError
from factlens.facts import Fact
from factlens.knowledge.pool import pool
from factlens.models import Model

MOST = 5


def other_subjects(model: Model, fact: Fact, most: int = MOST) -> tuple[str, ...]:
    """Return names for a `factlens.Replacement`, those of the subject's own sort first.

    With each of them the prompt has the same tokens before and behind the subject, and as many in its place: no
    restored state comes from another position than the one where it is put in.
    """
    encoding = model.encode(fact)
    start, stop = encoding.subject_range
    names, prompts = [], []
    for name in _candidates(fact.subject):
        try:
            prompts.append(fact.with_subject(name).prompt)
        except FactError:
            continue
        names.append(name)
    chosen: list[str] = []
    for name, ids in zip(names, model.tokenizer(prompts)["input_ids"], strict=True):
        fits = len(ids) == len(encoding.ids) and tuple(ids[stop:]) == tuple(encoding.ids[stop:])
        if fits and tuple(ids[:start]) == tuple(encoding.ids[:start]) and len(chosen) < most:
            chosen.append(name)
    return tuple(chosen)


def _candidates(subject: str) -> Iterator[str]:
    """Give the names of the pool, each once: of the subject's relations first, then those that look like it."""
    relations = pool()
    of_its_sort = [name for relation in relations if subject in relation.objects for name in relation.objects]
    article = subject.startswith("The ")
    words = subject.count(" ")
    others = [name for relation in relations for name in relation.objects]
    others.sort(
        key=lambda name: (
            name.startswith("The ") != article,
            name.istitle() != subject.istitle(),
            abs(name.count(" ") - words),
        )
    )
    yield from (name for name in dict.fromkeys([*of_its_sort, *others]) if name != subject)
