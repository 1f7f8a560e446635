"""The search keeps to its time: by a clock that only trials move."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

import factlens as fl
from factlens import timing
from factlens.calibration import known_records, search
from factlens.calibration.search import Search, Winner
from factlens.calibration.trials import LEAST, Candidate, Result, Trial
from factlens.evaluation import Record
from tests.calibration.made import add_quick_method, facts_known_to
from tests.support import small_model

EACH = 3.0
"""Seconds that a fact takes; with full settings four times as many."""


class Timed:
    """A bench whose trials take their time on a clock of their own, and judge by the layer."""

    def __init__(self) -> None:
        self.now = 100.0
        self.began: list[tuple[float, float, str, int]] = []
        self.trials: dict[tuple[Candidate, int, str], Trial] = {}

    def monotonic(self) -> float:
        return self.now

    def earlier(self, candidate: Candidate, records: Sequence[Record], split: str = "train") -> Trial | None:
        return self.trials.get((candidate, len(records), split))

    def judge(self, candidate: Candidate, records: Sequence[Record], split: str = "train") -> Trial:
        key = (candidate, len(records), split)
        if key not in self.trials:
            seconds = EACH * len(records) * (4 if split == "held out" else 1)
            self.began.append((self.now, self.now + seconds, split, len(records)))
            self.now += seconds
            score = 1 / (1 + candidate.layers[-1])
            results = tuple(Result(str(i), score, score, score, score) for i in range(len(records)))
            self.trials[key] = Trial(candidate.method, candidate.layers, candidate.settings, split, results, seconds)
        return self.trials[key]


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return small_model("llama")


@pytest.fixture(scope="module")
def records(model: fl.Model) -> list[Record]:
    return known_records(model, facts_known_to(model), n=14)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Timed:
    add_quick_method(monkeypatch)
    bench = Timed()
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=bench.monotonic))
    return bench


def searched(
    model: fl.Model, records: list[Record], bench: Timed, seconds: float, layers: Sequence[int]
) -> Winner | None:
    train, held_out = records[: 2 * len(records) // 3], records[2 * len(records) // 3 :]
    return Search(model, bench, "quick", layers, layers, train, held_out, seconds, lambda share: None).run()


@pytest.mark.parametrize("seconds", [20, 25, 31, 40, 50, 64, 80, 100, 130, 170, 220, 300, 400, 1000])
def test_no_trial_ends_after_the_time(model: fl.Model, records: list[Record], bench: Timed, seconds: float) -> None:
    winner = searched(model, records, bench, seconds, [0, 1, 2, 3])
    assert winner is not None
    assert len(bench.began) >= LEAST
    assert max(end for _, end, _, _ in bench.began) <= 100 + seconds
    assert (winner.held_out is not None) == any(split == "held out" for _, _, split, _ in bench.began)
    assert seconds < 100 or winner.held_out is not None


def test_as_many_as_are_needed_to_choose_are_made_all_the_same(
    model: fl.Model, records: list[Record], bench: Timed
) -> None:
    assert searched(model, records, bench, 2 * LEAST * EACH - 2, [0, 1, 2, 3]) is not None
    assert len(bench.began) == LEAST
    bench.began.clear()
    bench.trials.clear()
    assert searched(model, records, bench, 2 * (LEAST - 1) * EACH - 1, [0, 1, 2, 3]) is None
    assert len(bench.began) == LEAST - 1, "the time was over before the last one"


@pytest.mark.parametrize("layers", [[2], [0, 1, 2, 3]])
def test_no_round_is_begun_that_cannot_compare_two(
    model: fl.Model, records: list[Record], bench: Timed, layers: list[int]
) -> None:
    for seconds in range(20, 300, 7):
        bench.began.clear()
        bench.trials.clear()
        searched(model, records, bench, seconds, layers)
        for size in {size for _, _, split, size in bench.began if split == "train"} - {search.FEW}:
            assert sum((split, count) == ("train", size) for _, _, split, count in bench.began) > 1, (seconds, size)


def test_what_was_tried_before_takes_no_time(model: fl.Model, records: list[Record], bench: Timed) -> None:
    first = searched(model, records, bench, 1000, [0, 1, 2, 3])
    count = len(bench.began)
    assert searched(model, records, bench, 1000, [0, 1, 2, 3]) == first
    assert searched(model, records, bench, 5, [0, 1, 2, 3]) == first, "of what was tried nothing is left out"
    assert len(bench.began) == count
