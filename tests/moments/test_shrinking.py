"""Shrinkage is what scikit-learn finds for independent tokens, and honest about those that are not."""

from __future__ import annotations

import pytest
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.covariance import oas as sklearn_oas

import factlens as fl
from factlens.editing.api import quiet_edit
from factlens.moments import SecondMoment
from factlens.moments.shapes import shape_of
from factlens.moments.shrinking import oas
from factlens.moments.sums import Sums
from tests.support import small_model


def sums_of(keys: torch.Tensor, row: int = 1) -> Sums:
    sums = Sums(row, row)
    sums.add(keys)
    return sums


def moment_of(keys: torch.Tensor, row: int = 1, *, measured: bool = True) -> SecondMoment:
    sums = sums_of(keys, row)
    rows = sums.rows if measured else None
    return SecondMoment(sums.matrix(), len(keys), 0, "0" * 16, "random", sequence=row, rows=rows)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("count", "width"), [(10, 40), (60, 40), (2000, 30)])
@pytest.mark.parametrize("heavy", [False, True])
def test_of_independent_tokens_it_is_ledoit_and_wolfs(count: int, width: int, heavy: bool) -> None:
    keys = normal(count, width) @ normal(width, width, seed=1)
    keys = keys**3 if heavy else keys
    expected = ledoit_wolf_shrinkage(keys.numpy(), assume_centered=True)
    assert moment_of(keys).optimal_shrinkage() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("count", "width"), [(10, 40), (60, 40), (2000, 30)])
def test_without_the_rows_it_is_oas(count: int, width: int) -> None:
    keys = normal(count, width) @ normal(width, width, seed=1)
    _, expected = sklearn_oas(keys.numpy(), assume_centered=True)
    assert oas(sums_of(keys).matrix(), count, count) == pytest.approx(expected, rel=1e-9)
    assert moment_of(keys, measured=False).optimal_shrinkage() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("heavy", [False, True])
def test_towards_the_diagonal_it_is_the_variance_over_the_square(heavy: bool) -> None:
    keys = normal(50, 12) @ normal(12, 12, seed=1)
    keys = keys**3 if heavy else keys
    products = torch.einsum("ni,nj->nij", keys, keys)
    C = products.mean(0)
    apart = ~torch.eye(12, dtype=torch.bool)
    variance = ((products - C) ** 2).mean(0) / len(keys)
    expected = float(variance[apart].sum() / C[apart].square().sum())
    assert moment_of(keys).optimal_shrinkage("diagonal") == pytest.approx(min(1, expected), rel=1e-9)
    if not heavy:
        assert moment_of(keys, measured=False).optimal_shrinkage("diagonal") == pytest.approx(expected, rel=0.3)


def test_tokens_that_resemble_each_other_count_for_less() -> None:
    """Every row says one thing eight times: as few observations as rows."""
    apart = normal(40, 30)
    alike = apart.repeat_interleave(8, 0)
    expected = moment_of(apart).optimal_shrinkage()
    assert moment_of(alike, row=8).optimal_shrinkage() == pytest.approx(expected, rel=1e-9)
    assert moment_of(alike, row=1).optimal_shrinkage() < expected / 4


@pytest.mark.parametrize("target", ["auto", "diagonal"])
def test_the_solution_is_that_of_the_shrunk_matrix_and_nearer_to_the_truth(target: str) -> None:
    spread = torch.diag(torch.linspace(1, 8, 60, dtype=torch.float64)) @ (torch.eye(60) + 0.1 * normal(60, 60, seed=1))
    moment, key = moment_of(normal(40, 60) @ spread), normal(60, 2, seed=3)
    C, share = moment.matrix, moment.optimal_shrinkage(target)
    assert 0 < share < 1
    T = torch.diag(C.diagonal()) if target == "diagonal" else C.diagonal().mean() * torch.eye(60, dtype=C.dtype)
    expected = torch.linalg.solve((1 - share) * C + share * T, key)
    torch.testing.assert_close(moment.solve(key, target), expected)
    truth = spread.T @ spread
    assert torch.dist((1 - share) * C + share * T, truth) < 0.8 * torch.dist(C, truth)


