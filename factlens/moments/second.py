"""`SecondMoment`: the uncentred second moment ``C = E[k kᵀ]`` of the keys at one layer, and solving with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from factlens.errors import FileFormatError, NumericalError
from factlens.files import read_record, write_record

_FORMAT, _SCHEMA = "factlens.moment", 1


@dataclass(frozen=True)
class SecondMoment:
    """What the keys at one layer look like on ordinary text.

    Attributes
    ----------
    total
        ``Σ k kᵀ`` over the tokens seen, ``(keys, keys)``, float32 or float64, on the CPU.
    count
        Number of tokens.
    layer
        The layer whose down projection the keys enter.
    fingerprint
        Of the (unedited) model.
    corpus
        Which text, in words that identify it.
    """

    total: Tensor
    count: int
    layer: int
    fingerprint: str
    corpus: str

    @property
    def matrix(self) -> Tensor:
        """``C``, the mean of ``k kᵀ``."""
        return self.total / self.count

    @property
    def expected_error(self) -> float:
        """Roughly the relative error of ``C`` at this number of tokens: ``√(keys / count)``."""
        return float((len(self.total) / self.count) ** 0.5)

    @property
    def identity(self) -> str:
        """One line that says which statistic this is; edits carry it."""
        return f"layer {self.layer}, {self.count} tokens of {self.corpus}, model {self.fingerprint}"

    def __add__(self, other: SecondMoment) -> SecondMoment:
        """Merge two statistics of the same keys, collected apart."""
        if (self.layer, self.fingerprint, self.corpus) != (other.layer, other.fingerprint, other.corpus):
            raise ValueError(f"These are statistics of different keys: {self.identity}, and {other.identity}.")
        return SecondMoment(
            self.total + other.total, self.count + other.count, self.layer, self.fingerprint, self.corpus
        )

    def solve(self, key: Tensor, shrinkage: float) -> Tensor:
        """Return ``(C + shrinkage · mean(diag C) · I)⁻¹ key`` by Cholesky, in float64.

        The shrinkage keeps directions that the corpus never showed from being treated as free: they count as
        having that share of the average variance.

        Raises
        ------
        NumericalError
            If ``C`` is not positive definite.
        """
        column = key.detach().to("cpu", torch.float64)[:, None]
        return torch.cholesky_solve(column, self._factor(shrinkage))[:, 0]

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
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        record = {name: getattr(self, name) for name in _PLAIN}
        return write_record(path, _FORMAT, _SCHEMA, record, {"total": self.total.numpy()})

    @classmethod
    def load(cls, path: str | Path) -> SecondMoment:
        """Read a saved statistic.

        Raises
        ------
        FileFormatError
            If the file is not one, is damaged, or comes from another version's format.
        """
        record, arrays = read_record(path, _FORMAT, _SCHEMA)
        try:
            total = arrays["total"]
            if total.ndim != 2 or total.shape[0] != total.shape[1]:
                raise ValueError(f"its matrix has shape {total.shape}")
            return cls(torch.from_numpy(total), **{name: record[name] for name in _PLAIN})
        except (KeyError, ValueError) as error:
            raise FileFormatError(f"{path} is not a complete factlens second moment: {error}.") from error


_PLAIN = ("count", "layer", "fingerprint", "corpus")
