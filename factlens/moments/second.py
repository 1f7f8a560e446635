"""`SecondMoment`: the uncentred second moment ``C = E[k kᵀ]`` of the keys at one layer, and solving with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from factlens.errors import FileFormatError, NumericalError

_SCHEMA = 1


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

    def save(self, path: Path) -> None:
        """Write the statistic to a safetensors file, under another name first, so that no half file is ever read."""
        from safetensors.torch import save_file

        record = {
            "format": "factlens.moment",
            "schema": _SCHEMA,
            **{name: getattr(self, name) for name in ("count", "layer", "fingerprint", "corpus")},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        save_file({"total": self.total.contiguous()}, str(partial), metadata={"factlens": json.dumps(record)})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> SecondMoment:
        """Read a saved statistic.

        Raises
        ------
        FileFormatError
            If the file is not one.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                record = json.loads((file.metadata() or {})["factlens"])
                if record["format"] != "factlens.moment" or record["schema"] != _SCHEMA:
                    raise FileFormatError(f"{path} is not a second moment that this version of factlens reads.")
                return cls(
                    file.get_tensor("total"), record["count"], record["layer"], record["fingerprint"], record["corpus"]
                )
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise FileFormatError(f"{path} is not a second moment that factlens wrote: {error}.") from error
