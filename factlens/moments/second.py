"""`SecondMoment`: ``C = E[k kᵀ]`` of the keys at one layer (the uncentred covariance), and solving with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from factlens import typed
from factlens.arguments import a_path, a_text, flag, instance, number, one_of, optional, refuse, whole
from factlens.errors import ArgumentError, NumericalError, WrongModel
from factlens.formats import Format
from factlens.models import Model
from factlens.models.belonging import Weights, check_belongs
from factlens.models.given import a_layer, a_model
from factlens.moments.scatter import effective_size
from factlens.moments.shapes import Shape, shape_of
from factlens.moments.shrinking import ledoit_wolf, normal_towards_diagonal, oas, towards_diagonal

Shrinkage = float | str
"""A ridge on ``C``, as a share of its mean diagonal; or towards what to pull it, by as much as it scatters."""
_ESTIMATORS = {"auto": (ledoit_wolf, oas), "diagonal": (towards_diagonal, normal_towards_diagonal)}
TARGETS = tuple(_ESTIMATORS)
IDENTITY = "the identity matrix, by request"
# An expected error above this is a lower bound: a few keys with heavy tails decide how far C is off.
_ROUGH = 0.5


def a_shrinkage(name: str, value: Any) -> Shrinkage:
    """Return the argument `name` if it says how to shrink ``C``.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    if isinstance(value, str):
        if value not in TARGETS:
            refuse(name, value, "a number, at least 0, or 'auto' or 'diagonal', which estimate it", "'auto'")
        return value
    return number(name, value, least=0, example="1e-3")


