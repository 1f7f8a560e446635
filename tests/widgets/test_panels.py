"""Each panel watches the part of the session that it shows: all that its state is made of, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import factlens as fl
from factlens.session import Session
from factlens.widgets.panels import DetailsPanel, EditPanel, JudgePanel, LocatePanel, Panel
from factlens.widgets.watch import Watch
from tests.support import small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")
CELL = {"kind": "mlp", "token": 1, "layer": 2}
PANELS = (LocatePanel, EditPanel, DetailsPanel, JudgePanel)


class Watched(Session):
    """A session that notes which of its traits are read."""

    def __init__(self, *args: Any) -> None:
        self.read: set[str] = set()
        super().__init__(*args)

    def __getattribute__(self, name: str) -> Any:
        if name in type(self)._traits:
            self.read.add(name)
        return super().__getattribute__(name)


@pytest.fixture(scope="module")
def used() -> Iterator[Watched]:
    """Everything has been done with it, so that every part of every state is there."""
    session = Watched(small_model("gpt2"), FACT)
    session.start_trace()
    assert session.wait(60)
    assert session.select(**CELL)
    session.choose_method("ft")
    session.start_edit("Rome", 1, {"steps": 1, "learning_rate": 0.001})
    assert session.wait(60)
    session.start_judge()
    assert session.wait(60)
    session.add_prompt("")
    assert all((session.edits, session.judgement, session.details, session.error, session.comparison))
    yield session
    session.close()


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_watches_all_that_its_state_is_made_of(used: Watched, panel: type[Panel]) -> None:
    used.read.clear()
    panel.state_of(used)
    assert used.read <= set(panel.watched) <= set(Session.class_trait_names())


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_watches_nothing_else(used: Watched, panel: type[Panel]) -> None:
    used.read.clear()
    panel.state_of(used)
    # A trace fills up in place, and `frame` says when; a calibration lies on disk, and `calibrations` says when.
    assert set(panel.watched) - used.read <= {"frame", "calibrations"}


def test_what_is_watched_is_shown_again_only_when_it_has_changed() -> None:
    session = Session(small_model("gpt2"), FACT)
    shown: list[tuple[float, str]] = []
    watch = Watch(session, ("progress", "message"), lambda now: shown.append((now.progress, now.message)))
    session.observe(lambda _change: watch.look())
    watch.look()
    session.status = "editing"
    session.frame += 1
    assert shown == [(0.0, "")]
    with session.hold_trait_notifications():
        session.progress, session.message = 0.5, "half"
    assert shown == [(0.0, ""), (0.5, "half")], "once, with both in place"
    session.progress = 0.6
    assert len(shown) == 3
    session.close()


def test_two_traces_are_not_compared_cell_by_cell() -> None:
    session = Session(small_model("gpt2"), FACT)
    shown: list[object] = []
    watch = Watch(session, ("trace",), lambda now: shown.append(now.trace))
    traces = [fl.trace(session.model, FACT, kinds=("mlp",), samples=1) for _ in range(2)]
    for trace in traces:
        session.trace = trace
        watch.look()
        watch.look()
    assert [one is two for one, two in zip(shown, traces, strict=True)] == [True, True]
    session.close()


def test_other_panels_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lens = fl.Lens(small_model("gpt2"), FACT)
    built: list[str] = []
    for panel in PANELS:
        real, name = panel.state_of, panel.__name__
        monkeypatch.setattr(
            panel, "state_of", staticmethod(lambda now, real=real, name=name: built.append(name) or real(now))
        )
    lens.session.spell("Rom")
    assert built == ["EditPanel"]
    built.clear()
    lens.session.own = ("Paris is",)
    assert built == ["JudgePanel"]
    built.clear()
    lens.session.message = "half"
    assert built == ["LocatePanel"]
    lens.close()
