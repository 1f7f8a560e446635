"""The search for one method's layers and settings: coarse to fine, by successive halving, within a time.

1. Places: every place with the likeliest settings, on a few facts; the better half of them on twice as many.
2. Around: the best places with every combination of the settings to try, and their neighbours, on the same facts.
3. Halving: the best of all those on twice as many facts, the better half of these on twice as many again, and so on
   (Jamieson & Talwalkar 2016). A round that the time cuts short is the last, and counts for those that it has judged.
4. The winner, with full settings, and what would be taken without it, on facts held out.

What would be taken without a calibration goes through every round, so that the winner has always been compared with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from factlens.calibration.places import baseline, first_candidates, further_candidates
from factlens.calibration.trials import LEAST, Bench, Candidate, Trial
from factlens.evaluation.records import Record
from factlens.models import Model
from factlens.timing import Clock

FEW = 2
"""Facts of the first round."""
_PLACES, _FINALISTS = 2, 4
_UNTIL_PLACES, _UNTIL_HALF, _UNTIL_AROUND, _UNTIL_HALVED = 0.35, 0.5, 0.65, 0.75
"""Shares of the time at which rounds end."""
_HELD_OUT, _FEWER_HELD_OUT = 4, 2
"""Facts held out of the first comparison there; fewer where the time would be too short."""
_FULL = 4
"""So many times as long as in a comparison a fact takes with full settings, about."""

Trials = dict[Candidate, Trial]


@dataclass(frozen=True)
class Winner:
    """What a search ended with.

    Attributes
    ----------
    candidate
        The winner, with full settings.
    tuned
        The last trial that it won.
    held_out
        Its trial on facts held out; None where there are none, or no time for them.
    """

    candidate: Candidate
    tuned: Trial
    held_out: Trial | None

    @property
    def works(self) -> bool:
        """Whether it has edited anything: S is above 0, also where that was tried on facts held out."""
        return self.tuned.works and (self.held_out is None or self.held_out.works)


@dataclass
class Search:
    """The search for one method's layers and settings.

    Attributes
    ----------
    model, bench
        On what, and with what is shared with other searches.
    method
        The method.
    likeliest
        Layers to try, the likeliest first.
    layers
        Those that may be edited.
    train, held_out
        Records to tune on, and those held out.
    seconds
        The time there is. No trial begins after its end.
    tick
        Called with the share of the time that has gone by.
    """

    model: Model
    bench: Bench
    method: str
    likeliest: Sequence[int]
    layers: Sequence[int]
    train: Sequence[Record]
    held_out: Sequence[Record]
    seconds: float
    tick: Callable[[float], None]

    def run(self) -> Winner | None:
        """Find the layers and settings; None where the time was too short to compare anything."""
        self._clock = Clock(self.seconds)
        self._full: dict[Candidate, Candidate] = {}
        self._default = baseline(self.model, self.method)
        winner = self._winner()
        self.tick(1.0)
        return winner

    def _winner(self) -> Winner | None:
        places = first_candidates(self.model, self.method, self.likeliest, self.layers)
        judged, size = self._judge(places, FEW, _UNTIL_PLACES), FEW
        if len(judged) < LEAST:
            judged |= self._judge(places[len(judged) : LEAST], FEW, 1.0)
        if len(judged) < min(LEAST, len(places)):
            return None
        half = self._finalists(judged, max(_PLACES, len(judged) // 2))
        if len(self.train) > size and (again := self._round(half, 2 * size, _UNTIL_HALF)):
            judged, size = again, 2 * size
        # With what is left open by its place: two settings of one place are no two places.
        near = further_candidates([self._full[one] for one in best(judged, _PLACES)], self.layers)
        judged |= self._judge(near, size, _UNTIL_AROUND)
        finalists = self._finalists(judged, _FINALISTS)
        while len(finalists) > 1 and len(self.train) > size:
            again = self._round(finalists, 2 * size, _UNTIL_HALVED)
            if not again:
                break
            cut_short = len(again) < len(finalists)
            judged, size = again, 2 * size
            if cut_short:
                break
            finalists = self._finalists(judged, max(2, len(finalists) // 2))
        (winner,) = best(judged, 1)
        return Winner(
            self._full[winner], judged[winner], self._final(self._full[winner], judged[winner].seconds / size)
        )

    def _judge(self, candidates: Sequence[Candidate], size: int, until: float) -> Trials:
        trials: Trials = {}
        for candidate in candidates:
            if self._clock.share >= until:
                break
            quick = candidate.quick()
            self._full.setdefault(quick, candidate)
            if quick not in trials:
                trials[quick] = self.bench.judge(quick, self.train[:size])
            self.tick(min(1.0, self._clock.share))
        return trials

    def _round(self, candidates: Sequence[Candidate], size: int, until: float) -> Trials:
        """Judge candidates on so many facts, the likeliest first; empty where there was no time to compare any two."""
        trials = self._judge(candidates, size, until)
        return trials if len(trials) > 1 else {}

    def _finalists(self, trials: Trials, count: int) -> list[Candidate]:
        """Return the best, and after the first one of them what would be taken without a calibration."""
        first, *others = best(trials, count)
        default = [one for one in trials if one == self._default.quick()]
        return list(dict.fromkeys([first, *default, *others]))

    def _final(self, chosen: Candidate, seconds: float) -> Trial | None:
        """Judge the choice, and what would be taken without it, on as many facts held out as there is time for."""
        final, default = None, self._default
        size = _HELD_OUT if self._clock.left > _FULL * _HELD_OUT * seconds else _FEWER_HELD_OUT
        compared = default != chosen and set(default.layers) <= set(self.layers)
        while self.held_out and self._clock.left > 0:
            final, spent = self.bench.judge(chosen, self.held_out[:size], "held out"), time.monotonic()
            self.tick(min(1.0, self._clock.share))
            if compared and self._clock.left > 0:
                self.bench.judge(default, self.held_out[:size], "held out")
                self.tick(min(1.0, self._clock.share))
            # Twice as many take as long again.
            if size >= len(self.held_out) or self._clock.left < time.monotonic() - spent + final.seconds:
                break
            size *= 2
        return final


def best(trials: Trials, count: int) -> list[Candidate]:
    """Return the best candidates; of those that are alike in S and in probability, the likeliest, which came first."""
    return sorted(trials, key=lambda one: trials[one].rank, reverse=True)[:count]
