"""Whatever was computed on some weights goes with these weights only: the base by fingerprint, the edits by content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from traitlets import TraitError

import factlens as fl
from factlens.errors import FactlensError, Interrupted, WeightsChanged, WrongModel
from factlens.evaluation import Checks, Record, Report
from factlens.models import Dense
from factlens.models.belonging import Weights, check_belongs, edit_id
from factlens.moments import SecondMoment
from factlens.moments.cache import Key
from factlens.reproduce.fig2 import traces
from factlens.reproduce.folder import Folder
from factlens.session import Session
from factlens.tracing import Trace, stream
from factlens.tracing.recipe import caption_of, code_of
from factlens.widgets.panels import details_state, judge_state
from factlens.widgets.wire import comparison_of
from tests.support import small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")
OTHER = fl.Fact("{} is in the city of", "Space Needle", target="Paris")
SAMPLES = {"samples": 2, "window": 2}
RECORD = Record(FACT, Checks.of(FACT, "Paris", paraphrases=["One finds the {} near"]), "the record")


def twins(model: fl.Model) -> tuple[fl.Edit, fl.Edit]:
    """Two edits that say the same of themselves and change the weights differently."""
    first = fl.edit(model, FACT, method="ft", layers=1, steps=2, learning_rate=1e-2, apply=False)
    (term,) = first.updates
    assert isinstance(term, Dense)
    second = replace(first, updates=(replace(term, change=2 * term.change),))
    assert (str(first), first.label, repr(first)) == (str(second), second.label, repr(second))
    return first, second


@dataclass
class Place:
    """A model that carries the first of two edits that are called alike, and other models."""

    model: fl.Model
    other: fl.Model
    first: fl.Edit
    second: fl.Edit
    again: fl.Edit
    folder: Path

    def put(self, *edits: fl.Edit) -> None:
        self.model.set_edits(edits)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    model = small_model("gpt2")
    first, second = twins(model)
    again = fl.Edit.load(first.save(tmp_path / "edit.safetensors"))
    yield Place(model, small_model("gpt2", seed=1), first, second, again, tmp_path)
    model.set_edits(())


def stopped(model: fl.Model, fact: fl.Fact = FACT) -> Trace:
    """A trace that is not complete."""
    return next(stream(model, fact, memory=1, **SAMPLES)).trace  # type: ignore[arg-type]


def session_of(model: fl.Model) -> Session:
    return Session(model, FACT)


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


def report_of(model: fl.Model, folder: Path) -> Report:
    made = fl.evaluate(model, [RECORD], method="ft", steps=1, layers=2, generate=False)
    return Report.load(made.save(folder / "report.json"))


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


@pytest.mark.parametrize("name", CARRIERS)
def test_the_edit_from_its_file_is_the_same(place: Place, name: str) -> None:
    make, use = CARRIERS[name]
    place.put(place.first)
    carrier = make(place.model, place.folder)
    place.put(place.again)
    use(place.model, carrier, place.folder)


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
    make, use = UNEDITED[name]
    place.put(place.first)
    carrier = make(place.model, place.folder)
    place.put(place.second)
    use(place.model, carrier, place.folder)


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


# What the carriers carry ---------------------------------------------------------------------------------------------


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
    shown = comparison_of(a, b)
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


# The lens ------------------------------------------------------------------------------------------------------------


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


# Judged edits --------------------------------------------------------------------------------------------------------


def judged(place: Place, what: Any, store: Path, **options: Any) -> Report:
    checks = None if isinstance(what, list) else RECORD.checks
    return fl.evaluate(place.model, what, checks, generate=False, store=store, **options)


def test_the_store_keeps_edits_of_one_label_apart(place: Place) -> None:
    store = place.folder / "outcomes.jsonl"
    fresh = [judged(place, edit, place.folder / f"{i}") for i, edit in enumerate((place.first, place.second))]
    assert fresh[0].after != fresh[1].after
    kept = [judged(place, edit, store) for edit in (place.first, place.second)]
    assert [report.after for report in kept] == [report.after for report in fresh]
    assert len(store.read_text().splitlines()) == 2
    assert [report.provenance["settings"][place.first.label]["edit"] for report in kept] == [
        place.first.id,
        place.second.id,
    ]
    again = judged(place, place.again, store)
    assert again.after == fresh[0].after
    assert len(store.read_text().splitlines()) == 2, "the same edit from its file is not judged again"


@pytest.mark.parametrize("way", ["single", "sequential", "at once"])
def test_the_store_keeps_what_lies_beneath_apart(place: Place, way: str) -> None:
    store, options = place.folder / "outcomes.jsonl", {"method": "ft", "steps": 1, "layers": 2, "way": way}
    found = []
    for edit in (place.first, place.second, place.again):
        place.put(edit)
        found.append(judged(place, [replace(RECORD, fact=OTHER)], store, **options).before)
    assert found[0] != found[1]
    assert found[2] == found[0]
    assert len(store.read_text().splitlines()) == 2


def test_an_applied_edit_is_known_from_its_file(place: Place) -> None:
    apart = judged(place, place.first, place.folder / "a")
    place.put(place.first)
    applied = judged(place, place.again, place.folder / "b")
    assert (applied.before, applied.after) == (apart.before, apart.after), "it is not put on top of itself"
    assert applied.provenance["edit_ids"] == []
    assert place.model.edits == (place.first,)


def test_an_edit_between_two_judgements_is_noticed(place: Place) -> None:
    def meddle(_report: Report, _wanted: int) -> None:
        place.put(place.first)

    records = [RECORD, replace(RECORD, name="another")]
    with pytest.raises(WeightsChanged, match="Evaluate again"):
        fl.evaluate(place.model, records, method="ft", steps=1, layers=2, generate=False, progress=meddle)


def test_reports_of_different_weights_stand_side_by_side_under_labels_of_their_own(place: Place) -> None:
    reports = [report_of(place.model, place.folder), report_of(place.other, place.folder)]
    place.put(place.first)
    reports.append(report_of(place.model, place.folder))
    both = Report.joined(dict(zip("abc", reports, strict=True)))
    assert both.labels == ("a", "b", "c")
    both = Report.load(both.save(place.folder / "joined.json"))
    known = both.provenance["weights"]
    assert [known[label]["fingerprint"] for label in "abc"] == [
        place.model.fingerprint,
        place.other.fingerprint,
        place.model.fingerprint,
    ]
    assert [known[label]["edit_ids"] for label in "abc"] == [[], [], [place.first.id]]
    # Later joins still know which label has which weights.
    more = fl.evaluate(place.model, [replace(RECORD, name="d")], method={"c": {"method": "ft", "steps": 1}}, layers=2)
    assert len(Report.joined([both, more]).outcomes) == 4
    with pytest.raises(WrongModel, match="Or give them labels"):
        Report.joined([both, Report.joined({"b": more})])
    with pytest.raises(FactlensError, match="the record under the label 'c'"):
        Report.joined([both, Report.joined({"c": reports[2]})])


def test_reports_of_two_edits_of_one_label_are_not_averaged(place: Place) -> None:
    other = Checks.of(FACT, "Paris", paraphrases=["The {} stands near"])
    first = fl.evaluate(place.model, place.first, RECORD.checks, generate=False)
    more = fl.evaluate(place.model, place.again, other, generate=False)
    assert len(Report.joined([first, more]).outcomes) == 2
    second = fl.evaluate(place.model, place.second, other, generate=False)
    with pytest.raises(WrongModel, match=rf"{place.second.id[:8]}.*{place.first.id[:8]}.*Or give them labels"):
        Report.joined([first, second])
    assert Report.joined({"first": first, "second": second}).labels == ("first", "second")


def test_an_evaluation_stopped_while_it_waits_for_the_model_has_judged_nothing(place: Place) -> None:
    stop, busy, done = Event(), Event(), Event()

    def occupy() -> None:
        with place.model.exclusive():
            busy.set()
            stop.set()
            done.wait(30)

    other = Thread(target=occupy)
    other.start()
    assert busy.wait(30)
    try:
        with pytest.raises(Interrupted, match="before the first of 1") as caught:
            fl.evaluate(place.model, [RECORD], method="ft", steps=1, layers=2, generate=False, stop=stop)
    finally:
        done.set()
        other.join()
    assert isinstance(caught.value.partial, Report)
    assert caught.value.partial.outcomes == ()
