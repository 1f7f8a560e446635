"""A session without a view: gestures return at once, work happens on one thread, errors are state."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.session import Session, editing, locating
from tests.support import other_thread_has, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(small_model("gpt2"), FACT)
    yield session
    session.close()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Make every step of a trace wait until the event is set."""
    go, real = threading.Event(), locating.stream

    def stream(*args, **kwargs):
        for update in real(*args, **kwargs):
            yield update
            go.wait(10)

    monkeypatch.setattr(locating, "stream", stream)
    return go


class Reads:
    """In the place of `read_details`: what was asked for, and a gate that a read waits at."""

    def __init__(self) -> None:
        self.cells: list[tuple[str, int, int]] = []
        self.threads: set[str] = set()
        self.go = threading.Event()
        self.go.set()

    def __call__(self, model, trace, kind, token, layer):
        self.cells.append((kind, token, layer))
        self.threads.add(threading.current_thread().name)
        self.go.wait(10)
        if layer == 4:
            raise fl.FactlensError("It cannot be read.")
        return self

    def to_dict(self) -> dict:
        return {"cell": self.cells[-1]}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    reads = Reads()
    monkeypatch.setattr(locating, "read_details", reads)
    return reads


def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_a_trace_fills_while_it_is_computed(session: Session, slow: threading.Event) -> None:
    frames = []
    session.observe(lambda change: frames.append((change.new, threading.current_thread().name)), "frame")
    began = time.monotonic()
    session.start_trace()
    assert time.monotonic() - began < 0.5, "a gesture returns at once"
    until(lambda: session.trace is not None)
    assert session.status == "tracing"
    assert not session.trace.complete
    assert session.trace.high > 0
    slow.set()
    assert session.wait(20)
    assert session.trace.complete
    assert (session.status, session.stopped, session.error) == ("idle", False, None)
    assert {name for _, name in frames} == {"factlens-session"}
    expected = fl.trace(session.model, FACT)
    np.testing.assert_array_equal(session.trace.samples.values, expected.samples.values)


def test_the_answers_are_those_of_the_fact_that_is_traced(session: Session, slow: threading.Event) -> None:
    slow.set()
    session.start_trace()
    assert session.wait(20)
    before = session.comparison
    other = fl.Fact("The {} is", "Louvre")
    best = session.model.next_token(other.prompt)  # now: later the trace has the model to itself
    slow.clear()
    session.start_trace(other.prompt, other.subject)
    until(lambda: session.fact.prompt == other.prompt)
    assert session.status == "tracing"
    assert session.comparison != before  # with the first cells, not at the end, which Stop may never let come
    assert session.comparison[0][2] == pytest.approx(float(best.max()))
    session.stop()
    slow.set()
    assert session.wait(20)
    assert session.comparison[0][2] == pytest.approx(float(best.max()))


def test_stop_keeps_the_partial_grid(session: Session, slow: threading.Event) -> None:
    session.start_trace()
    until(lambda: session.trace is not None)
    session.stop()
    assert session.status == "stopping"
    slow.set()
    assert session.wait(5)
    assert session.stopped
    assert not session.trace.complete
    assert np.isfinite(session.trace.samples.values).any()
    assert session.error is None
    session.start_trace()
    assert session.wait(20)
    assert session.trace.complete
    assert not session.stopped


def test_a_second_trace_is_refused_and_the_first_goes_on(session: Session, slow: threading.Event) -> None:
    session.start_trace()
    until(lambda: session.trace is not None)
    for gesture in (session.start_trace, session.start_edit, session.start_undo):
        gesture()
        assert "Press Stop" in session.error["text"]
    slow.set()
    assert session.wait(20)
    assert session.trace.complete
    assert session.model.edits == ()


@pytest.mark.parametrize(
    ("prompt", "subject", "message"),
    [
        ("", "Rome", "prompt is empty"),
        ("Rome is", "", "subject is empty"),
        ("Rome is", "Paris", "'Paris' is not in the prompt"),
        ("Rome " * 100, "Rome", "at most 64"),
    ],
)
def test_bad_facts_lose_nothing(session: Session, prompt: str, subject: str, message: str) -> None:
    session.start_trace()
    assert session.wait(20)
    trace = session.trace
    session.select("mlp", 2, 3)
    session.start_trace(prompt, subject)
    assert message in session.error["text"]
    assert session.error["place"] == "locate"
    assert isinstance(session.last_error, fl.FactlensError)
    assert (session.trace, session.fact, session.selection["layer"], session.status) == (trace, FACT, 3, "idle")
    session.start_trace()
    assert session.error is None
    assert session.wait(20)


