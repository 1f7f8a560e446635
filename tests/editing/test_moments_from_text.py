"""`factlens.edit` and `factlens.evaluate` take text in the place of second moments, and collect them once for it."""

from __future__ import annotations

from pathlib import Path

import pytest

import factlens as fl
from factlens.editing.api import quiet_edit
from factlens.errors import ArgumentError, FactlensError
from factlens.evaluation.checks import Checks
from factlens.moments import Corpus, SecondMoment, cache, collect, default_moments, open_corpus
from tests.support import TEXT, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target=" Seattle")
QUICK = {"layers": 1, "apply": False, "steps": 2, "contexts": ()}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.txt"
    path.write_text("\n\n".join(TEXT * 5), encoding="utf-8")
    return path


def test_every_kind_of_text_is_taken(file: Path) -> None:
    model = small_model("gpt2")
    folder = file.parent / "folder"
    folder.mkdir()
    (folder / "part.txt").write_bytes(file.read_bytes())
    corpus = Corpus("mine, in memory", lambda skip: iter((TEXT * 5)[skip:]))
    for text, words in (
        (file, "mine.txt ("),
        (str(file), "mine.txt ("),
        (folder, "folder ("),
        (TEXT * 5, "15 strings ("),
        (tuple(TEXT * 5), "15 strings ("),
        (corpus, "mine, in memory"),
    ):
        edit = quiet_edit(model, FACT, moments=text, **QUICK)
        assert words in edit.moment
    expected = collect(model, [1], open_corpus(file), tokens=20_000)[1]
    assert quiet_edit(model, FACT, moments=file, **QUICK).moment == expected.described


def test_a_text_is_collected_once_and_says_how_far_it_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, stages = small_model("gpt2"), []
    first = quiet_edit(model, FACT, moments=file, progress=lambda *stage: stages.append(stage), **QUICK)
    shares = [share for name, share in stages if name == "second moment"]
    assert shares[0] == 0
    assert shares[-1] == 1
    monkeypatch.setattr(cache, "gather", None)
    assert quiet_edit(model, FACT, moments=str(file), **QUICK).moment == first.moment


def test_the_models_own_text_has_a_share_while_it_is_written() -> None:
    shares: list[float] = []

    def progress(stage: str, share: float) -> None:
        if stage == "second moment":
            shares.append(share)

    quiet_edit(small_model("gpt2"), FACT, progress=progress, **QUICK)
    assert len(shares) > 60, "one for every token of a row"
    assert shares == sorted(shares)
    assert 0 < shares[1] < 0.02


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("missing.txt", "There is no file or folder missing.txt"),
        ([], "There is no text in"),
        (["", " "], "There is no text in"),
        (["a", 3], "moments[1] must be"),
        (["a"], "is too short: it has fewer than 64 tokens"),
        (iter(TEXT), "moments must be a SecondMoment, a mapping from layers to them, text (a path"),
    ],
)
def test_what_is_no_text_is_refused(text: object, words: str) -> None:
    model = small_model("gpt2")
    with pytest.raises(FactlensError) as caught:
        quiet_edit(model, FACT, moments=text, **QUICK)
    assert words in str(caught.value)
    assert not model.edits


def test_evaluations_read_the_text_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, facts = small_model("gpt2"), [FACT, fl.Fact("{} is in", "Reykjavík", target=" Japan")]
    read: list[int] = []

    def texts(skip: int):
        read.append(skip)
        return iter((TEXT * 5)[skip:])

    settings = {"layers": 1, "steps": 2, "contexts": (), "generate": False}
    checks = [Checks.of(fact, "Paris") for fact in facts]
    report = fl.evaluate(model, facts, checks, moments=Corpus("counted", texts), **settings)
    assert len(report.outcomes) == 2
    assert len(read) == 1, "the second edit finds its moments on disk"
    assert "counted" in report.provenance["settings"]["rome"]["moments"]
    with pytest.raises(ArgumentError, match="moments must be"):
        fl.evaluate(model, facts, checks, moments=3.5, **settings)


def test_a_number_is_how_many_tokens_of_its_own_text_the_model_is_to_write() -> None:
    model = small_model("gpt2")
    assert "layer 1, 2048 tokens of text sampled" in quiet_edit(model, FACT, **QUICK).moment
    asked = quiet_edit(model, FACT, moments=600, **QUICK).moment
    assert asked == default_moments(model, [1], tokens=600)[1].described
    assert "layer 1, 640 tokens of text sampled" in asked, "in whole rows"
    checks = Checks.of(FACT, "Paris")
    report = fl.evaluate(model, FACT, checks, moments=600, layers=1, steps=2, contexts=(), generate=False)
    assert report.provenance["settings"]["rome"]["moments"] == "600"
    with pytest.raises(ArgumentError, match=r"at least 512, not 3\. For example moments=100_000 \(a number of tokens"):
        quiet_edit(model, FACT, moments=3, **QUICK)


def test_moments_themselves_are_still_taken() -> None:
    model = small_model("gpt2")
    moment = SecondMoment.identity_matrix(model, 1)
    assert "identity" in quiet_edit(model, FACT, moments={1: moment}, **QUICK).moment
    assert "identity" in quiet_edit(model, FACT, moments=moment, **QUICK).moment
