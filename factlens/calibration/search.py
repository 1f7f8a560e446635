"""The search for one method's layers and settings: coarse to fine, by successive halving, within a time.

1. Places: every place with the likeliest settings, on a few facts; the better half of them on twice as many.
2. Around: the best places with every combination of the settings to try, and their neighbours, on the same facts.
3. Halving: the best of all those on twice as many facts, the better half of these on twice as many again, and so on
   (Jamieson & Talwalkar 2016). A round that the time cuts short is the last, and counts for those that it has judged.
4. The winner, with full settings, and what would be taken without it, on facts held out.

What would be taken without a calibration goes through every round, so that the winner has always been compared with it.
No trial is begun that would end after the time, as long as the longest so far took for each fact; but for the first
few, without which nothing can be said.
"""

from __future__ import annotations

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
        The time there is. No trial begins after its end, nor, but for the first `LEAST`, one that would end after it.
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
        self._longest = 0.0
        self._default = baseline(self.model, self.method)
        winner = self._winner()
        self.tick(1.0)
        return winner

    def _winner(self) -> Winner | None:
        places = first_candidates(self.model, self.method, self.likeliest, self.layers)
        judged, size = self._judge(places, FEW, _UNTIL_PLACES), FEW
        if len(judged) < LEAST:
            judged |= self._judge(places[len(judged) : LEAST], FEW, 1.0, least=LEAST)
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
        return Winner(self._full[winner], judged[winner], self._final(self._full[winner]))

    def _judge(self, candidates: Sequence[Candidate], size: int, until: float, *, least: int = 0) -> Trials:
        """Judge candidates on so many facts, until a share of the time; the first few as long as there is any."""
        trials: Trials = {}
        for i, candidate in enumerate(candidates):
            quick = candidate.quick()
            late = self._clock.share >= until or self._length(quick, self.train[:size]) > self._clock.left
            if late and (i >= least or not self._clock.left):
                break
            self._full.setdefault(quick, candidate)
            if quick not in trials:
                trials[quick] = self.bench.judge(quick, self.train[:size])
                self._longest = max(self._longest, trials[quick].seconds / len(trials[quick].results))
            self.tick(min(1.0, self._clock.share))
        return trials

    def _length(self, candidate: Candidate, records: Sequence[Record], split: str = "train") -> float:
        """Return how long a trial would take, by the longest so far; 0 where it was made before, and of the first."""
        if self.bench.earlier(candidate, records, split) is not None:
            return 0.0
        return self._longest * len(records) * (_FULL if split == "held out" else 1)

    def _round(self, candidates: Sequence[Candidate], size: int, until: float) -> Trials:
        """Judge candidates on so many facts, the likeliest first; empty where there is no time to compare any two."""
        if len(candidates) < 2:
            return {}
        first, second = (self._length(one.quick(), self.train[:size]) for one in candidates[:2])
        if self._clock.share_after(first) >= until or first + second > self._clock.left:
            return {}
        trials = self._judge(candidates, size, until, least=2)
        return trials if len(trials) > 1 else {}

    def _finalists(self, trials: Trials, count: int) -> list[Candidate]:
        """Return the best, and after the first one of them what would be taken without a calibration."""
        first, *others = best(trials, count)
        default = [one for one in trials if one == self._default.quick()]
        return list(dict.fromkeys([first, *default, *others]))

    def _final(self, chosen: Candidate) -> Trial | None:
        """Judge the choice, and what would be taken without it, on as many facts held out as there is time for."""
        final, default, clock = None, self._default, self._clock
        compared = default != chosen and set(default.layers) <= set(self.layers)
        size = _HELD_OUT
        if (length := self._length(chosen, self.held_out[:size], "held out")) > clock.left:
            size = _FEWER_HELD_OUT
            length = self._length(chosen, self.held_out[:size], "held out")
        while self.held_out and clock.left > 0 and length <= clock.left:
            records = self.held_out[:size]
            final, left = self.bench.judge(chosen, records, "held out"), clock.left
            self.tick(min(1.0, clock.share))
            again = self.bench.earlier(default, records, "held out") is not None
            if compared and (again or clock.left > final.seconds):
                self.bench.judge(default, records, "held out")
                self.tick(min(1.0, clock.share))
            if size >= len(self.held_out):
                break
            size *= 2
            # Twice as many take as long again.
            again = self.bench.earlier(chosen, self.held_out[:size], "held out") is not None
            length = 0.0 if again else left - clock.left + final.seconds
        return final


def best(trials: Trials, count: int) -> list[Candidate]:
    """Return the best candidates; of those that are alike in S and in probability, the likeliest, which came first."""
    return sorted(trials, key=lambda one: trials[one].rank, reverse=True)[:count]
