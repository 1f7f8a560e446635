"""Errors that say what was wrong and what to do about it.

Every error that factlens raises on purpose derives from `FactlensError`, and from the built-in
exception that a caller would expect, so that ``except ValueError`` keeps working.
"""

from __future__ import annotations


class FactlensError(Exception):
    """Base class of every error that factlens raises on purpose."""


class FactError(FactlensError, ValueError):
    """The fact cannot be used: no subject in the prompt, an empty prompt, a bad target."""


class PromptTooLong(FactError):
    """The prompt has more tokens than the model has positions."""


class LayerError(FactlensError, IndexError):
    """The model has no such layer."""


class UnknownArchitecture(FactlensError, TypeError):
    """The model's architecture is not in the family map, or does not behave as the map says."""


class QuantizedModel(FactlensError, TypeError):
    """The weights are quantised (or not in memory), so they cannot be edited."""


class NumericalError(FactlensError, ArithmeticError):
    """The model, or a step of the method, produced NaN or infinity."""


class WrongModel(FactlensError, ValueError):
    """An edit or a statistic belongs to another model than the one it is applied to."""


class WeightsChanged(FactlensError, RuntimeError):
    """The model's weights were changed by somebody else in the middle of a computation."""


class FileFormatError(FactlensError, ValueError):
    """A saved trace, edit or statistic cannot be read."""


class Busy(FactlensError, RuntimeError):
    """The session is already computing something."""


class Interrupted(FactlensError, KeyboardInterrupt):
    """A computation was stopped by the user; what there is of the result is in ``partial``."""

    def __init__(self, message: str, partial: object = None) -> None:
        super().__init__(message)
        self.partial = partial
