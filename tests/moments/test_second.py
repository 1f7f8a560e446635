"""A statistic merges, solves, says how sure it is, and is the identity matrix only when asked for by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import factlens as fl
from factlens.errors import FileFormatError, LayerError
from factlens.files import read_record, write_record
from factlens.moments import SecondMoment, collect
from factlens.moments.second import IDENTITY
from factlens.moments.sums import Sums
from tests.support import TEXT, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")


def of(keys: torch.Tensor, group: int = 50, corpus: str = "random keys") -> SecondMoment:
    sums = Sums(group)
    sums.add(keys)
    return SecondMoment(
        sums.matrix(),
        len(keys),
        0,
        "0" * 16,
        corpus,
        group=group,
        groups=sums.groups,
        spread=sums.spread,
        rows=sums.rows,
    )


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_merging_moments_is_collecting_together() -> None:
    model = small_model("gpt2")
    a, b = SecondMoment(torch.eye(3), 10, 0, "f", "text"), SecondMoment(2 * torch.eye(3), 5, 0, "f", "text")
    assert torch.equal((a + b).matrix, 3 * torch.eye(3) / 15)
    texts = TEXT * 160
    middle = next(i for i in range(200, 300) if i % 3 == 0)
    whole = collect(model, [1], texts, tokens=10**6, corpus="x", sequence=16)[1]
    first = collect(model, [1], texts[:middle], tokens=10**6, corpus="x", sequence=16)[1]
    second = collect(model, [1], texts[middle:], tokens=10**6, corpus="y", sequence=16)[1]
    merged = first + second
    assert merged.corpus == "x + y"
    assert (merged.groups, merged.asked) == (first.groups + second.groups, 2 * 10**6)
    # The two halves are cut into rows from their own beginnings, so the statistic is close, not equal.
    torch.testing.assert_close(merged.matrix, whole.matrix, rtol=0.1, atol=0.02 * float(whole.matrix.max()))
    assert torch.equal(merged.total, first.total + second.total)
    assert merged.count == first.count + second.count


def test_merging_says_how_sure_the_sum_is() -> None:
    keys = normal(4000, 6)
    whole, merged = of(keys), of(keys[:1500]) + of(keys[1500:])
    assert merged.effective == pytest.approx(whole.effective)
    assert (of(keys[:1500]) + of(keys[1500:], group=25)).effective is None, "groups of other sizes cannot be compared"


@pytest.mark.parametrize(
    "other", [{"layer": 1}, {"fingerprint": "1" * 16}, {"dtype": "float16"}, {"sequence": 7}], ids=str
)
def test_different_keys_are_not_merged(other: dict) -> None:
    moment = of(normal(100, 3))
    with pytest.raises(ValueError, match=r"different keys|belongs to the model .* not to that of"):
        moment + replace(of(normal(100, 3, seed=1)), **other)


def test_the_same_statistic_is_not_merged_with_itself() -> None:
    with pytest.raises(ValueError, match="same statistic twice"):
        of(normal(100, 3)) + of(normal(100, 3))


@pytest.mark.parametrize("copies", [1, 2, 5, 10])
def test_tokens_that_repeat_each_other_count_once(copies: int) -> None:
    keys = normal(20_000 // copies, 40).repeat_interleave(copies, 0)
    moment = of(keys)
    assert moment.effective <= len(keys)
    assert moment.effective == pytest.approx(len(keys) / copies, rel=0.15)


def test_tokens_never_count_more_than_once() -> None:
    # The same group again and again: the groups' means do not scatter at all.
    assert of(normal(50, 40).repeat(20, 1)).effective == 1000


def test_no_large_component_decides_for_all() -> None:
    keys = normal(20_000, 40)
    keys[:, 0] = 1e4 * normal(4000).repeat_interleave(5)
    assert of(keys).effective == pytest.approx(20_000 / (39 / 40 + 5 / 40), rel=0.1)


def test_dead_neurons_say_nothing() -> None:
    keys = normal(20_000, 40)
    keys[:, :20] = 0
    keys[:, 20] = 0.1
    assert of(keys).effective == pytest.approx(20_000, rel=0.15)
    assert of(torch.ones(2000, 4)).effective is None


def test_few_groups_measure_nothing() -> None:
    assert of(normal(50 * 7, 4)).effective is None
    moment = of(normal(50 * 8, 4))
    assert moment.effective is not None
    unmeasured = replace(moment, spread=None)
    assert unmeasured.effective is None
    assert unmeasured.expected_error == pytest.approx((4 / 400) ** 0.5)
    assert "not measured, expected error at least 10%" in unmeasured.described


@pytest.mark.parametrize("copies", [1, 4])
def test_the_expected_error_is_what_repeating_the_experiment_shows(copies: int) -> None:
    factor = torch.diag(torch.linspace(0.1, 3, 30, dtype=torch.float64)) @ torch.linalg.qr(normal(30, 30)).Q
    root = torch.linalg.inv(factor)
    errors, expected = [], []
    for seed in range(10):
        moment = of((normal(2000 // copies, 30, seed=seed) @ factor).repeat_interleave(copies, 0))
        errors.append(float((root.T @ moment.matrix @ root - torch.eye(30)).norm() / 30**0.5))
        expected.append(moment.expected_error)
    assert sum(expected) / 10 == pytest.approx(sum(errors) / 10, rel=0.2)


def test_it_says_how_far_to_trust_it() -> None:
    moment = of(normal(20_000, 40))
    for text in (moment.described, repr(moment)):
        assert "20000 tokens of random keys" in text
        assert f"effective sample size about {moment.effective:,.0f}" in text
        assert f"expected error {moment.expected_error:.0%}" in text
        assert "shrinkage in shares of the mean of C's diagonal" in text
    assert "tensor" not in repr(moment)


def test_solving_is_as_documented() -> None:
    moment, key = of(normal(500, 6)), normal(6, 2)
    C = moment.matrix
    wanted = torch.linalg.inv(C + 0.3 * C.diagonal().mean() * torch.eye(6)) @ key
    torch.testing.assert_close(moment.solve(key, 0.3), wanted)


# C = I -------------------------------------------------------------------------------------------------------------


def test_the_identity_matrix_solves_as_one() -> None:
    model = small_model("gpt2")
    moment = SecondMoment.identity_matrix(model, 2)
    width = model.down_projection(2).key_width
    assert torch.equal(moment.matrix, torch.eye(width))
    keys = normal(width, 3)
    plain = SecondMoment(7 * torch.eye(width, dtype=torch.float64), 7, 2, model.fingerprint, "seven")
    for shrinkage in (0.0, 0.1, 2.0):
        torch.testing.assert_close(moment.solve(keys, shrinkage), plain.solve(keys, shrinkage))
        torch.testing.assert_close(moment.solve(keys[:, 0], shrinkage), plain.solve(keys[:, 0], shrinkage))
    for relative in (True, False):
        used = moment.used_directions(0.02, relative=relative)
        torch.testing.assert_close(used @ used.T, torch.eye(width, dtype=torch.float64))
        assert moment.used_directions(1.1, relative=relative).shape == (width, 0)
    with pytest.raises(LayerError):
        SecondMoment.identity_matrix(model, 9)


def test_an_edit_with_the_identity_matrix_says_so(tmp_path: Path) -> None:
    model = small_model("gpt2")
    moment = SecondMoment.identity_matrix(model, 2)
    assert IDENTITY == "the identity matrix, by request"
    edit = fl.edit(model, FACT, layers=2, moments=moment, apply=False)
    assert IDENTITY in edit.moment
    assert "expected error" not in edit.moment
    loaded = SecondMoment.load(moment.save(tmp_path / "identity.safetensors"))
    assert loaded.is_identity
    assert loaded.described == moment.described
    with pytest.raises(ValueError, match="different keys"):
        moment + moment


def test_nothing_else_passes_for_the_identity_matrix(tmp_path: Path) -> None:
    moment = SecondMoment.identity_matrix(small_model("gpt2"), 2)
    with pytest.raises(ValueError, match="5 tokens of the identity"):
        replace(moment, count=5)
    with pytest.raises(ValueError, match="0 tokens of a text"):
        replace(moment, corpus="a text")
    path = moment.save(tmp_path / "identity.safetensors")
    record, arrays = read_record(path, "factlens.moment", 3)
    arrays["total"][3, 4] = 0.5
    write_record(path, "factlens.moment", 3, record, arrays)
    with pytest.raises(FileFormatError, match="claims to be the identity"):
        SecondMoment.load(path)


def test_a_statistic_comes_back_with_everything(tmp_path: Path) -> None:
    moment = replace(of(normal(800, 5)), dtype="float16", sequence=8, asked=799)
    loaded = SecondMoment.load(moment.save(tmp_path / "m.safetensors"))
    for name in ("count", "layer", "fingerprint", "corpus", "dtype", "sequence", "asked", "group", "groups"):
        assert getattr(loaded, name) == getattr(moment, name), name
    assert torch.equal(loaded.spread, moment.spread)
    assert loaded.effective == moment.effective
    assert torch.equal(loaded.rows, moment.rows)
    record, arrays = read_record(tmp_path / "m.safetensors", "factlens.moment", 3)
    for changed in (arrays | {"spread": arrays["spread"][:2]}, arrays | {"spread": arrays["spread"][:, :2]}):
        write_record(tmp_path / "m.safetensors", "factlens.moment", 3, record, changed)
        with pytest.raises(FileFormatError, match="array 'spread' of shape"):
            SecondMoment.load(tmp_path / "m.safetensors")


def test_files_from_before_rows_were_measured_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    uneven = normal(800, 5) @ torch.diag(torch.arange(1, 6, dtype=torch.float64))
    moment = replace(of(uneven), dtype="float32", sequence=8, asked=799)
    moment.save(path)
    record, arrays = read_record(path, "factlens.moment", 3)
    write_record(path, "factlens.moment", 2, record, {name: arrays[name] for name in ("total", "spread")})
    loaded = SecondMoment.load(path)
    assert loaded.rows is None
    assert loaded.described == moment.described
    assert torch.equal(loaded.solve(normal(5), 1e-3), moment.solve(normal(5), 1e-3))
    assert 0 < loaded.optimal_shrinkage() < 0.1, "as if the keys were normal, which they are"
    assert loaded.optimal_shrinkage() == pytest.approx(moment.optimal_shrinkage(), rel=0.5)
    assert (loaded + replace(moment, corpus="more")).rows is None, "of a part only, they would say too much"
