"""The choices that a trace is made of: what is restored, how the subject is corrupted, what is measured.

Plain records without torch, so that a saved trace can be read anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from factlens import typed
from factlens.arguments import a_text, flag, items, number, one_of, optional, shown, some_texts
from factlens.errors import ArgumentError, FactError
from factlens.tracing.metrics import METRICS as METRICS
from factlens.typed import BadField

KINDS = ("state", "mlp", "attn")
"""The three grids of the paper, traced by default."""
SEVERED = {"severed_mlp": "mlp", "severed_attn": "attn"}
"""Kinds that restore a state while the MLP (attention) of that token is held at its corrupted output."""
KIND_NAMES = {
    "state": "hidden state",
    "mlp": "MLP",
    "attn": "attention",
    "severed_mlp": "hidden state, MLP severed",
    "severed_attn": "hidden state, attention severed",
}
NOISE_SHAPES = ("gaussian", "uniform", "multivariate")
WINDOW_CONVENTIONS = ("code", "paper")
_HEAD = re.compile(r"head\.(\d+)")


def head_of(kind: str) -> int | None:
    """Return the number of the attention head that a kind such as ``"head.3"`` names; None for every other kind."""
    found = _HEAD.fullmatch(kind)
    return int(found[1]) if found else None


def kind_name(kind: str) -> str:
    """Return what a kind is called in a figure."""
    return f"attention head {head_of(kind)}" if head_of(kind) is not None else KIND_NAMES[kind]


def is_windowed(kind: str) -> bool:
    """Whether a kind restores a window of layers rather than one."""
    return kind in ("mlp", "attn")


def expand_kinds(kinds: Any, n_heads: int | None) -> tuple[str, ...]:
    """Return the kinds without repetition, ``"head"`` written out as every head of the model.

    Raises
    ------
    FactError
        If one of them is not a kind, or the model has no such head.
    """
    if isinstance(kinds, str):
        kinds = (kinds,)
    found: list[str] = []
    for kind in items("kinds", kinds, f"some of {', '.join(KIND_NAMES)}, head, head.0, ...", example="['mlp', 'attn']"):
        head = head_of(kind) if isinstance(kind, str) else None
        if kind == "head" or head is not None:
            if n_heads is None:
                raise FactError("Heads cannot be traced on this model: its family map names no attention output.")
            if head is not None and head >= n_heads:
                raise FactError(
                    f"There is no head {head}: the model's {n_heads} heads are numbered 0 to {n_heads - 1}."
                )
            found += [f"head.{i}" for i in range(n_heads)] if kind == "head" else [kind]
        elif isinstance(kind, str) and kind in KIND_NAMES:
            found.append(kind)
        else:
            raise FactError(f"kinds must be some of {', '.join(KIND_NAMES)}, head, head.0, ..., not {shown(kind)}.")
    if not found:
        raise FactError(f"kinds must be some of {', '.join(KIND_NAMES)}, head, head.0, ...; none was given.")
    return tuple(dict.fromkeys(found))


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


def read_kind(value: Any) -> str:
    """Return a kind that a file names; raise ValueError if there is no such kind."""
    if typed.text(value) not in KIND_NAMES and head_of(value) is None:
        raise BadField(f"is {value!r:.40}, which is no kind of state")
    return str(value)


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
