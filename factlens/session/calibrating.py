"""Measuring where and how the chosen method edits the model best, for the defaults of the edits to come."""

from __future__ import annotations

from factlens.calibration import calibrate
from factlens.calibration.api import time_left
from factlens.editing import METHODS
from factlens.errors import Interrupted
from factlens.progress import words_of
from factlens.session.editing import Editing
from factlens.session.working import Work, gesture
from factlens.timing import Clock, a_time
from factlens.warned import warnings_kept

_BUDGET, _WITH_MOMENTS = 300.0, 600.0
"""Seconds that a calibration may take: of a method that needs no second moments, and of one for which they may have to
be collected first, from all layers that may be edited."""
_STOPPED = "Stopped before anything was chosen; what was measured is kept, and the next time goes on from there."


class Calibrating(Editing):
    """What the defaults of edits are measured by; what was measured is kept for all sessions."""

    @property
    def budget(self) -> float:
        """How many seconds a calibration of the method may take."""
        return _WITH_MOMENTS if METHODS[self.method].needs_moments else _BUDGET

    @gesture("calibrate", "edit", "Nothing was measured", doing="a method is being calibrated")
    def start_calibrate(self, budget: float | str | None = None) -> Work:
        """Measure which layers and settings of the method edit the model best: those are its defaults from then on.

        Parameters
        ----------
        budget
            How long it may take, as for `factlens.calibrate`. Default: `budget`.
        """
        seconds = self.budget if budget is None else a_time("budget", budget)
        self.model.check_editable(0)
        method = self.method
        return lambda: self._calibrate(method, seconds)

    def _calibrate(self, method: str, seconds: float) -> None:
        clock = Clock(seconds)

        def say(stage: str, _share: float) -> None:
            self._say(min(1.0, clock.share), words_of(stage), time_left(clock))

        with self._at_work("calibrating"):
            remarks: tuple[str, ...] = ()
            try:
                with warnings_kept() as warned:
                    calibrate(self.model, methods=method, budget=seconds, progress=say, stop=self._stop)
                remarks = tuple(getattr(warning, "on_the_page", str(warning)) for warning in warned)
            except Interrupted as error:
                remarks = () if error.partial is None else (_STOPPED,)
                raise
            finally:
                with self.gate:
                    self.remarks = remarks