def test_nan_becomes_an_error_and_the_session_lives(session: Session) -> None:
    weight = session.model.blocks[2].ln_1.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float("nan"))
    session.start_trace()
    assert session.wait(20)
    assert "NaN" in session.error["text"]
    with torch.no_grad():
        weight.copy_(kept)
    session.start_trace()
    assert session.wait(20)
    assert session.trace.complete


def test_an_edit_applies_at_the_selected_layer_and_is_undone(session: Session) -> None:
    before = session.model.next_token(FACT.prompt)
    session.start_trace()
    session.wait(20)
    session.select("mlp", 1, 3)
    assert session.edit_layer == 3
    session.start_edit("Seattle")
    assert session.wait(60)
    assert session.error is None
    (edit,) = session.edits
    assert edit.layers == (3,)
    assert session.fact.target == "Seattle"
    texts = [text for text, _, _ in session.comparison]
    assert len(texts) == len(set(texts)) >= 5
    assert any(old != new for _, old, new in session.comparison)
    session.start_undo()
    assert session.wait(20)
    assert session.edits == ()
    assert torch.equal(session.model.next_token(FACT.prompt), before)
    assert all(old == new for _, old, new in session.comparison)


@pytest.mark.parametrize(
    ("target", "layer", "message"),
    [("", None, "new object is empty"), ("Rome", 99, "no layer 99"), ("Rome", "two", "no layer 'two'")],
)
def test_bad_edits_change_nothing(session: Session, target: str, layer: object, message: str) -> None:
    session.start_edit(target, layer)
    session.wait(20)
    assert message in session.error["text"]
    assert session.error["place"] == "edit"
    assert session.model.edits == ()


def test_a_target_that_is_the_answer_already(atlas: fl.Model) -> None:
    session = Session(atlas, fl.Fact("{} is in downtown", "The Space Needle"))
    session.start_edit("Seattle")
    session.wait(20)
    assert "already answers" in session.error["text"]
    assert session.model.edits == ()
    session.close()


def test_undo_without_an_edit(session: Session) -> None:
    session.start_undo()
    assert "nothing to undo" in session.error["text"]


def test_stopping_an_edit_changes_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    real = editing.quiet_edit

    def stopped_edit(*args, stop, **kwargs):
        session.stop()
        return real(*args, stop=stop, **kwargs)

    monkeypatch.setattr(editing, "quiet_edit", stopped_edit)
    session.start_edit("Rome")
    assert session.wait(60)
    assert session.model.edits == ()
    assert session.error is None
    assert session.status == "idle"


@pytest.mark.parametrize(("kind", "token", "layer"), [("no", 1, 1), ("mlp", 99, 1), ("mlp", 1, 99), ("mlp", "1", 1)])
def test_cells_that_do_not_exist_cannot_be_selected(session: Session, kind: str, token: object, layer: object) -> None:
    session.start_trace()
    session.wait(20)
    session.select("state", 0, 0)
    session.select(kind, token, layer)
    assert session.error is not None
    assert session.selection == {"kind": "state", "token": 0, "layer": 0}


def test_any_kind_of_the_trace_can_be_selected_and_no_other(session: Session) -> None:
    session.trace = fl.trace(session.model, FACT, kinds=("severed_mlp", "head.1"), samples=2)
    assert session.select("head.1", 1, 2)
    assert session.selection == {"kind": "head.1", "token": 1, "layer": 2}
    assert session.select("severed_mlp", 1, 2)
    assert not session.select("mlp", 1, 2)
    assert "there are severed_mlp, head.1" in session.error["text"]
    assert session.selection["kind"] == "severed_mlp"


def test_a_selected_cell_is_read(session: Session, reads: Reads) -> None:
    session.start_trace()
    assert session.wait(20)
    assert (session.details, session.reading) == (None, False)
    reads.go.clear()
    began = time.monotonic()
    session.select("mlp", 1, 3)
    assert time.monotonic() - began < 0.5, "a gesture returns at once"
    until(lambda: reads.cells)
    assert (session.details, session.reading, session.status) == (None, True, "idle")
    assert not session.wait(0.05), "a read is work, too"
    reads.go.set()
    assert session.wait(5)
    assert (session.details, session.reading) == ({"cell": ("mlp", 1, 3)}, False)
    assert reads.threads == {"factlens-session"}
    session.selection = None
    assert (session.details, session.reading) == (None, False)


