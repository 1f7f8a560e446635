"""`Calibration`: what was measured about editing one model, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from factlens.arguments import a_path, a_text, one_of
from factlens.calibration.showing import as_frame, as_html, as_table, as_text, caption_of, plot_calibration
from factlens.calibration.trials import QUICKER, Result, Trial
from factlens.drawing.exporting import Exported, no_part
from factlens.drawing.look import LOOK, Look, LookOptions
from factlens.drawing.tables import Table
from factlens.editing.calibrated import FORMAT, SCHEMA, Choice, calibration_content, read_choices
from factlens.files import checksum, complete, json_bytes, write_bytes
from factlens.signatures import taking
from factlens.typed import many, mapping, number, number_within, plain, record, text, whole
from factlens.typed import one_of as one_of_these

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SPLITS = ("train", "held out")


@dataclass(frozen=True, repr=False)
class Calibration(Exported):
    """Measured layers and settings of editing methods on one model, with the evidence.

    Attributes
    ----------
    model, fingerprint
        Name and fingerprint of the model, without edits.
    made
        The day, ``"2026-11-27"``.
    seed
        Of the choice of facts, and of noise.
    facts
        How many facts the model was found to know, of those that were used.
    effects
        Mean indirect effect of the MLP at the subject's last token by layer, over a few of the facts.
    trials
        Everything that was tried, in the order in which it was.
    choices
        By method what was best; methods for which the time was too short have none.
    defaults
        By method what would be taken without a calibration.
    """

    model: str
    fingerprint: str
    made: str
    seed: int
    facts: int
    effects: tuple[float, ...]
    trials: tuple[Trial, ...]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    defaults: Mapping[str, Choice] = field(default_factory=dict)

    def trial_of(self, method: str, split: str = "held out") -> Trial | None:
        """Return the trial with most facts of what was chosen for a method; None if there is none.

        Parameters
        ----------
        method
            The method.
        split
            ``"held out"`` or ``"train"``. The latter compare settings: each fact with fewer prefixes, continuations
            and steps than the choice has.
        """
        choice, split = self.choices.get(a_text("method", method)), one_of("split", split, SPLITS)
        there = [] if choice is None else self._of(method, choice, split)
        return max(there, key=lambda trial: len(trial.results), default=None)

    def baseline_of(self, method: str) -> Trial | None:
        """Return the trial of what would be taken without a calibration, on the facts held out of `trial_of`.

        None where that is what was chosen, or there was no time for it.

        Parameters
        ----------
        method
            The method.
        """
        chosen, default = self.trial_of(a_text("method", method)), self.defaults.get(method)
        if chosen is None or default is None:
            return None
        records = [result.record for result in chosen.results]
        there = self._of(method, default, "held out")
        return next((t for t in there if t is not chosen and [one.record for one in t.results] == records), None)

    def _of(self, method: str, choice: Choice, split: str) -> list[Trial]:
        return [t for t in self.trials if t.split == split and t.method == method and _is_of(choice, t)]

    @property
    def table(self) -> str:
        """What was chosen for each method and how good it is on facts held out, for a terminal."""
        return as_text(self)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per trial: method, layers, the settings that were tried, S with its interval, shares."""
        return as_frame(self)

    @taking(LOOK)
    def plot(self, **look: Unpack[LookOptions]) -> Figure:
        """Draw each method's best S by the last layer it edits, below the MLP's effect; needs ``factlens[plot]``.

        Parameters
        ----------
        **look
            Size, letters and colours for a paper; see `factlens.drawing.look.Look`.
        """
        return plot_calibration(self, Look.of(look))

    def caption(self) -> str:
        """Return what a figure or a table should say below itself: the model, the facts, what was chosen."""
        return caption_of(self)

    def _frame(self) -> pd.DataFrame:
        return self.to_dataframe()

    def _table(self, part: str | None) -> Table:
        no_part(part)
        return as_table(self)

    def save(self, path: str | Path) -> Path:
        """Write the calibration to a JSON file; an existing file is replaced only once the new one is complete.

        Raises
        ------
        FileNotWritten
            If it cannot be written: no such folder, no permission, no space.
        """
        content = _to_json(self)
        head = {"format": FORMAT, "schema": SCHEMA, "checksum": checksum(content)}
        return write_bytes(a_path("path", path), json_bytes({**head, **content}, indent=1))

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a saved calibration.

        Raises
        ------
        FileFormatError
            If the file is not a calibration written by `save`, is damaged, or comes from another version's format.
        FileNotFoundError, PermissionError
            If there is no such file, or it may not be read.
        """
        content = calibration_content(a_path("path", path))
        with complete(path, "calibration"):
            return cls(**_FIELDS(content))

    def __repr__(self) -> str:
        return self.table

    def _repr_html_(self) -> str:
        return as_html(self)


def _is_of(choice: Choice, trial: Trial) -> bool:
    """Return whether a trial is of a choice; comparisons are made in a quicker way."""
    if trial.layers != choice.layers:
        return False
    if trial.split == "held out":
        return dict(trial.settings) == choice.settings
    return all(value == choice.settings.get(name) for name, value in trial.settings.items() if name not in QUICKER)


# In files ------------------------------------------------------------------------------------------------------------

_SHARE = number_within(0, 1, unknown=True)
_RESULT = record(
    {
        "record": text,
        "efficacy": _SHARE,
        "paraphrase": _SHARE,
        "neighbourhood": _SHARE,
        "magnitude": number_within(-1, 1, unknown=True),
    }
)
_TRIAL = record(
    {
        "method": text,
        "layers": many(whole(), least=1, unique=True),
        "settings": mapping(plain()),
        "split": one_of_these(*SPLITS),
        "results": many(lambda value: Result(**_RESULT(value)), least=1),
        "seconds": number_within(0),
        "note": text,
    }
)
_FIELDS = record(
    {
        "model": text,
        "fingerprint": text,
        "made": text,
        "seed": whole(),
        "facts": whole(),
        "effects": many(number),
        "trials": many(lambda value: Trial(**_TRIAL(value))),
        "choices": read_choices,
        "defaults": read_choices,
    }
)


def _to_json(calibration: Calibration) -> dict[str, Any]:
    return {
        **{name: getattr(calibration, name) for name in ("model", "fingerprint", "made", "seed", "facts")},
        "effects": list(calibration.effects),
        "trials": [
            {
                "method": trial.method,
                "layers": list(trial.layers),
                "settings": dict(trial.settings),
                "split": trial.split,
                "results": [
                    {name: _number(value) for name, value in result._asdict().items()} for result in trial.results
                ],
                "seconds": trial.seconds,
                "note": trial.note,
            }
            for trial in calibration.trials
        ],
        "choices": _choices(calibration.choices),
        "defaults": _choices(calibration.defaults),
    }


def _choices(choices: Mapping[str, Choice]) -> dict[str, Any]:
    return {
        method: {"layers": list(choice.layers), "settings": choice.settings, "source": choice.source}
        for method, choice in choices.items()
    }


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
