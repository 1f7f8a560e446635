"""Facts: which occurrence of the subject is meant, and what is refused."""

from __future__ import annotations

import ast
import json
from dataclasses import asdict
from random import Random

import pytest

import factlens as fl
from factlens.errors import AmbiguousPrompt
from factlens.facts import read_fact
from factlens.slots import escaped


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


def test_white_space_stays_where_it_was_written() -> None:
    fact = fl.Fact("{} is in ", subject=" Rome ", target=" Paris ")
    assert (fact.prompt, fact.subject, fact.target) == (" Rome  is in ", "Rome", " Paris ")
    spelled = fl.Fact("Here Rome is in\n", subject=" Rome ")
    assert (spelled.prompt, spelled.subject, spelled.subject_span) == ("Here Rome is in\n", "Rome", (5, 9))
    assert fl.Fact("x = {{}} in Rome now", subject=" Rome").prompt == "x = {} in Rome now"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"template": "", "subject": "Rome"}, "prompt is empty"),
        ({"template": "   ", "subject": "Rome"}, "prompt is empty"),
        ({"template": "{} is", "subject": " "}, "subject is empty"),
        ({"template": "{} is", "subject": "Rome", "target": ""}, "new object is empty"),
        ({"template": "Paris is", "subject": "Rome"}, "'Rome' is not in the prompt"),
        ({"template": "ROME is", "subject": "Rome"}, "write subject='ROME' if that is meant"),
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


LOOK_ALIKES = {
    "composed and decomposed": ("Zu\u0308rich", "Z\u00fcrich", "U+00FC LATIN SMALL LETTER U WITH DIAERESIS"),
    "a space that breaks no line": ("Space\u00a0Needle", "Space Needle", "U+0020 SPACE"),
    "a narrow one": ("Space\u202fNeedle", "Space Needle", "U+0020 SPACE"),
    "an apostrophe": ("St John\u2019s", "St John's", "U+0027 APOSTROPHE"),
    "a dash": ("Aix\u2010en\u2010Provence", "Aix-en-Provence", "U+002D HYPHEN-MINUS"),
    "quotation marks": ("the \u201cBean\u201d", 'the "Bean"', "U+0022 QUOTATION MARK"),
    "nothing to be seen": ("Par\u200bis", "Paris", "nothing where the prompt has U+200B ZERO WIDTH SPACE"),
    "a mark of direction": ("\u05e9\u200f\u05dc", "\u05e9\u05dc", "nothing where the prompt has U+200F"),
    "a ligature": ("\ufb01eld", "field", "U+0066 LATIN SMALL LETTER F"),
    "wide letters": ("\uff30aris", "Paris", "U+0050 LATIN CAPITAL LETTER P"),
    "several marks": ("Vie\u0323\u0302t Nam", "Vi\u1ec7t Nam", "U+1EC7"),
    "a mark at the end": ("cafe\u0301", "caf\u00e9", "U+00E9"),
}


@pytest.mark.parametrize(("written", "wanted", "name"), LOOK_ALIKES.values(), ids=LOOK_ALIKES)
@pytest.mark.parametrize("turned", [False, True])
def test_what_only_looks_like_the_subject_is_named(written: str, wanted: str, name: str, turned: bool) -> None:
    if turned:
        written, wanted = wanted, written
    prompt = f"Everyone loves {written}, which is in"
    with pytest.raises(fl.FactlensError, match="only looks like it") as error:
        fl.Fact(prompt, subject=wanted)
    said = str(error.value)
    assert name.split(" where")[0] in said
    python = said.split("(in Python ")[1].removesuffix(").")
    assert python.isascii()
    seen = ast.literal_eval(python)
    assert f"as it stands in the prompt: {seen} (" in said
    fact = fl.Fact(prompt, subject=seen)
    assert (fact.prompt, fact.subject) == (prompt, written)


def test_what_looks_otherwise_is_no_look_alike() -> None:
    for prompt, subject in (("Zurich is", "Z\u00fcrich"), ("Rome is", "Roma"), ("\u200b is", "\u200d"), ("a", "b")):
        with pytest.raises(fl.FactlensError, match="is not in the prompt") as error:
            fl.Fact(prompt, subject=subject)
        assert "looks like" not in str(error.value)


# The slot ------------------------------------------------------------------------------------------------------------

LITERAL = {
    "a slot that is text": (
        "capitals = {}\n# The capital of France is",
        "France",
        "capitals = {{}}\n# The capital of {} is",
    ),
    "two of them": ("{} {} France", "France", "{{}} {{}} {}"),
    "in code": ("print(f'{}'.format({})) France", "France", "print(f'{{}}'.format({{}})) {}"),
    "doubled braces": ("{{ name }} lives in France", "France", "{{ name }} lives in {}"),
    "escaped ones": ("{{}} in France", "France", "{{{}}} in {}"),
    "JSON": ('{"a": {}, "country": "France"}', "France", '{"a": {{}}, "country": "{}"}'),
    "LaTeX": (r"\text{France}", "France", None),
    "braces before it": ("{France is", "France", "{{} is"),
    "braces behind it": ("France} is", "France", "{}} is"),
    "single ones": ("a } b { c France", "France", "a } b { c {}"),
}


