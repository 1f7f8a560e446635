"""What a lens shows is outdated by other edits of the same label, and not by the same from a file."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.widgets.panels import details_state, judge_state
from tests.editing.made import FACT
from tests.models.places import SAMPLES, Place, session_of


def test_a_trace_in_the_lens_is_outdated_by_another_edit_of_its_label(place: Place) -> None:
    place.put(place.first)
    session = session_of(place.model)
    session.take(fl.trace(place.model, FACT, **SAMPLES))
    assert not session.outdated
    place.put(place.second)
    assert session.outdated
    assert details_state(session)["outdated"]
    place.put(place.again)
    assert not session.outdated
    session.close()


def test_checks_in_the_lens_are_outdated_by_another_edit_of_their_label(place: Place) -> None:
    place.put(place.first)
    session = session_of(place.model)
    session.start_judge()
    assert session.wait(60)
    assert session.error is None
    assert session.judgement["edit_ids"] == [place.first.id]
    for edit, outdated in ((place.first, False), (place.second, True), (place.again, False)):
        session.start_edits([edit])
        assert session.wait(60)
        assert session.error is None
        assert judge_state(session)["outdated"] is outdated
    session.close()


def test_the_picture_in_the_notebook_follows_the_edits_content(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from factlens.widgets import snapshot

    sent: list[str] = []

    def publish(_uid: str, html: str, *, update: bool) -> bool:
        sent.append(html)
        return True

    monkeypatch.setattr(snapshot, "_publish", publish)
    picture = snapshot.Snapshot("1")
    picture.show(None, (place.first,))
    picture.update(None, (place.again,))
    assert len(sent) == 1
    picture.update(None, (place.second,))
    assert place.second.id[:8] in sent[1]
