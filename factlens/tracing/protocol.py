"""The choices that a trace is made of: how the subject is corrupted, and over which windows.

Plain records without torch, so that a saved trace can be read anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from factlens import typed
from factlens.arguments import a_text, flag, number, one_of, optional, some_texts
from factlens.errors import ArgumentError

NOISE_SHAPES = ("gaussian", "uniform", "multivariate")
WINDOW_CONVENTIONS = ("code", "paper")
AUTO, FIXED = "auto", "fixed"
SAMPLINGS = (FIXED, AUTO)
"""How the number of noise samples came about: given, or found to be enough."""


@dataclass(frozen=True)
class Noise:
    """Corrupt the subject by noise on the embeddings of its tokens (Meng et al. 2022, Section 2 and B.1).

    Parameters
    ----------
    multiple
        Size of the noise in multiples of σ, the standard deviation over all elements of the embeddings of some
        tokens; 3 in the paper.
    subjects
        Names over whose tokens σ (and the covariance of ``"multivariate"``) is taken. Default: the traced subject
        for σ, the whole vocabulary for the covariance. The paper takes its thousand subjects.
    level
        The size itself, instead of ``multiple`` times σ. For ``"multivariate"`` it multiplies the draw.
    shape
        ``"gaussian"``: standard deviation `level` in every component. ``"uniform"``: between ``-level`` and
        ``level``. ``"multivariate"``: Gaussian with the covariance of the embeddings, times `multiple`.
    replace
        Put the noise in the embeddings' place instead of adding it.
    """

    multiple: float = 3.0
    subjects: tuple[str, ...] | None = None
    level: float | None = None
    shape: str = "gaussian"
    replace: bool = False

    def __post_init__(self) -> None:
        subjects = optional(some_texts, "subjects", self.subjects, example="['The Space Needle', 'The Louvre']")
        if subjects == ():
            raise ArgumentError("The list of subjects for the noise level is empty. Leave it out, or name some.")
        checked = {
            "multiple": number("multiple", self.multiple, above=0, example="3"),
            "subjects": subjects,
            "level": optional(number, "level", self.level, above=0, example="0.1"),
            "shape": one_of("shape", self.shape, NOISE_SHAPES),
            "replace": flag("replace", self.replace),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Replacement:
    """Corrupt the subject by writing another one in its place: symmetric token replacement.

    Zhang and Nanda (2023) recommend it over noise, which takes the model off its distribution. The other subject
    may have any number of tokens. Where the two differ in length, tokens are matched from their ends: the last with
    the last, and so on; surplus first tokens of the traced subject are restored at the other's first token, and
    surplus first tokens of the other are never restored. A restored state then sits at another position than the
    one it was computed at, so subjects of equal length are to be preferred.

    Parameters
    ----------
    subject
        What to write instead: ``"The Eiffel Tower"``.
    """

    subject: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", a_text("subject", self.subject, example="'The Eiffel Tower'"))


Corruption = Noise | Replacement


def corruption_record(corruption: Corruption) -> dict[str, Any]:
    """Return a corruption as plain JSON; `read_corruption` is its inverse."""
    if isinstance(corruption, Replacement):
        return {"replacement": corruption.subject}
    return {**vars(corruption)}


def read_corruption(value: Any) -> Corruption:
    """Return the corruption that a JSON record describes.

    Raises
    ------
    ValueError
        If a field is missing, unknown or of the wrong type, or there can be no such corruption.
    """
    if isinstance(value, dict) and "replacement" in value:
        return Replacement(_REPLACEMENT(value)["replacement"])
    return Noise(**_NOISE(value))


_REPLACEMENT = typed.record({"replacement": typed.text})
_NOISE = typed.record(
    {
        "multiple": typed.number,
        "subjects": typed.optional(typed.many(typed.text)),
        "level": typed.optional(typed.number),
        "shape": typed.one_of(*NOISE_SHAPES),
        "replace": typed.flag,
    }
)
