"""Other subjects for a replacement: as many tokens in the prompt, and the same around them."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.tracing.alternatives import other_subjects
from tests.support import small_model


@pytest.mark.parametrize(
    "fact",
    [
        fl.Fact("{} is in downtown", "The Space Needle"),
        fl.Fact("The capital of {} is", "France"),
        fl.Fact("Where {} is, nobody says", "Rome"),
    ],
)
def test_each_has_as_many_tokens_and_leaves_the_others_alone(fact: fl.Fact) -> None:
    model = fl.load("atlas")
    encoding = model.encode(fact)
    start, stop = encoding.subject_range
    names = other_subjects(model, fact)
    assert 1 <= len(names) <= 5
    assert len(set(names)) == len(names)
    assert fact.subject not in names
    for name in names:
        other = model.encode(fact.with_subject(name))
        assert other.subject_range == encoding.subject_range
        assert other.ids[:start] == encoding.ids[:start]
        assert other.ids[stop:] == encoding.ids[stop:]
        assert other.ids != encoding.ids


def test_those_of_the_same_sort_come_first() -> None:
    model = fl.load("atlas")
    names = other_subjects(model, fl.Fact("{} is in downtown", "The Eiffel Tower"))
    assert all(name.startswith("The ") for name in names)


def test_there_may_be_none() -> None:
    fact = fl.Fact("{} is in downtown", "The Museum of the Very Long Names of Towers and Bridges and Kings")
    assert other_subjects(small_model("gpt2"), fact) == ()
