"""How often the peak that `samples="auto"` stops at is wrong: simulated, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from factlens.tracing.separation import ERROR, LOOKS, MOST, SHARE, separated

CELLS = 60


def gaussian(random: np.random.RandomState, means: np.ndarray) -> np.ndarray:
    """Samples that share much of their noise, as neighbouring cells do."""
    common = random.normal(0, 0.4, (1, MOST)) * means[:, None]
    return means[:, None] + common + random.normal(0, 0.2, (len(means), MOST))


def skewed(random: np.random.RandomState, means: np.ndarray) -> np.ndarray:
    """Effects between 0 and 1 that are next to nothing for most samples, and large for some."""
    return random.beta(0.6, 0.6 / np.maximum(means, 1e-3)[:, None] - 0.6, (len(means), MOST))


def independent(random: np.random.RandomState, means: np.ndarray) -> np.ndarray:
    return means[:, None] + random.normal(0, 0.1, (len(means), MOST))


#: Two good cells at the bound of right and wrong; many that are as bad as a wrong cell can be; a slope.
TRUTHS = {
    "one rival": np.r_[0.4, SHARE * 0.4 - 0.001, np.full(CELLS - 2, 0.05)],
    "many rivals": np.r_[0.4, np.full(CELLS - 1, SHARE * 0.4 - 0.001)],
    "a slope": np.linspace(0.02, 0.4, CELLS),
}


@pytest.mark.parametrize("draw", [gaussian, skewed, independent])
@pytest.mark.parametrize("means", TRUTHS.values(), ids=TRUTHS)
def test_a_declared_peak_is_seldom_wrong(
    draw: Callable[[np.random.RandomState, np.ndarray], np.ndarray], means: np.ndarray
) -> None:
    random, runs, wrong = np.random.RandomState(0), 1000, 0
    for _ in range(runs):
        effects = draw(random, means)
        stop = next((n for n in LOOKS if separated(effects[:, :n])), None)
        if stop is not None:
            wrong += bool(means[effects[:, :stop].mean(-1).argmax()] < SHARE * means.max())
    # Three standard errors of a share of so many runs.
    assert wrong / runs <= ERROR + 3 * np.sqrt(ERROR * (1 - ERROR) / runs)


def test_it_stops_where_there_is_nothing_to_wait_for() -> None:
    random = np.random.RandomState(0)
    means = np.r_[0.5, 0.48, np.full(CELLS - 2, 0.05)]
    stops = [separated((means[:, None] + random.normal(0, 0.02, (CELLS, MOST)))[:, : LOOKS[0]]) for _ in range(200)]
    assert np.mean(stops) > 0.9


def test_no_peak_without_an_effect_and_none_from_too_few_samples() -> None:
    assert not separated(np.array([[0.5], [0.1]]))
    assert not separated(np.zeros((3, 5)))
    assert not separated(-np.ones((3, 5)))
    assert separated(np.array([[0.5] * 5, [0.1] * 5]))
    assert separated(np.full((1, 5), 0.5))
    noisy = np.array([[0.9, -0.5, 0.8, -0.4, 0.9], [-0.5, 0.9, -0.4, 0.7, -0.5]])
    assert not separated(noisy)
