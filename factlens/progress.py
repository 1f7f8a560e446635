"""What long computations call while they run: the forms that a ``progress=`` argument has, and stages in one bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from factlens.timing import TimeLeft, roughly

Share = Callable[[float], None]
"""Called with the share that is done, from 0 to 1."""
StageShare = Callable[[str, float], None]
"""Called with the name of a stage, and the share of it that is done."""
Count = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""

SURE_AFTER, SURE_SHARE = 2.0, 0.03
"""No time left is stated before so many seconds of a stage, and before so much of it is done."""


class Stage(str):
    """The name of a stage, which also says in words what is done in it: ``"second moments of layer 3: reading"``."""

    words: str

    def __new__(cls, name: str, words: str) -> Stage:
        """Make a name with its words."""
        stage = super().__new__(cls, name)
        stage.words = words
        return stage


def words_of(stage: str) -> str:
    """Return what is done in a stage; one that has no words is called by its name."""
    return stage.words if isinstance(stage, Stage) else stage


class Stages:
    """How far a computation of several stages is as a whole, and how long the stage at hand will still take.

    The whole never goes back: a stage that comes begins where the one before has ended, and one that is left out
    leaves its part to those after it.

    Parameters
    ----------
    weights
        The stages in their order, and about which part of the time each takes.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights, self._names = weights, list(weights)
        self._stage: str | None = None
        self._base = self._whole = 0.0
        self._clock = TimeLeft()

    def whole(self, stage: str, share: float) -> float:
        """Return which share of the whole is done when this share of a stage is."""
        if stage != self._stage:
            self._stage, self._base, self._clock = str(stage), self._whole, TimeLeft()
        place = self._names.index(stage) if stage in self._weights else len(self._names) - 1
        to_come = sum(self._weights[name] for name in self._names[place:])
        done = min(1.0, max(0.0, share)) * self._weights[self._names[place]] / to_come
        self._whole = max(self._whole, self._base + (1 - self._base) * done)
        return self._whole

    def say(self, stage: str, share: float) -> tuple[float, str, str]:
        """Return the share of the whole, and in words what is being done, and how long that will still take."""
        whole = self.whole(stage, share)
        left = self._clock.seconds(share, least=SURE_AFTER) if share >= SURE_SHARE else None
        if left is None:
            if share < SURE_SHARE:
                self._clock.seconds(share)  # the speed is measured from the beginning
            return whole, words_of(stage), ""
        last = stage == self._names[-1]
        return whole, words_of(stage), f"{roughly(left)} left{'' if last else ' for this step'}"