@pytest.mark.parametrize(("text", "subject", "template"), LITERAL.values(), ids=LITERAL)
def test_every_text_can_be_written(text: str, subject: str, template: str | None) -> None:
    start = text.index(subject)
    fact = fl.Fact(text, span=(start, start + len(subject)))
    assert (fact.prompt, fact.subject) == (text, subject)
    assert fact.subject_span == (start, start + len(subject))
    assert fact.template == template or template is None
    assert fl.Fact(fact.template, subject, slot=fact.slot) == fact
    marked = text[:start] + "⟪S⟫" + text[start + len(subject) :]
    assert fl.Fact(marked, subject, slot="⟪S⟫") == fact
    assert eval(repr(fact), {"Fact": fl.Fact}) == fact
    assert read_fact(json.loads(json.dumps(asdict(fact)))) == fact


AMBIGUOUS = {
    "a literal and the subject": ("capitals = {}\n# The capital of France is", "France", 2),
    "a slot, and the subject before it": ("Rome and {} are", "Rome", 2),
    "two slots": ("{} and {}", "Rome", 2),
    "two slots and the subject": ("{} and {} in Rome", "Rome", 3),
    "the subject in braces": ("f {} {Rome}", "Rome", 2),
    "the subject in braces before a slot": ("{Rome}{}", "Rome", 2),
    "two slots and the subject in braces": ("{}{}{Rome}", "Rome", 3),
}


@pytest.mark.parametrize(("text", "subject", "count"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_ambiguous_prompt_is_refused_with_all_its_readings(text: str, subject: str, count: int) -> None:
    with pytest.raises(AmbiguousPrompt) as error:
        fl.Fact(text, subject=subject)
    assert len(error.value.readings) == count
    prompts = []
    for shown, template, slot in error.value.readings:
        assert repr(shown) in str(error.value)
        assert repr(template) in str(error.value)
        fact = fl.Fact(template, subject, slot=slot)
        start, stop = fact.subject_span
        assert shown == f"{fact.prompt[:start]}⟦{subject}⟧{fact.prompt[stop:]}"
        prompts.append((fact.prompt, fact.subject_span))
    assert len(set(prompts)) == count


_ALPHABET = "{}{}{}{} aB\n.東é"


@pytest.mark.parametrize("seed", range(20))
def test_the_prompt_is_the_text_whatever_the_text(seed: int) -> None:
    random = Random(seed)
    for _ in range(300):
        text = "".join(random.choices(_ALPHABET, k=random.randint(1, 14)))
        start = random.randrange(len(text))
        stop = random.randint(start + 1, len(text))
        subject = text[start:stop].strip()
        if not subject:
            continue
        fact = fl.Fact(text, span=(start, stop))
        assert fact.prompt == text
        assert fact.prompt[slice(*fact.subject_span)] == fact.subject == subject
        assert fl.Fact(fact.template, fact.subject, slot=fact.slot) == fact
        for other in (fact.with_prefix(text), fact.with_subject("Rome"), fact.with_target("Paris")):
            assert other.prompt[slice(*other.subject_span)] == other.subject
        assert fact.with_prefix(text).prompt == text + text
        assert escaped(text) == text or "{}" in text
        # Spelled out, with what looks like a slot written as text.
        if " " not in subject and (found := escaped(text)):
            spelled = fl.Fact(found, subject)
            assert spelled.prompt == text


def test_a_prompt_of_the_published_form_is_what_it_was() -> None:
    fact = fl.Fact("The mother tongue of {} is", "Danielle Darrieux")
    assert fact == fl.Fact("The mother tongue of {} is", "Danielle Darrieux", slot="{}")
    assert repr(fact) == (
        "Fact(template='The mother tongue of {} is', subject='Danielle Darrieux', target=None, object=None)"
    )
    # Files of earlier versions know four fields.
    assert read_fact({"template": fact.template, "subject": fact.subject, "target": None, "object": None}) == fact


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"template": "Rome is", "subject": "Rome", "slot": "[S]"}, "stands nowhere"),
        ({"template": "[S] and [S]", "subject": "Rome", "slot": "[S]"}, "stands 2 times"),
        ({"template": "aaa", "subject": "Rome", "slot": "aa"}, "stands 2 times"),
        ({"template": "{} is", "subject": "Rome", "slot": " "}, "marker of the subject's place is empty"),
        ({"template": "{} is", "subject": "Rome", "slot": 3}, "slot of a fact must be a string"),
        ({"template": "Rome is", "span": (0, 40)}, "from 0 to 7"),
        ({"template": "Rome is", "span": (3, 3)}, "span must be"),
        ({"template": "Rome is", "span": "04"}, "span must be"),
        ({"template": "Rome is", "span": (0, 4), "subject": "Paris"}, "not of 'Paris'"),
        ({"template": "Rome is", "span": (0, 4), "slot": "{}"}, "given twice"),
        ({"template": "Rome  is", "span": (4, 6)}, "nothing but white space"),
        ({"template": "Rome is", "subject": "Rome", "target": fl.Exactly}, "must be a string"),
        ({"template": "Rome is", "subject": "Rome", "conversation": "chat"}, "conversation must be"),
    ],
)
def test_a_place_that_is_none(arguments: dict, message: str) -> None:
    with pytest.raises(fl.FactlensError, match=message):
        fl.Fact(**arguments)
