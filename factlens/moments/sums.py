"""`Sums`: the running sums over the keys of one layer, from which a second moment and its reliability follow."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor

# Tokens whose sum is one observation when the scatter is measured: longer than most correlations within a text.
GROUP = 1024
# Tokens whose products are formed together: as many as the caches of a CPU like.
_PIECE = 4096
# C is symmetric: of its rows, cut into this many strips, only what lies right of the diagonal is computed.
_STRIPS = 4


class Sums:
    """``Σ k kᵀ`` over tokens in float64, and what is needed to say how much its terms scatter.

    Products are formed in float32 (float64 for float64 keys), a few thousand tokens at a time, and added up in
    float64: that is several times as fast as float64 throughout, and no sum is long enough to lose digits.

    Parameters
    ----------
    group
        Number of consecutive tokens that form a group.
    row
        Number of consecutive tokens that are read together; groups are whole rows.

    Attributes
    ----------
    total
        ``(keys, keys)``, float64; only the upper triangle is kept up to date, see `matrix`.
    spread
        ``(3, keys)``, float64, on the CPU, for every component of the keys: ``Σ k⁴`` over tokens, and sum and sum
        of squares of the whole groups' ``Σ k²``.
    groups
        Number of whole groups.
    rows
        ``(3,)``, float64, on the CPU, what `factlens.moments.shrinking` needs: the number of rows, and the sum over
        rows of ``‖Σ k kᵀ‖²`` (Frobenius) and of the part of it that lies on the diagonal.
    """

    def __init__(self, group: int, row: int = 1) -> None:
        self.group = group
        self.row = row
        self.groups = 0
        self.total = torch.zeros(0, 0, dtype=torch.float64)
        self.spread = torch.zeros(3, 0, dtype=torch.float64)
        self.rows = torch.zeros(3, dtype=torch.float64)
        self._buffer = torch.zeros(0)

    def add(self, keys: Tensor) -> None:
        """Add the keys of consecutive tokens, ``(tokens, keys)``; in whole groups but for the last call, and rows."""
        if not self._buffer.numel():
            self._begin(keys)
        # In pieces: the wide copy of many half-precision keys would take twice their memory.
        for piece in keys.split(max(4, _PIECE // self.group) * self.group):
            wide = piece if piece.dtype == torch.float64 else piece.float()
            self._add_products(wide)
            self._add_rows(wide)
            self._add_spread(wide)

    @classmethod
    def resumed(cls, group: int, row: int, total: Tensor, spread: Tensor, rows: Tensor, groups: int) -> Sums:
        """Return sums to go on from, as an earlier pass left them.

        Raises
        ------
        ValueError
            If they do not fit together.
        """
        sums = cls(group, row)
        sums.total, sums.spread, sums.rows, sums.groups = total, spread, rows, groups
        width = len(total)
        if total.shape != (width, width) or spread.shape != (3, width) or total.dtype != torch.float64:
            raise ValueError(f"sums of shapes {tuple(total.shape)} and {tuple(spread.shape)}")
        return sums

    def _begin(self, keys: Tensor) -> None:
        """Make room for the sums beside the keys, or on the CPU where their device has no float64 or no room."""
        width = keys.shape[1]
        if not len(self.total):
            self.total = torch.zeros(width, width, dtype=torch.float64)
            self.spread = torch.zeros(3, width, dtype=torch.float64)
        if keys.device.type != "mps":
            with suppress(torch.OutOfMemoryError):
                self.total = self.total.to(keys.device)

    def _add_products(self, keys: Tensor) -> None:
        width = keys.shape[1]
        step = -(-width // _STRIPS)
        if self._buffer.shape != (step * width,) or self._buffer.dtype != keys.dtype:
            # Kept from call to call: fresh memory of this size costs more than the sums that go into it.
            self._buffer = keys.new_empty(step * width)
        for start in range(0, width, step):
            rows = keys[:, start : start + step]
            strip = self._buffer[: rows.shape[1] * (width - start)].view(rows.shape[1], width - start)
            torch.mm(rows.T, keys[:, start:], out=strip)
            self.total[start : start + step, start:] += strip.to(self.total.device)

    def _add_rows(self, keys: Tensor) -> None:
        rows = keys.reshape(-1, self.row, keys.shape[1])
        # ‖Kᵀ K‖ = ‖K Kᵀ‖, and a row has fewer tokens than a key has components.
        products = torch.bmm(rows, rows.mT).double().square().sum()
        diagonal = rows.square().sum(1).double().square().sum()
        self.rows += torch.stack([torch.tensor(float(len(rows)), dtype=torch.float64), products.cpu(), diagonal.cpu()])

    def _add_spread(self, keys: Tensor) -> None:
        squares = keys * keys
        whole = len(keys) // self.group
        # A float32 sum over one group is exact to 1e-6; across groups the sums are float64.
        of_groups = squares[: whole * self.group].view(whole, self.group, keys.shape[1]).sum(1).cpu().double()
        # In place: the squares are not needed any more.
        self.spread[0] += squares.square_().sum(0).cpu().double()
        self.spread[1] += of_groups.sum(0)
        self.spread[2] += of_groups.square().sum(0)
        self.groups += whole

    @property
    def finite(self) -> bool:
        """Whether every key so far was a number."""
        return bool(torch.isfinite(self.spread[0]).all())

    def matrix(self) -> Tensor:
        """Return the whole of ``Σ k kᵀ``, exactly symmetric, float64, on the CPU; nothing can be added after it."""
        total = self.total.cpu()
        step = -(-len(total) // _STRIPS)
        for start in range(0, len(total), step):
            stop = start + step
            block = total[start:stop, start:stop].triu()
            total[start:stop, start:stop] = block + block.triu(1).T
            total[stop:, start:stop] = total[start:stop, stop:].T
        return total