def test_many_tokens_are_left_alone_and_the_identity_is() -> None:
    keys = normal(20_000, 10) @ torch.diag(torch.linspace(1, 3, 10, dtype=torch.float64))
    assert moment_of(keys).optimal_shrinkage() < 0.01
    identity = SecondMoment.identity_matrix(small_model("gpt2"), 1)
    assert identity.optimal_shrinkage() == 0
    key = normal(len(identity.total))
    assert torch.equal(identity.solve(key, "auto"), key)


def test_parts_add_up() -> None:
    keys = normal(60, 20)
    first, second = moment_of(keys[:20], row=4), moment_of(keys[20:], row=4)
    assert (first + second).optimal_shrinkage() == pytest.approx(moment_of(keys, row=4).optimal_shrinkage(), rel=1e-9)


@pytest.mark.parametrize("method", ["rome", "emmet", "memit"])
def test_methods_take_a_word_for_it(method: str) -> None:
    model = small_model("gpt2")
    keys = normal(30, model.down_projection(1).key_width).float()
    sums = sums_of(keys)
    moment = SecondMoment(sums.matrix(), 30, 1, model.fingerprint, "random", rows=sums.rows)
    fact = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target=" Seattle")
    edits = {
        shrinkage: quiet_edit(
            model, fact, method=method, layers=1, moments=moment, apply=False, steps=2, shrinkage=shrinkage
        )
        for shrinkage in (0.1, "auto", "diagonal")
    }
    ridge = edits[0.1].updates[0].matrix(torch.zeros(1))
    for word in ("auto", "diagonal"):
        assert edits[word].hparams["shrinkage"] == word
        assert torch.dist(edits[word].updates[0].matrix(ridge), ridge) > 0.01 * ridge.norm()


# How C is spread --------------------------------------------------------------------------------------------------


def test_keys_in_all_directions_have_no_common_one() -> None:
    shape = shape_of(sums_of(normal(50_000, 40)).matrix())
    assert shape.common_direction == pytest.approx(1 / 40, rel=0.1)
    assert shape.largest_dimension == pytest.approx(1 / 40, rel=0.05)
    assert shape.effective_rank == pytest.approx(40, rel=0.01)


def test_a_mean_is_a_common_direction() -> None:
    mean = torch.ones(40, dtype=torch.float64)  # ‖m‖² = 40 beside a spread of 40: half of the trace, and a little
    shape = shape_of(sums_of(normal(50_000, 40) + mean).matrix())
    assert shape.common_direction == pytest.approx(0.5 + 0.5 / 40, rel=0.02)
    assert shape.largest_dimension < 0.03
    assert shape.effective_rank == pytest.approx(1 / (0.5125**2 + 39 * 0.0125**2), rel=0.02)


def test_a_massive_component_is_seen() -> None:
    keys = normal(5000, 40)
    keys[::64, 7] = 300.0  # one token in 64, as the first of each row
    shape = shape_of(sums_of(keys).matrix())
    assert shape.largest_dimension > 0.95
    assert shape.common_direction == pytest.approx(shape.largest_dimension, rel=0.01)
    assert shape.effective_rank < 1.1


@pytest.mark.parametrize("width", [1, 3, 60])
def test_the_largest_eigenvalue_is_found(width: int) -> None:
    matrix = sums_of(normal(100, width) @ normal(width, width, seed=1)).matrix()
    values = torch.linalg.eigvalsh(matrix)
    shape = shape_of(matrix)
    assert shape.common_direction == pytest.approx(float(values[-1] / values.sum()), rel=1e-3)
    assert shape.effective_rank == pytest.approx(float(values.sum() ** 2 / values.square().sum()), rel=1e-9)
    assert shape_of(torch.zeros(width, width)).common_direction == 0


def test_a_statistic_says_its_shape() -> None:
    moment = moment_of(normal(50, 4))
    for text in (repr(moment), moment.described):
        assert f"{moment.shape.common_direction:.0%} of C in one direction" in text
        assert f"effective rank {moment.shape.effective_rank:.3g} of 4" in text
