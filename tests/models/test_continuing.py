"""Answers that end inside a character are shown whole, and measured as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import factlens as fl
from factlens.drawing.bars import answers_svg
from factlens.evaluation.scoring import read
from factlens.models.continuing import whole_texts
from factlens.session import Session
from factlens.tracing.captions import caption_of
from factlens.tracing.recipe import code_of
from factlens.widgets.panels import edit_state, locate_state
from factlens.widgets.wire import frame_of
from tests.chained import chain, chained
from tests.models.test_pieces import sentencepiece_like
from tests.support import tokenizer

FACT = fl.Fact("In Paris, the {} is", "Space Needle")
#: What the model says after the prompt's last token, and what is shown of its first token.
SAID = [(" is🗼", "⟨F0 9F⟩", "🗼"), (" is東", "⟨E6 9D⟩", "東"), (" isé a", "⟨C3⟩", "é")]


@pytest.fixture
def tower() -> fl.Model:
    """It completes the prompt with a tower, of three tokens."""
    return chained(chain(tokenizer(), " is🗼"))


@pytest.mark.parametrize(("said", "part", "whole"), SAID)
def test_an_answer_is_shown_up_to_the_end_of_its_character(said: str, part: str, whole: str) -> None:
    model = chained(chain(tokenizer(), said))
    best = model.answers(FACT.prompt, k=1)[0]
    assert best.text == model.token(best.id)
    assert part.startswith(best.text[:-1])
    assert best.whole == best.shown == whole


def test_probabilities_and_tokens_are_those_of_the_measured_token(tower: fl.Model) -> None:
    probabilities = tower.next_token(FACT.prompt)
    top = probabilities.topk(340)
    answers = tower.answers(FACT.prompt, k=340)
    assert [answer.id for answer in answers] == top.indices.tolist()
    assert [answer.probability for answer in answers] == top.values.tolist()
    assert all(answer.whole is None for answer in answers if "⟨" not in answer.text)


def test_nothing_is_computed_for_whole_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    model = chained(chain(tokenizer(), " is near"))
    runs = []
    forward = model.model.forward
    monkeypatch.setattr(model.model, "forward", lambda *args, **kwargs: runs.append(1) or forward(*args, **kwargs))
    assert model.answers(FACT.prompt, k=1)[0].text == " ne"
    assert len(runs) == 1


def test_a_model_that_says_something_else_has_said_bytes() -> None:
    first = tokenizer()("🗼")["input_ids"][0]
    (letter, *_) = tokenizer()("Paris")["input_ids"]
    model = chained({**chain(tokenizer(), " is🗼"), first: letter})
    assert (model.answers(FACT.prompt, k=1)[0].whole, model.answers(FACT.prompt, k=1)[0].shown) == (None, "⟨F0 9F⟩")
    assert fl.trace(model, FACT, samples=2).whole_answer is None


def test_a_model_without_room_has_said_bytes() -> None:
    length = len(tokenizer()(FACT.prompt)["input_ids"])
    for positions, whole in ((length, None), (length + 1, None), (length + 2, "🗼")):
        model = chained(chain(tokenizer(), " is🗼"), positions=positions)
        assert model.answers(FACT.prompt, k=1)[0].whole == whole


def test_byte_fallback() -> None:
    tok = sentencepiece_like()
    model = chained(chain(tok, "is東"), tok)
    best = model.answers("is", k=1)[0]
    assert (best.text, best.whole) == ("⟨E6⟩", "東")


def test_rows_of_any_length_and_number(tower: fl.Model) -> None:
    first = tokenizer()("🗼")["input_ids"][0]
    (letter,) = tokenizer()("a")["input_ids"]
    prompts = [tower.ids_of(text) for text in ("a is", FACT.prompt, "is")] * 25
    answers = [[first], [letter], [letter, first]] * 25
    assert whole_texts(tower, prompts, answers) == ["🗼", None, "a🗼"] * 25
    assert whole_texts(tower, [], []) == []


def test_a_trace_says_what_it_shows_and_what_it_measured(tower: fl.Model, tmp_path: Path) -> None:
    trace = fl.trace(tower, FACT, samples=2)
    ids = tower.ids_of(FACT.prompt)
    with torch.no_grad():
        logits = tower.model(torch.tensor([ids])).logits[0, -1]
    assert trace.answer_ids == (int(logits.argmax()),)
    assert trace.high == pytest.approx(logits.softmax(-1).max().item(), rel=1e-5)
    assert (trace.answer, trace.whole_answer, trace.shown_answer) == ("⟨F0 9F⟩", "🗼", "🗼")
    assert trace.measured == "p(⟨F0 9F⟩ of 🗼)"
    assert "→ '🗼'" in repr(trace)
    caption = caption_of(trace)
    assert "→ “🗼”." in caption
    assert "Measured: its first token, ⟨F0 9F⟩." in caption
    assert "answer=" not in code_of(trace)
    assert "→ 🗼" in trace._svg()
    assert {k: frame_of(trace)[k] for k in ("answer", "answer_part")} == {"answer": "🗼", "answer_part": "⟨F0 9F⟩"}
    again = fl.Trace.load(trace.save(tmp_path / "a.safetensors"))
    assert (again.answer, again.whole_answer) == (trace.answer, trace.whole_answer)


def test_a_cell_is_about_the_token_and_shows_the_character(tower: fl.Model) -> None:
    last = len(tower.ids_of(FACT.prompt)) - 1
    own = fl.details(tower, fl.trace(tower, FACT, samples=2), "mlp", last, 1)
    given = fl.details(tower, fl.trace(tower, FACT, samples=2, answer="🗼"), "mlp", last, 1)
    assert (own.answer, own.whole_answer) == ("⟨F0 9F⟩", "🗼")
    assert given.whole_answer is not None
    assert given.whole_answer.strip() == "🗼"
    assert "⟨F0 9F⟩ of 🗼" in own._repr_html_()
    assert own.lens["clean"][0].text == "⟨F0 9F⟩"
    assert own.to_dict()["whole_answer"] == "🗼"


def test_what_leads_is_shown_whole_when_objects_are_scored(tower: fl.Model) -> None:
    prompts = [FACT.prompt, "Paris is", "Everyone in"]
    readings = read(tower, prompts, [["Paris", "Rome"]] * 3)
    assert [reading.top for reading in readings[:2]] == ["🗼", "🗼"]
    assert readings[2].top == tower.answers(prompts[2], k=1)[0].shown


def test_what_a_model_says_instead_is_one_text(tower: fl.Model) -> None:
    wrong = fl.Fact(FACT.template, FACT.subject, object="Paris")
    assert [one.answer for one in fl.trace_many(tower, [wrong], samples=2)] == ["🗼"]


def test_answers_are_drawn_whole(tower: fl.Model) -> None:
    svg = answers_svg("is", [("before", tower.answers(FACT.prompt, k=3))])
    assert ">🗼</text>" in svg


def test_the_bars_of_a_lens_and_its_old_object(tower: fl.Model) -> None:
    session = Session(tower, FACT)
    try:
        session.start_trace()
        assert session.wait(60)
        text, before, now = session.comparison[0]
        best = tower.next_token(FACT.prompt).max().item()
        assert (text, before, now) == ("🗼", pytest.approx(best), pytest.approx(best))
        assert locate_state(session)["answer"] == "🗼"
        assert locate_state(session)["answer_part"] == "⟨F0 9F⟩"
        assert edit_state(session)["answer"] == "🗼"
    finally:
        session.close()
