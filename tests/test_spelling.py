"""The one rule by which an answer is spelled behind a prompt, and the exact form."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict

import pytest

import factlens as fl
from factlens.models.encoding import encode_option
from factlens.spelling import calls_for_space, continuation, other_spelling, plainly, read_wording, spelled

SPACE = {
    "a word": ("The Space Needle is in", "Seattle"),
    "a comma": ("In France,", "Paris"),
    "a colon": ("Answer:", "Paris"),
    "a full stop": ("It is old.", "Paris"),
    "a question mark": ("Where is it?", "Paris"),
    "a closing bracket": ("Paris (France)", "is"),
    "a closing quote": ('He said "Paris"', "is"),
    "a closing quote of print": ("He said “Paris”", "is"),
    "a closing guillemet": ("Il dit «Paris»", "est"),
    "the end of bold": ("the **best**", "city"),
    "an apostrophe at the end": ("the dogs'", "home"),
    "a per cent sign": ("about 20%", "of"),
    "an equals sign with room": ("2 + 2 =", "4"),
    "an arrow with room": ("France ->", "Paris"),
    "a double arrow with room": ("x =>", "y"),
    "a dash with room": ("Paris –", "France"),
    "times, with room": ("2 *", "3"),
    "a list's dash": ("\n-", "Paris"),
    "a digit": ("in the year 19", "Paris"),
    "letters with marks": ("Zu\u0308", "Paris"),
    "a mark nobody sees": ("is\u200f", "Paris"),
    "Chinese after English": ("The capital of China is", "北京"),
    "English after Chinese": ("中国的首都是", "Beijing"),
    "Korean, which has spaces": ("한국의 수도는", "서울"),
    "Arabic": ("عاصمة فرنسا هي", "باريس"),
    "Russian": ("Столица Франции", "Париж"),
    "a name with a dot first": ("It runs on", ".NET"),
}
NONE = {
    "a blank": ("The Space Needle is in ", "Seattle"),
    "a line break": ("Question?\n", "Paris"),
    "a tab": ("city\t", "Paris"),
    "no-break space": ("is\u00a0", "Paris"),
    "an ideographic space": ("是\u3000", "Paris"),
    "an opening quote": ('The capital of France is "', "Paris"),
    "an opening quote of print": ("The capital of France is “", "Paris"),
    "a low opening quote": ("Die Hauptstadt ist „", "Paris"),
    "a guillemet": ("La capitale est «", "Paris"),
    "a single opening quote": ("The capital of France is '", "Paris"),
    "a quote in brackets": ('(the "', "Paris"),
    "a quote of code": ('city = "', "Paris"),
    "a quote of code without room": ('city="', "Paris"),
    "a backtick": ("The command is `", "ls"),
    "bold": ("The capital is **", "Paris"),
    "an opening bracket": ("Paris (", "France"),
    "a square bracket": ("[", "1"),
    "a brace": ("{", "x"),
    "an equals sign": ("2+2=", "4"),
    "a slash": ("https://", "factlens"),
    "a hyphen": ("Jean-", "Paul"),
    "a tag": ("<b>", "Paris"),
    "a dollar sign": ("It costs $", "3"),
    "a number sign": ("#", "1"),
    "an at sign": ("write to @", "me"),
    "an inverted question mark": ("¿", "Qué"),
    "Chinese": ("中国的首都是", "北京"),
    "Japanese": ("日本の首都は", "東京"),
    "katakana": ("フランスの首都は", "パリ"),
    "Thai": ("เมืองหลวงคือ", "ปารีส"),
    "Khmer": ("រដ្ឋធានី", "ភ្នំពេញ"),
    "a wide colon": ("答案：", "Paris"),
    "a wide bracket": ("首都「", "北京"),
    "the very beginning": ("", "Paris"),
    "a comma as the answer": ("Paris", ","),
    "a full stop as the answer": ("Paris", "."),
    "a wide full stop": ("北京", "。"),
    "white space as the answer": ("Paris", "\n"),
}


@pytest.mark.parametrize(("prompt", "answer"), SPACE.values(), ids=SPACE)
def test_a_space_where_the_text_calls_for_one(prompt: str, answer: str) -> None:
    assert calls_for_space(prompt, answer)
    assert continuation(prompt, answer) == f" {answer}"
    assert continuation(prompt, f" {answer}") == f" {answer}", "one of its own is enough"
    assert other_spelling(prompt, answer) == answer
    assert spelled(prompt, f" {answer}") == answer
    assert spelled(prompt, answer) == fl.Exactly(answer)


@pytest.mark.parametrize(("prompt", "answer"), NONE.values(), ids=NONE)
def test_none_where_it_does_not(prompt: str, answer: str) -> None:
    assert continuation(prompt, answer) == answer
    if answer.strip():
        assert spelled(prompt, answer) == answer
    other = other_spelling(prompt, answer)
    assert other is None if not prompt or prompt[-1].isspace() or answer.isspace() else other == f" {answer}"


@pytest.mark.parametrize(("prompt", "answer"), [*SPACE.values(), *NONE.values()])
def test_an_exact_answer_is_taken_as_it_is(prompt: str, answer: str) -> None:
    for text in (answer, f" {answer}", f"{answer} "):
        assert continuation(prompt, fl.Exactly(text)) == text
    for text in (answer, f" {answer}"):
        assert continuation(prompt, spelled(prompt, text)) == text


def test_what_is_exact_stays_so() -> None:
    exact = fl.Exactly("Paris")
    assert (str(exact), f"{exact}", repr(exact)) == ("Paris", "Paris", "Exactly('Paris')")
    assert exact != "Paris"
    assert exact == fl.Exactly("Paris")
    assert len({exact, fl.Exactly("Paris"), "Paris"}) == 2
    assert pickle.loads(pickle.dumps(exact)) == exact
    for wording in (exact, fl.Exactly(" \n"), "Paris", " Paris"):
        assert read_wording(json.loads(json.dumps(plainly(wording)))) == wording
    fact = fl.Fact("{} is in", "The Space Needle", target=exact, object="Seattle")
    assert json.loads(json.dumps(asdict(fact)))["target"] == {"exactly": "Paris"}


@pytest.mark.parametrize("wrong", ["", None, 3, ["Paris"], "\ud800"])
def test_what_cannot_be_exact(wrong: object) -> None:
    with pytest.raises(fl.FactlensError, match="exactly"):
        fl.Exactly(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [3, None, {"exactly": 3}, {"exactly": ""}, {"exact": "x"}, {"exactly": "x", "y": 1}, []]
)
def test_a_file_that_holds_no_wording(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^it"):
        read_wording(wrong)


def test_published_prompts_and_objects_get_the_space_that_the_published_code_puts_there() -> None:
    """``prompt.format(subject) + " " + target``, as in the code of ROME and MEMIT, on prompts of their kind."""
    from tests.support import tokenizer

    records = fl.load_records("atlas-facts")
    for record in records:
        for probe in record.checks.probes:
            for answer in (probe.old, probe.new):
                assert continuation(probe.prompt, answer) == f" {answer}"
    model_like = tokenizer()
    for record in records[:50]:
        text = f"{record.fact.template.format(record.fact.subject)} {record.fact.target}"
        prompt, target = encode_option(model_like, record.fact.prompt, record.fact.target or "")
        assert [*prompt, *target] == model_like(text)["input_ids"]
        assert list(prompt) == model_like(record.fact.template.format(record.fact.subject))["input_ids"]
    questions = (
        "What university did Watts Humphrey attend?",
        "When was it, in 1998,",
        "The answer:",
        'the "Queen Mary"',
    )
    for prompt in questions:
        assert continuation(prompt, "Illinois") == " Illinois"