@dataclass(frozen=True, repr=False, eq=False)
class SecondMoment:
    """What the keys at one layer look like on ordinary text.

    Attributes
    ----------
    total
        ``Σ k kᵀ`` over the tokens seen, ``(keys, keys)``, float32 or float64, on the CPU.
    count
        Number of tokens; 0 only for the identity matrix, see `identity_matrix`.
    layer
        The layer whose down projection the keys enter.
    fingerprint
        Of the (unedited) model.
    corpus
        Which text, in words that identify it.
    dtype
        Number format in which the model computed the keys; None where it is not known.
    sequence
        How many tokens the model read together; None where it is not known.
    asked
        How many tokens were asked for: `count` is that many, rounded up to whole rows, or all that the text had.
    group, groups, spread
        How much the keys scatter: tokens in a group, number of groups, and the sums over tokens and groups from
        which `effective` follows, ``(3, keys)``; see `factlens.moments.sums`. None where it was not measured.
    rows
        How much the rows of tokens that were read together scatter, ``(3,)``, from which `optimal_shrinkage` follows.
        None where it was not measured.
    """

    total: Tensor
    count: int
    layer: int
    fingerprint: str
    corpus: str
    dtype: str | None = None
    sequence: int | None = None
    asked: int | None = None
    group: int = 0
    groups: int = 0
    spread: Tensor | None = None
    rows: Tensor | None = None

    def __post_init__(self) -> None:
        instance("total", self.total, Tensor, "a torch.Tensor, the sum of k kᵀ")
        for name in ("count", "layer", "group", "groups"):
            object.__setattr__(self, name, whole(name, getattr(self, name), least=0))
        for name in ("fingerprint", "corpus"):
            a_text(name, getattr(self, name))
        optional(a_text, "dtype", self.dtype)
        for name in ("sequence", "asked"):
            object.__setattr__(self, name, optional(whole, name, getattr(self, name), least=1))
        optional(instance, "spread", self.spread, Tensor, "a torch.Tensor, or None")
        width = self.total.shape[0] if self.total.ndim else 0
        if self.total.shape != (width, width):
            raise ArgumentError(f"its matrix (total) has shape {tuple(self.total.shape)}")
        if self.count < 0 or (self.count == 0) != (self.corpus == IDENTITY):
            raise ArgumentError(f"it is of {self.count} tokens of {self.corpus}")
        if self.is_identity and not torch.equal(self.total, torch.eye(width, dtype=self.total.dtype, device="cpu")):
            raise ArgumentError("it claims to be the identity matrix, and is not")
        if self.spread is not None and self.spread.shape != (3, width):
            raise ArgumentError(f"its scatter (spread) has shape {tuple(self.spread.shape)}")
        optional(instance, "rows", self.rows, Tensor, "a torch.Tensor, or None")
        if self.rows is not None and (self.rows.shape != (3,) or not self.rows[0] > 0):
            raise ArgumentError(
                f"its scatter of rows (rows) is {self.rows.tolist()}, not three numbers, of 1 row or more"
            )

    @classmethod
    def identity_matrix(cls, model: Model, layer: int) -> SecondMoment:
        """Return ``C = I`` for a layer: every direction of the keys counts as equally common.

        It needs no text and protects nothing in particular, so edits made with it change other facts more. It is
        never used unasked, and an edit made with it says so.

        Raises
        ------
        LayerError
            If the model has no such layer.
        """
        layer = a_layer(a_model("model", model), "layer", layer)
        width = model.down_projection(layer).key_width
        dtype = str(model.dtype).removeprefix("torch.")
        return cls(torch.eye(width, dtype=torch.float32, device="cpu"), 0, layer, model.fingerprint, IDENTITY, dtype)

    @property
    def is_identity(self) -> bool:
        """Whether this is the identity matrix and no statistic."""
        return self.count == 0

    @property
    def matrix(self) -> Tensor:
        """``C``, the mean of ``k kᵀ``."""
        return self.total if self.is_identity else self.total / self.count

    @cached_property
    def effective(self) -> float | None:
        """How many independent tokens would say as much as these; None if that was not measured.

        Tokens of one text resemble each other, so they say less than as many drawn apart: see
        `factlens.moments.scatter.effective_size`.
        """
        if self.spread is None or self.is_identity:
            return None
        return effective_size(self.spread, self.total.diagonal().double(), self.count, self.group, self.groups)

    @property
    def expected_error(self) -> float:
        """Roughly the relative error of ``C`` in a direction, on average over directions: ``√(keys / effective)``.

        Measured in ``C``'s own metric, ``‖C^-½ Ĉ C^-½ − I‖ / ‖I‖`` (Frobenius), which is what solving with it feels;
        exact for independent normal keys. Where `effective` was not measured, `count` takes its place, and the error
        is larger than this. So it is of few tokens with heavy tails: it was twice as large for atlas, where this said
        100 % for tokens of its own text. 0 for the identity matrix, which estimates nothing.
        """
        if self.is_identity:
            return 0.0
        return float((len(self.total) / (self.effective or self.count)) ** 0.5)

    @cached_property
    def shape(self) -> Shape:
        """How ``C`` is spread over directions: what tells how much the identity matrix would leave out."""
        return shape_of(self.total)

    def optimal_shrinkage(self, target: str = "auto") -> float:
        """Return how far to pull ``C`` towards a simpler matrix so that it errs least, from 0 to 1.

        From what was collected (Ledoit and Wolf 2004; Schäfer and Strimmer 2005, with rows as observations, see
        `factlens.moments.shrinking`); of files that were written before that was kept, as if the keys were normal
        (Chen et al. 2010), with `effective` tokens. 0 for the identity matrix, which estimates nothing.

        Parameters
        ----------
        target
            ``"auto"``: the identity matrix times the mean of C's diagonal. ``"diagonal"``: C's own diagonal.
        """
        target = one_of("target", target, TARGETS)
        if self.is_identity:
            return 0.0
        if target not in self._intensities:
            measured, normal = _ESTIMATORS[target]
            self._intensities[target] = (
                normal(self.total, self.count, self.effective or float(self.count))
                if self.rows is None
                else measured(self.total, self.count, self.rows)
            )
        return self._intensities[target]

    @cached_property
    def _intensities(self) -> dict[str, float]:
        return {}

    @property
    def identity(self) -> str:
        """One line that says which statistic this is; edits carry it."""
        what = self.corpus if self.is_identity else f"{self.count} tokens of {self.corpus}"
        details = [f"rows of {self.sequence} tokens"] if self.sequence else []
        details += [self.dtype] if self.dtype else []
        return ", ".join([f"layer {self.layer}", what, *details, f"model {self.fingerprint}"])

    @property
    def described(self) -> str:
        """`identity` with how far to trust it, and what shrinkage means."""
        if self.is_identity:
            return f"{self.identity}, no statistic of any text"
        if self.effective is None:
            trust = f"effective sample size not measured, expected error at least {self.expected_error:.0%}"
        else:
            error = f"{self.expected_error:.0%}{' or more' if self.expected_error > _ROUGH else ''}"
            trust = f"effective sample size about {self.effective:,.0f}, expected error {error}"
        return f"{self.identity}, {trust}, {self.shape}, shrinkage in shares of the mean of C's diagonal"

    def __repr__(self) -> str:
        return f"<factlens.moments.SecondMoment {len(self.total)} × {len(self.total)}, {self.described}>"

    def __add__(self, other: SecondMoment) -> SecondMoment:
        """Merge two statistics of the same keys, collected apart, over different texts or parts of one.

        Raises
        ------
        WrongModel
            If they are of different models.
        ValueError
            If they are of different layers, or were not computed alike, or are one and the same.
        """
        if not isinstance(other, SecondMoment):
            return NotImplemented
        check_belongs(
            Weights(None, self.fingerprint),
            f"The second moment of {other.corpus}",
            name=None,
            fingerprint=other.fingerprint,
            other=f"that of {self.corpus}",
        )
        alike = ("layer", "dtype", "sequence", "is_identity")
        if self.is_identity or any(getattr(self, name) != getattr(other, name) for name in alike):
            raise WrongModel(f"These are statistics of different keys: {self.identity}, and {other.identity}.")
        if self.identity == other.identity and torch.equal(self.total, other.total):
            raise WrongModel(f"This is the same statistic twice, which says no more than once: {self.identity}.")
        measured = self.spread is not None and other.spread is not None and self.group == other.group
        return SecondMoment(
            total=self.total + other.total,
            count=self.count + other.count,
            layer=self.layer,
            fingerprint=self.fingerprint,
            corpus=self.corpus if self.corpus == other.corpus else f"{self.corpus} + {other.corpus}",
            dtype=self.dtype,
            sequence=self.sequence,
            asked=None if self.asked is None or other.asked is None else self.asked + other.asked,
            group=self.group if measured else 0,
            groups=self.groups + other.groups if measured else 0,
            spread=self.spread + other.spread if measured else None,  # type: ignore[operator]
            rows=None if self.rows is None or other.rows is None else self.rows + other.rows,
        )

    def solve(self, keys: Tensor, shrinkage: Shrinkage) -> Tensor:
        """Return ``(C + shrinkage · mean(diag C) · I)⁻¹ keys`` by Cholesky, in float64.

        With ``"auto"`` it is ``((1 − ρ) C + ρ · mean(diag C) · I)⁻¹ keys``, with ``"diagonal"``
        ``((1 − ρ) C + ρ · diag C)⁻¹ keys``, where ρ is `optimal_shrinkage`.

        `keys` is one key or, ``(keys, facts)``, several side by side.

        The shrinkage keeps directions that the corpus never showed from being treated as free: they count as
        having that share of the average variance.

        Raises
        ------
        NumericalError
            If ``C`` is not positive definite.
        """
        shrinkage = a_shrinkage("shrinkage", shrinkage)
        instance("keys", keys, Tensor, "a torch.Tensor of keys")
        if keys.ndim not in (1, 2) or len(keys) != len(self.total):
            refuse("keys", keys, f"of shape ({len(self.total)},) or ({len(self.total)}, facts)")
        columns = keys.detach().to("cpu", torch.float64)
        if self.is_identity:
            # The diagonal's mean is 1; a factor of n³/3 operations would say the same.
            return columns if isinstance(shrinkage, str) else columns / (1 + shrinkage)
        # Two triangular solves take half the time of `torch.cholesky_solve`, which copies the factor first.
        factor = self._factor(shrinkage)
        half = torch.linalg.solve_triangular(factor, columns.reshape(len(columns), -1), upper=False)
        solved: Tensor = torch.linalg.solve_triangular(factor.T, half, upper=True)
        return solved.reshape(columns.shape)

    def used_directions(self, threshold: float, *, relative: bool) -> Tensor:
        """Return the directions in which ``C`` has at least `threshold`, orthonormal, ``(keys, directions)``, float64.

        Of the identity matrix these are all, up to a threshold of 1.

        Parameters
        ----------
        threshold
            Smallest eigenvalue that counts.
        relative
            Count in shares of the mean diagonal of ``C``, which is the mean eigenvalue.
        """
        threshold, relative = number("threshold", threshold, least=0, example="0.02"), flag("relative", relative)
        values, vectors = self._eigen
        least = threshold * float(values.mean()) if relative else threshold
        return vectors[:, values >= least]

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        if self.is_identity:
            return torch.ones(len(self.total), dtype=torch.float64), self.total.double()
        decomposed = torch.linalg.eigh(self.matrix.double())
        return decomposed.eigenvalues, decomposed.eigenvectors

    def _factor(self, shrinkage: Shrinkage) -> Tensor:
        if shrinkage not in self._factors:
            factor, info = torch.linalg.cholesky_ex(self._shrunk(shrinkage))
            if int(info) != 0:
                raise NumericalError(
                    f"The second moment of the keys is not positive definite ({self.identity}). "
                    "Collect more tokens, or raise the shrinkage."
                )
            self._factors[shrinkage] = factor
        return self._factors[shrinkage]

    def _shrunk(self, shrinkage: Shrinkage) -> Tensor:
        """Return ``C`` with its shrinkage, in float64."""
        C = self.matrix.double()
        mean = C.diagonal().mean()
        if not isinstance(shrinkage, str):
            ridge = shrinkage * mean
            return C + ridge * torch.eye(len(C), dtype=C.dtype)
        share = self.optimal_shrinkage(shrinkage)
        target = C.diagonal() if shrinkage == "diagonal" else mean.expand(len(C))
        return (1 - share) * C + torch.diag(share * target)

    @cached_property
    def _factors(self) -> dict[Shrinkage, Tensor]:
        return {}

    def save(self, path: str | Path) -> Path:
        """Write the statistic to one safetensors file, and make its folder if there is none."""
        path = a_path("path", path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        sums = {"total": self.total.numpy()}
        if self.spread is not None:
            sums["spread"] = self.spread.numpy()
        if self.rows is not None:
            sums["rows"] = self.rows.numpy()
        return _FORMAT.write(path, self, sums)

    @classmethod
    def load(cls, path: str | Path) -> SecondMoment:
        """Read a saved statistic.

        Raises
        ------
        FileFormatError
            If the file is not one, is damaged, or comes from another version's format.
        """
        with _FORMAT.reading(path) as (fields, sums):
            sums = typed.arrays(sums, _ARRAYS, {"kind of sum": 3})
            if (np.diagonal(sums["total"]) < 0).any():
                raise ValueError("it has negative squares")
            spread = torch.from_numpy(sums["spread"]) if "spread" in sums else None
            if (spread is None) != (fields["group"] == 0) or fields["group"] * fields["groups"] > fields["count"]:
                raise ValueError(f"it is of {fields['groups']} groups of {fields['group']} tokens")
            rows = torch.from_numpy(sums["rows"]) if "rows" in sums else None
            return cls(torch.from_numpy(sums["total"]), spread=spread, rows=rows, **fields)


# What a file must hold.
_FIELDS: dict[str, typed.Check] = {
    "count": typed.whole(),
    "layer": typed.whole(),
    "fingerprint": typed.text,
    "corpus": typed.text,
    "dtype": typed.optional(typed.text),
    "sequence": typed.optional(typed.whole(1)),
    "asked": typed.optional(typed.whole()),
    "group": typed.whole(),
    "groups": typed.whole(),
}
_FORMAT = Format("factlens.moment", "second moment", 3, _FIELDS, since={3: ()})
_ARRAYS = {
    "total": typed.Array(("key", "key")),
    "spread": typed.Array(("kind of sum", "key"), ("float64",), needed=False),
    "rows": typed.Array(("kind of sum",), ("float64",), needed=False),
}
