"""Rows of tokens of several lengths as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pad(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Right-pad rows of token ids; return ids and attention mask, both ``(rows, longest)``."""
    return _padded(rows, device, [0] * len(rows))


def pad_left(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Left-pad rows of token ids, so that all end in one column; return ids and mask, both ``(rows, longest)``."""
    longest = max(map(len, rows))
    return _padded(rows, device, [longest - len(row) for row in rows])


def _padded(rows: Sequence[Sequence[int]], device: torch.device, starts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Put each row where it starts."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
        ids[i, start : start + len(row)] = torch.tensor(row)
        mask[i, start : start + len(row)] = 1
    return ids.to(device), mask.to(device)
