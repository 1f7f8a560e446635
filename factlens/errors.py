"""Errors that say what was wrong and what to do about it.

Every error that factlens raises on purpose derives from `FactlensError`, and from the built-in
exception that a caller would expect, so that ``except ValueError`` keeps working.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from factlens.notices import Notice


class FactlensError(Exception):
    """Base class of every error that factlens raises on purpose.

    Attributes
    ----------
    notice
        The same for who has a field in front of them and no call, with ways out; None for most.
    """

    notice: Notice | None = None

    def at(self, notice: Notice) -> Self:
        """Return the error with what is said of it at a field."""
        self.notice = notice
        return self


class FactlensWarning(UserWarning):
    """Base class of every warning that factlens gives on purpose."""


class TextWarning(FactlensWarning):
    """A text is read as it is written, which may not be what was meant; the message says what to write."""


class RenamedWarning(FactlensWarning, DeprecationWarning):
    """An old name was used; the message says the new one. The old one is removed in a later release."""


class FactError(FactlensError, ValueError):
    """The fact cannot be used: no subject in the prompt, an empty prompt, a bad target."""


class AmbiguousPrompt(FactError):
    """A prompt in which the subject could stand in several places.

    Attributes
    ----------
    readings
        For each place the prompt with the subject marked ``⟦so⟧``, and the template and the slot that mean it.
    """

    def __init__(self, message: str, readings: Sequence[tuple[str, str, str | None]] = ()) -> None:
        super().__init__(message)
        self.readings = tuple(readings)


class ArgumentError(FactError, TypeError):
    """An argument is of the wrong type, or out of range; nothing was computed or changed."""


class PromptTooLong(FactError):
    """The prompt, with what factlens reads behind or in front of it, has more tokens than the model has positions."""


class LayerError(FactlensError, IndexError):
    """The model has no such layer."""


class UnknownArchitecture(FactlensError, TypeError):
    """The model's architecture is not in the family map, or does not behave as the map says."""


class QuantizedModel(FactlensError, TypeError):
    """The weights are quantised (or not in memory), so they cannot be edited."""


class NumericalError(FactlensError, ArithmeticError):
    """The model, or a step of the method, produced NaN or infinity."""


class MetricError(FactlensError, ValueError):
    """The function of a metric gives no number, not one for each thing it is asked about, or is not known here."""


class WrongModel(FactlensError, ValueError):
    """Something belongs to other weights than those at hand.

    Weights are known by what they are: the fingerprint of the model without edits, and the ids of the active
    edits, which come from their content. What was computed on them (a trace, an average, a report) or for them (an
    edit, a second moment) goes with these weights only, under any name. Raised where the two are brought together,
    before anything is computed or changed.
    """


class WeightsChanged(FactlensError, RuntimeError):
    """Other code changed weights that an active edit or a computation of ours depends on.

    Attributes
    ----------
    parameters
        The parameters that were changed, where they are known.
    """

    def __init__(self, message: str, parameters: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.parameters = tuple(parameters)

    @classmethod
    def of(cls, parameters: Sequence[str], edits: Sequence[object]) -> WeightsChanged:
        """Return the error for parameters that were changed while edits lay on them."""
        more = f" and {len(parameters) - 1} more" if len(parameters) > 1 else ""
        carried = ", ".join(map(str, edits)) or "an edit"
        return cls(
            f"{parameters[0]!r}{more} was changed outside factlens while an edit lay on it ({carried:.300}). Nothing "
            "was computed or written. Either keep the change, edit included, as the new original weights: "
            "model.keep_changes(). Or give it up and go back to what the edits say: model.revert_changes().",
            parameters,
        )


class FileFormatError(FactlensError, ValueError):
    """A file cannot be read: it is another kind of file, it is damaged, or what is in it makes no sense."""


class FileNotWritten(FactlensError, OSError):
    """A file could not be written; what was there before is still there. ``reason`` says why in a few words."""

    def __init__(self, message: str, reason: str = "", number: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.errno = number


class EditWarning(FactlensWarning):
    """An edit did not take: the model does not say the new object after it. The message says which half failed."""


class CalibrationWarning(FactlensWarning):
    """A calibration has chosen nothing, or cannot be kept.

    Attributes
    ----------
    on_the_page
        The same for who has a button in front of them and no call.
    """

    def __init__(self, message: str, on_the_page: str) -> None:
        super().__init__(message)
        self.on_the_page = on_the_page


class Busy(FactlensError, RuntimeError):
    """The session is already computing something."""


class Closed(FactlensError, RuntimeError):
    """A lens that was closed was asked for something: it has let its model go."""

    def __init__(self) -> None:
        super().__init__("This lens is closed. Make another one: factlens.Lens(model, fact).")


class Interrupted(FactlensError, KeyboardInterrupt):
    """A computation was stopped by the user; what there is of the result is in ``partial``."""

    def __init__(self, message: str, partial: object = None) -> None:
        super().__init__(message)
        self.partial = partial
