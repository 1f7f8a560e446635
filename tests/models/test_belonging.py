"""Whatever was computed on some weights goes with these weights only: the base by fingerprint, the edits by content."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from traitlets import TraitError

import factlens as fl
from factlens.errors import WeightsChanged, WrongModel
from factlens.evaluation import Report
from factlens.models.belonging import Weights, check_belongs, edit_id
from factlens.moments import SecondMoment
from factlens.moments.cache import Key
from factlens.reproduce.fig2 import traces
from factlens.reproduce.folder import Folder
from factlens.session import Session
from factlens.tracing import Comparison, Trace, stream
from factlens.tracing.captions import caption_of
from factlens.tracing.recipe import code_of
from factlens.widgets.wire import comparison_of
from tests.editing.made import FACT
from tests.models.places import OTHER, RECORD, SAMPLES, Place, report_of, session_of


def stopped(model: fl.Model, fact: fl.Fact = FACT) -> Trace:
    """A trace that is not complete."""
    return next(stream(model, fact, memory=1, **SAMPLES)).trace  # type: ignore[arg-type]


def raised(session: Session) -> None:
    """Raise what a session shows instead."""
    assert session.wait(60)
    error, session.last_error = session.last_error, None
    session.close()
    if error is not None:
        assert session.error is not None
        assert session.error["text"] == str(error)
        raise error


def resume_in_a_session(model: fl.Model, trace: Trace) -> None:
    session = session_of(model)
    with session.reporting("locate", "not shown"):
        session.take(trace)
    if session.last_error is None:
        session.start_resume()
    raised(session)


def opened(model: fl.Model, trace: Trace, folder: Path) -> None:
    session = session_of(model)
    session.open(trace.save(folder / "opened.safetensors").read_bytes())
    raised(session)


def set_on_a_lens(model: fl.Model, trace: Trace) -> None:
    lens = fl.Lens(model)
    try:
        lens.trace = trace
    except TraitError as error:
        # traitlets knows no other error; ours is behind it.
        raise error.__cause__ or error from None
    finally:
        lens.close()


def average_of(model: fl.Model, trace: Trace) -> None:
    """Average a trace with one of the present weights."""
    fl.average([fl.trace(model, OTHER, **SAMPLES), trace])


def joined(model: fl.Model, report: Report) -> None:
    others = fl.evaluate(model, [replace(RECORD, name="another")], method="ft", steps=1, layers=2, generate=False)
    Report.joined([others, report])


def whole(model: fl.Model, _folder: Path) -> Trace:
    return fl.trace(model, FACT, **SAMPLES)


def saved(model: fl.Model, folder: Path) -> Trace:
    return Trace.load(stopped(model).save(folder / "part.safetensors"))


Make, Use = Callable[[fl.Model, Path], Any], Callable[[fl.Model, Any, Path], object]
#: What is made on some weights, and what is done with it later.
CARRIERS: dict[str, tuple[Make, Use]] = {
    "resume": (lambda model, _: stopped(model), lambda model, trace, _: fl.resume(model, trace)),
    "resume a file": (saved, lambda model, trace, _: fl.resume(model, trace)),
    "details": (whole, lambda model, trace, _: fl.details(model, trace, "mlp", 2, 1)),
    "average": (whole, lambda model, trace, _: average_of(model, trace)),
    "resume in the lens": (lambda model, _: stopped(model), lambda model, trace, _: resume_in_a_session(model, trace)),
    "join reports": (report_of, lambda model, report, _: joined(model, report)),
}
#: What does not depend on the edits in force, and is only refused by another model.
UNEDITED: dict[str, tuple[Make, Use]] = {
    "open in the lens": (whole, lambda model, trace, folder: opened(model, trace, folder)),
    "set in the lens": (whole, lambda model, trace, _: set_on_a_lens(model, trace)),
    "moments of an edit": (
        lambda model, _: SecondMoment.identity_matrix(model, 1),
        lambda model, moment, _: fl.edit(model, OTHER, layers=1, steps=1, moments=moment, apply=False),
    ),
    "moments of the cache": (
        lambda model, _: replace(SecondMoment.identity_matrix(model, 1), sequence=16, asked=9),
        lambda model, moment, _: Key(model.fingerprint, 192, 1, moment.corpus, 9, "float32", 16).check(moment),
    ),
    "moments added up": (
        lambda model, _: moment_with(model, 3),
        lambda model, moment, _: moment_with(model, 5) + moment,
    ),
}


def moment_with(model: fl.Model, count: int) -> SecondMoment:
    one = SecondMoment.identity_matrix(model, 1)
    return SecondMoment(count * one.total, count, 1, model.fingerprint, f"{count} words", "float32", 16)


@pytest.mark.parametrize("name", CARRIERS)
def test_edits_of_one_label_are_not_the_same_weights(place: Place, name: str) -> None:
    make, use = CARRIERS[name]
    place.put(place.first)
    carrier = make(place.model, place.folder)
    for edits in ((place.second,), (), (place.first, place.second)):
        place.put(*edits)
        with pytest.raises(WrongModel, match=rf"\[{place.first.id[:8]}\]") as caught:
            use(place.model, carrier, place.folder)
        assert all(f"[{edit.id[:8]}]" in str(caught.value) for edit in edits)
        assert edits or "no edits" in str(caught.value)
    place.put(place.first)
    use(place.model, carrier, place.folder)


@pytest.mark.parametrize("name", CARRIERS)
def test_their_order_counts(place: Place, name: str) -> None:
    make, use = CARRIERS[name]
    place.put(place.first, place.second)
    carrier = make(place.model, place.folder)
    place.put(place.second, place.first)
    with pytest.raises(WrongModel):
        use(place.model, carrier, place.folder)


def use_after(place: Place, edit: fl.Edit, make: Make, use: Use) -> None:
    """Make something with the first edit in force, and use it with another in its place."""
    place.put(place.first)
    carrier = make(place.model, place.folder)
    place.put(edit)
    use(place.model, carrier, place.folder)


@pytest.mark.parametrize("name", CARRIERS)
def test_the_edit_from_its_file_is_the_same(place: Place, name: str) -> None:
    use_after(place, place.again, *CARRIERS[name])


@pytest.mark.parametrize("name", {**CARRIERS, **UNEDITED})
def test_another_model_is_named_in_the_same_words_everywhere(place: Place, name: str) -> None:
    make, use = {**CARRIERS, **UNEDITED}[name]
    carrier = make(place.other, place.folder)
    with pytest.raises(WrongModel) as caught:
        use(place.model, carrier, place.folder)
    words = (
        rf"belongs to .*\(fingerprint {place.other.fingerprint}\), not to .*\(fingerprint {place.model.fingerprint}\)\."
    )
    assert re.search(words, str(caught.value)), caught.value
    assert re.search("Load the model that it belongs to|Keep what belongs to different models", str(caught.value))
    use(place.other, make(place.other, place.folder), place.folder)


@pytest.mark.parametrize("name", UNEDITED)
def test_what_is_taken_on_the_base_goes_with_any_edits(place: Place, name: str) -> None:
    use_after(place, place.second, *UNEDITED[name])


@pytest.mark.parametrize(
    ("then", "now", "advice"),
    [
        ("", "a", r"Undo one \[aaaaaaaa\], or trace again\."),
        ("a", "", r"Apply one \[aaaaaaaa\], or"),
        ("a", "b", r"Undo one \[bbbbbbbb\] and apply one \[aaaaaaaa\], or"),
        ("ab", "aab", r"Undo one \[aaaaaaaa\], or"),
        ("ab", "ba", r"Put the edits into that order .*, or"),
        ("abcdefgh", "", "and 2 more, or"),
    ],
)
def test_the_message_says_what_to_do(then: str, now: str, advice: str) -> None:
    here = Weights("small", "0" * 16, tuple(16 * letter for letter in now), ("one",) * len(now))
    ids = tuple(16 * letter for letter in then)
    labels = ("one",) * len(then)
    with pytest.raises(WrongModel, match=advice):
        check_belongs(
            here, "This", name="small", fingerprint="0" * 16, edit_ids=ids, labels=labels, again="trace again"
        )
    check_belongs(here, "This", name="another name", fingerprint="0" * 16, edit_ids=here.edit_ids)


def test_ids_and_fingerprint_are_kept_with_what_was_computed(place: Place) -> None:
    model, folder = place.model, place.folder
    place.put(place.first, place.second)
    ids, labels = (place.first.id, place.second.id), (str(place.first), str(place.second))
    trace = fl.trace(model, FACT, **SAMPLES)
    for one in (
        trace,
        Trace.load(trace.save(folder / "t")),
        fl.average([trace]),
        fl.Average.load(fl.average([trace]).save(folder / "a")),
    ):
        assert (one.fingerprint, one.edit_ids, one.edits) == (model.fingerprint, ids, labels)
    report = report_of(model, folder)
    assert report.provenance["fingerprint"] == model.fingerprint
    assert (tuple(report.provenance["edit_ids"]), tuple(report.provenance["edits"])) == (ids, labels)


def test_two_traces_of_one_label_are_told_apart_in_words(place: Place) -> None:
    found = []
    for edit in (place.first, place.second):
        place.put(edit)
        found.append(fl.trace(place.model, FACT, **SAMPLES))
    a, b = found
    assert a.edits == b.edits
    for words in (caption_of, code_of):
        assert f"[{place.first.id[:8]}]" in words(a) != words(b)
    shown = comparison_of(Comparison(a, b))
    for edit in (place.first, place.second):
        assert f"[{edit.id[:8]}]" in shown["a"]["caption"]


def test_weights_that_change_in_the_middle_are_noticed_by_content(place: Place) -> None:
    place.put(place.first)
    updates = stream(place.model, FACT, memory=1, **SAMPLES)  # type: ignore[arg-type]
    next(updates)
    place.put(place.again)
    next(updates)
    place.put(place.second)
    with pytest.raises(WeightsChanged, match="Trace again"):
        next(updates)


def test_an_experiment_takes_up_no_trace_of_other_edits(place: Place) -> None:
    folder = Folder(place.folder / "experiment", say=lambda _line: None)

    def scores() -> np.ndarray:
        (found,) = traces(place.model, [FACT], folder, 2)
        assert isinstance(found, Trace)
        assert found.edit_ids == tuple(map(edit_id, place.model.edits))
        return found.samples.values

    place.put(place.first)
    before = scores()
    place.put(place.second)
    assert not np.array_equal(scores(), before)
    place.put(place.again)
    np.testing.assert_array_equal(scores(), before)
    assert len(list((folder.path / "traces").iterdir())) == 2
