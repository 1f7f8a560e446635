"""What long work says while it runs, in the panel that has started it, and how soon Stop ends it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import factlens as fl
from factlens import bar
from factlens.session import Session
from tests.editing.made import FACT
from tests.support import small_model

PHASES = {
    "looking where the model keeps facts": "edit",
    "second moments of layer": "edit",
    "optimising v*": "edit",
    "asking ": "judge",
    "letting it write on with the original": "judge",
    "letting it write on with the edits": "judge",
}


@pytest.fixture(autouse=True)
def nothing_collected_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No second moments of an earlier test: each has to collect its own."""
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path))


def started(session: Session, place: str) -> None:
    if place == "judge":
        fl.edit(session.model, FACT, method="ft", layers=1, steps=1)
        assert session.wait(60)
        session.start_judge()
    else:
        session.start_edit("Rome")


@pytest.mark.parametrize("phase", PHASES)
def test_stop_ends_work_before_the_next_block_of_the_model(phase: str) -> None:
    model = small_model("gpt2")
    session = Session(model, FACT)
    pressed, passed = threading.Event(), []

    def press(change) -> None:
        if change["new"].startswith(phase):
            session.stop()
            pressed.set()

    def count(*_: object) -> None:
        if pressed.is_set() and session.status != "idle":
            passed.append(1)

    session.observe(press, "message")
    for block in model.blocks:
        block.register_forward_hook(count)
    before = len(model.edits) + (PHASES[phase] == "judge")
    started(session, PHASES[phase])
    assert session.wait(120)
    assert pressed.is_set()
    assert len(passed) <= 1
    assert (session.error, session.status, session.place) == (None, "idle", "")
    assert len(model.edits) == before
    assert session.judgement is None
    session.close()


@pytest.mark.parametrize(("place", "stages"), [("edit", 5), ("judge", 4)])
def test_work_says_where_it_was_asked_for_and_its_bar_never_goes_back(place: str, stages: int) -> None:
    session = Session(small_model("gpt2"), FACT)
    seen: list[tuple[str, float, str]] = []
    session.observe(lambda _change: seen.append((session.place, session.progress, session.message)), "message")
    started(session, place)
    assert session.wait(120)
    assert session.error is None
    here = [one for one in seen if one[0] == place and one[2] not in ("", "waiting for the model")]
    shares = [share for _, share, _ in here]
    assert shares == sorted(shares)
    assert len(dict.fromkeys(words.split(",")[0] for *_, words in here)) == stages
    assert (session.place, session.message) == ("", "")
    session.close()


def test_nothing_in_a_session_shows_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(bar, "LATE", 0.0)
    monkeypatch.setattr(bar, "import_module", opened.append)
    session = Session(small_model("gpt2"), FACT)
    session.start_trace()
    assert session.wait(60)
    session.start_edit("Rome", 1)
    assert session.wait(60)
    session.start_judge()
    assert session.wait(60)
    assert session.error is None
    assert opened == []
    session.close()