def test_of_many_selections_only_the_first_and_the_last_are_read(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    seen: list[object] = []
    session.observe(lambda change: seen.append(change.new), "details")
    reads.go.clear()
    session.select("mlp", 1, 0)
    until(lambda: reads.cells)
    for token in range(5):
        for layer in range(4):
            session.select("state", token, layer)
    reads.go.set()
    assert session.wait(5)
    assert reads.cells == [("mlp", 1, 0), ("state", 4, 3)]
    assert seen == [{"cell": ("state", 4, 3)}], "what was read in vain is not shown"


def test_nothing_is_read_while_a_trace_is_computed(session: Session, slow: threading.Event, reads: Reads) -> None:
    session.start_trace()
    until(lambda: session.trace is not None)
    session.select("mlp", 1, 0)
    session.select("mlp", 1, 2)
    assert (reads.cells, session.reading) == ([], False)
    session.stop()
    slow.set()
    assert session.wait(10)
    assert session.stopped
    assert reads.cells == [("mlp", 1, 2)], "a stopped trace is read as a complete one is"
    assert session.details == {"cell": ("mlp", 1, 2)}


def test_a_new_trace_does_not_wait_for_a_read_that_nobody_wants(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    with other_thread_has(session.model):
        session.select("mlp", 1, 0)
        assert session.reading
        session.start_trace()
        assert not session.reading
    assert session.wait(20)
    assert reads.cells == []
    assert session.selection is None


def test_a_cell_that_cannot_be_read_loses_nothing(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    trace = session.trace
    session.select("mlp", 1, 4)
    assert session.wait(5)
    assert session.error == {
        "title": "This cell could not be read",
        "text": "It cannot be read.",
        "place": "details",
    }
    assert (session.trace, session.selection["layer"], session.details) == (trace, 4, None)
    assert (session.status, session.reading) == ("idle", False)
    session.select("mlp", 1, 4)
    assert session.wait(5)
    assert len(reads.cells) == 2, "chosen again, it is tried again"
    session.select("mlp", 1, 3)
    assert session.wait(5)
    assert (session.error, session.details) == (None, {"cell": ("mlp", 1, 3)})
    session.select("mlp", 1, 3)
    assert session.wait(5)
    assert len(reads.cells) == 3, "what was read need not be read again"


def test_an_error_of_a_read_that_nobody_wants_is_no_news(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    reads.go.clear()
    session.select("mlp", 1, 4)
    until(lambda: reads.cells)
    session.select("mlp", 1, 3)
    reads.go.set()
    assert session.wait(5)
    assert (session.error, session.details) == (None, {"cell": ("mlp", 1, 3)})


def test_what_was_read_stays_when_the_weights_are_edited(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    session.select("mlp", 1, 3)
    session.wait(5)
    session.start_edit("Seattle")
    assert session.wait(60)
    assert session.edits
    assert reads.cells == [("mlp", 1, 3)]
    assert session.details == {"cell": ("mlp", 1, 3)}


def test_a_cell_of_an_outdated_trace_is_selected_but_not_read(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    session.start_edit("Seattle")
    session.wait(60)
    assert session.outdated
    session.select("mlp", 1, 3)
    assert session.wait(5)
    assert (session.edit_layer, session.details, session.error, reads.cells) == (3, None, None, [])
    session.start_undo()
    assert session.wait(20)
    assert not session.outdated
    assert session.details == {"cell": ("mlp", 1, 3)}, "the weights are the traced ones again"


def test_an_edit_waits_for_the_read_before_it(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    reads.go.clear()
    session.select("mlp", 1, 3)
    session.start_edit("Seattle")
    assert (session.status, session.reading) == ("queued", True)
    reads.go.set()
    assert session.wait(60)
    assert session.edits
    assert session.details == {"cell": ("mlp", 1, 3)}


def test_closing_gives_up_a_read_that_waits_for_the_model(session: Session, reads: Reads) -> None:
    session.start_trace()
    session.wait(20)
    with other_thread_has(session.model):
        session.select("mlp", 1, 0)
        worker = session.worker.thread
        session.close()
        worker.join(2)
        assert not worker.is_alive()
    assert reads.cells == []


def test_two_sessions_on_one_model_take_turns(slow: threading.Event) -> None:
    model = small_model("gpt2")
    first, second = Session(model, FACT), Session(model, FACT)
    first.start_trace()
    until(lambda: first.status == "tracing")
    second.start_trace()
    time.sleep(0.2)
    assert second.status == "queued"
    assert second.message == "waiting for the model"
    second.stop()
    assert second.wait(2), "stop works while waiting for the model"
    assert second.trace is None
    second.start_trace()
    slow.set()
    assert first.wait(20)
    assert second.wait(20)
    np.testing.assert_array_equal(first.trace.samples.values, second.trace.samples.values)
    first.close()
    second.close()


def test_closing_ends_the_thread(session: Session, slow: threading.Event) -> None:
    session.start_trace()
    until(lambda: session.trace is not None)
    worker = session.worker.thread
    session.close()
    slow.set()
    worker.join(5)
    assert not worker.is_alive()


# As it is written -----------------------------------------------------------------------------------------------------


def written(session: Session, prompt: str, subject: str, **options: object) -> fl.Fact:
    session.start_trace(prompt, subject, **options)
    assert session.wait(60)
    assert session.error is None, session.error
    assert session.fact is not None
    return session.fact


@pytest.mark.parametrize(
    "fact",
    [
        FACT,
        fl.Fact("Paris and {} are", "Paris", slot="{}"),
        fl.Fact("x = {{}} # {} is near ", "Eiffel Tower"),
        fl.Fact("{Paris}", span=(1, 6)),
        fl.Fact("Paris\r\nand Paris is", span=(11, 16)),
    ],
    ids=str,
)
def test_what_was_not_touched_is_the_fact_that_it_was(fact: fl.Fact) -> None:
    session = Session(small_model("gpt2"), fact)
    prompt, subject, chat = locating.written_down(fact)
    assert written(session, prompt, subject, chat=chat) == fact
    # What was written down can be changed, and read again wherever there is a way to write it.
    if fact.slot is None:
        assert fl.Fact(prompt, subject).prompt == fact.prompt
    assert written(session, "Paris is near", "Paris").prompt == "Paris is near"
    session.close()


def test_notes_say_what_may_not_be_meant(session: Session) -> None:
    written(session, "The Eiffel Tower is near ", "Eiffel Tower")
    (note,) = session.notes
    assert "ends in white space" in note["text"]
    assert note["offer"] == {"prompt": "The Eiffel Tower is near", "subject": "Eiffel Tower", "target": "Seattle"}
    written(session, note["offer"]["prompt"], note["offer"]["subject"])
    assert session.notes == ()


def test_an_ambiguous_prompt_brings_its_readings(session: Session) -> None:
    session.start_trace("{} and Paris", "Paris")
    readings = session.error["readings"]
    assert [reading["slot"] for reading in readings] == ["{}", None]
    for reading in readings:
        fact = written(session, reading["prompt"], "Paris", slot=reading["slot"])
        start, stop = fact.subject_span
        assert reading["shown"] == f"{fact.prompt[:start]}⟦Paris⟧{fact.prompt[stop:]}"


def test_a_chat_keeps_its_other_turns_while_its_question_changes() -> None:
    model = small_model("gpt2")
    model.tokenizer.chat_template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"
    session = Session(model, fl.Fact.chat("Where is Paris?", "Paris", system="Be brief."))
    assert session.fact.prompt == "<system>Be brief.<user>Where is Paris?<assistant>"
    assert locating.written_down(session.fact) == ("Where is Paris?", "Paris", True)
    fact = written(session, "Is {} far?", "Paris", chat=True)
    assert fact.prompt == "<system>Be brief.<user>Is Paris far?<assistant>"
    assert written(session, "Is Paris far?", "Paris", chat=True) == fact
    assert written(session, "Is Paris far?", "Paris").prompt == "Is Paris far?"
    assert written(session, "Is Paris far?", "Paris", chat=True).prompt == "<user>Is Paris far?<assistant>"
    session.close()


def test_an_exact_new_object_stays_exact(session: Session) -> None:
    session.spell(fl.Exactly("Seattle"))
    exactly, spelled = session.spelt["pieces"], session.model.tokenizer.tokenize("Seattle")
    assert len(exactly) == len(spelled)
    session.spell("Seattle")
    assert session.spelt["pieces"] != exactly
    session.method = "ft"
    session.start_edit(fl.Exactly("Seattle"), 1)
    assert session.wait(60)
    assert session.error is None
    assert session.edits[0].facts[0].target == fl.Exactly("Seattle") == session.target
    session.spell(" ")
    assert session.spelt["pieces"] == ()
