"""The key by which the bare prompt and the mean over contexts get the same change."""

from __future__ import annotations

import torch
from torch import Tensor

from factlens.editing.balance import balanced_keys
from factlens.editing.values import Values

WIDTH = 6


def values_with(mean: Tensor, bare: Tensor) -> Values:
    none = torch.zeros(len(mean), 1, dtype=torch.float64)
    return Values(none, mean, none, bare, none, (), ())


def drawn() -> tuple[Tensor, Tensor, Tensor]:
    """Second moment, mean keys and bare keys; the keys of a fact are of one length in the metric of C⁻¹."""
    generator = torch.Generator().manual_seed(3)
    factor = torch.randn(WIDTH, WIDTH, dtype=torch.float64, generator=generator)
    moment = factor @ factor.T + torch.eye(WIDTH, dtype=torch.float64)
    keys = torch.randn(2, 4, WIDTH, dtype=torch.float64, generator=generator)
    keys = keys / (keys @ torch.inverse(moment) * keys).sum(-1, keepdim=True).sqrt()
    return moment, keys[0], keys[1]


def test_both_get_the_whole_change_with_the_least_disturbance() -> None:
    moment, mean, bare = drawn()
    inverse = torch.inverse(moment)
    keys = balanced_keys(values_with(mean, bare), lambda some: inverse @ some)
    change = torch.tensor([1.0, -2.0], dtype=torch.float64)
    for key, one, other in zip(keys, mean, bare, strict=True):
        u = inverse @ key
        matrix = torch.outer(change, u) / (key @ u)
        torch.testing.assert_close(matrix @ one, change)
        torch.testing.assert_close(matrix @ other, change)
        K = torch.stack([one, other], 1)
        least = torch.stack([change, change], 1) @ torch.inverse(K.T @ inverse @ K) @ K.T @ inverse
        torch.testing.assert_close(matrix, least)


def test_a_key_that_is_the_other_one_made_longer_changes_nothing() -> None:
    """Beyond both ends the two constraints could be met only by a tiny key, and a huge change of the weights."""
    moment, mean, _ = drawn()
    inverse = torch.inverse(moment)
    for shorter, longer in ((mean, 3 * mean), (mean, 3 * mean + 0.01)):
        solved = balanced_keys(values_with(shorter, longer), lambda some: inverse @ some)
        torch.testing.assert_close(solved, shorter)
        torch.testing.assert_close(balanced_keys(values_with(longer, shorter), lambda some: inverse @ some), shorter)


def test_keys_that_are_the_same_stay() -> None:
    moment, mean, _ = drawn()
    torch.testing.assert_close(balanced_keys(values_with(mean, mean), lambda some: moment @ some), mean)
