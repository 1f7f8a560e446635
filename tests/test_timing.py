"""How long something will still take."""

from __future__ import annotations

import pytest

from factlens.timing import TimeLeft, duration, roughly


def test_the_time_left_is_that_of_this_run() -> None:
    now = [100.0]
    line = TimeLeft(lambda: now[0])
    assert line(0.5) == "50 %", "taken up again in the middle; nothing is known of the speed yet"
    now[0] += 60
    assert line(0.6) == "60 % · 4 min left"
    now[0] += 60
    assert line(0.9) == "90 % · 30 s left"
    assert line(1.0) == "100 %"


def test_no_guess_is_made_too_early() -> None:
    now = [100.0]
    left = TimeLeft(lambda: now[0])
    assert left.seconds(0.2, least=1.0) is None
    now[0] += 0.5
    assert left.seconds(0.6, least=1.0) is None
    now[0] += 1.5
    assert left.seconds(0.6, least=1.0) == pytest.approx(2.0)
    assert left.seconds(0.2, least=1.0) is None, "nothing was done"
    assert left.seconds(1.0, least=1.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59, "59 s"), (59.6, "1 min"), (3599, "1 h 0 min"), (8000, "2 h 13 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(3, "a few seconds"), (31, "about 30 s"), (118, "about 2 min")])
def test_rough_durations(seconds: float, words: str) -> None:
    assert roughly(seconds) == words
