"""`SecondMoment`: ``C = E[k kᵀ]`` of the keys at one layer (the uncentred covariance), and solving with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from factlens import typed
from factlens.arguments import a_path, a_text, flag, instance, number, optional, refuse, whole
from factlens.errors import ArgumentError, NumericalError, WrongModel
from factlens.formats import Format
from factlens.models import Model
from factlens.models.belonging import Weights, check_belongs
from factlens.models.given import a_layer, a_model
from factlens.moments.scatter import effective_size

IDENTITY = "the identity matrix, by request"


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
        is larger than this. 0 for the identity matrix, which estimates nothing.
        """
        if self.is_identity:
            return 0.0
        return float((len(self.total) / (self.effective or self.count)) ** 0.5)

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
            trust = f"effective sample size about {self.effective:,.0f}, expected error {self.expected_error:.0%}"
        return f"{self.identity}, {trust}, shrinkage in shares of the mean of C's diagonal"

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
        )

    def solve(self, keys: Tensor, shrinkage: float) -> Tensor:
        """Return ``(C + shrinkage · mean(diag C) · I)⁻¹ keys`` by Cholesky, in float64.

        `keys` is one key or, ``(keys, facts)``, several side by side.

        The shrinkage keeps directions that the corpus never showed from being treated as free: they count as
        having that share of the average variance.

        Raises
        ------
        NumericalError
            If ``C`` is not positive definite.
        """
        shrinkage = number("shrinkage", shrinkage, least=0, example="1e-3")
        instance("keys", keys, Tensor, "a torch.Tensor of keys")
        if keys.ndim not in (1, 2) or len(keys) != len(self.total):
            refuse("keys", keys, f"of shape ({len(self.total)},) or ({len(self.total)}, facts)")
        columns = keys.detach().to("cpu", torch.float64)
        if self.is_identity:
            # The diagonal's mean is 1; a factor of n³/3 operations would say the same.
            return columns / (1 + shrinkage)
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

    def _factor(self, shrinkage: float) -> Tensor:
        if shrinkage not in self._factors:
            C = self.matrix.double()
            ridge = shrinkage * C.diagonal().mean()
            factor, info = torch.linalg.cholesky_ex(C + ridge * torch.eye(len(C), dtype=C.dtype))
            if int(info) != 0:
                raise NumericalError(
                    f"The second moment of the keys is not positive definite ({self.identity}). "
                    "Collect more tokens, or raise the shrinkage."
                )
            self._factors[shrinkage] = factor
        return self._factors[shrinkage]

    @cached_property
    def _factors(self) -> dict[float, Tensor]:
        return {}

    def save(self, path: str | Path) -> Path:
        """Write the statistic to one safetensors file, and make its folder if there is none."""
        path = a_path("path", path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        sums = {"total": self.total.numpy()}
        if self.spread is not None:
            sums["spread"] = self.spread.numpy()
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
            return cls(torch.from_numpy(sums["total"]), spread=spread, **fields)


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
_FORMAT = Format("factlens.moment", "second moment", 2, _FIELDS)
_ARRAYS = {
    "total": typed.Array(("key", "key")),
    "spread": typed.Array(("kind of sum", "key"), ("float64",), needed=False),
}
