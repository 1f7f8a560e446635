"""Facts: which occurrence of the subject is meant, and what is refused."""

from __future__ import annotations

import pytest

import factlens as fl


def test_the_slot_and_the_written_out_prompt_are_the_same_fact() -> None:
    slot = fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris")
    written = fl.Fact("The Space Needle is in downtown", subject="The Space Needle", target="Paris")
    assert slot == written
    assert slot.prompt == "The Space Needle is in downtown"
    assert slot.subject_span == (0, 16)


@pytest.mark.parametrize(
    ("prompt", "subject", "span"),
    [
        ("Rome and Rome are", "Rome", (0, 4)),  # repeated: the first
        ("Rome and {} are", "Rome", (9, 13)),  # unless another one is marked
        ("Romeo lived in Rome, and", "Rome", (15, 19)),  # a whole word before a part of one
        ("Romeo went", "Rome", (0, 4)),  # a part of a word when there is nothing else
        ("Everyone loves Zürich", "Zürich", (15, 21)),
        ("In 東京 there is", "東京", (3, 5)),
        ("  {} is", "Rome", (2, 6)),
    ],
)
def test_subject_span(prompt: str, subject: str, span: tuple[int, int]) -> None:
    fact = fl.Fact(prompt, subject=subject)
    assert fact.subject_span == span
    assert fact.prompt[slice(*span)] == subject


def test_white_space_around_the_parts_is_dropped() -> None:
    fact = fl.Fact("{} is in ", subject=" Rome ", target=" Paris ")
    assert (fact.prompt, fact.subject, fact.target) == ("Rome is in", "Rome", "Paris")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"template": "", "subject": "Rome"}, "prompt is empty"),
        ({"template": "   ", "subject": "Rome"}, "prompt is empty"),
        ({"template": "{} is", "subject": " "}, "subject is empty"),
        ({"template": "{} is", "subject": "Rome", "target": ""}, "new object is empty"),
        ({"template": "Paris is", "subject": "Rome"}, "'Rome' is not in the prompt"),
        ({"template": "ROME is", "subject": "Rome"}, "It has 'ROME'"),
        ({"template": "{} and {}", "subject": "Rome"}, "2 times"),
        ({"template": "{} is", "subject": None}, "must be a string"),
        ({"template": "{} is", "subject": "Rome", "target": 3}, "must be a string"),
    ],
)
def test_unusable_facts_say_what_to_do(arguments: dict, message: str) -> None:
    with pytest.raises(fl.FactlensError, match=message):
        fl.Fact(**arguments)
    with pytest.raises(ValueError, match=message):
        fl.Fact(**arguments)


def test_a_prefix_moves_the_subject() -> None:
    fact = fl.Fact("{} is", subject="Rome").with_prefix("Rome. {} ")
    assert fact.subject_span == (fact.prompt.rindex("Rome"), fact.prompt.rindex("Rome") + 4)
