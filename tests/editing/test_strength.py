"""The weight against new keys that follows from the keys: whatever their scale, a fact gets the same share."""

from __future__ import annotations

import pytest
import torch

from factlens.editing.methods.memit import MemitHparams, least_squares
from factlens.editing.settings import defaults_for
from factlens.editing.strength import weight_for
from factlens.moments import SecondMoment

WIDTH = 32


def moment(scale: float) -> SecondMoment:
    keys = torch.randn(4 * WIDTH, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * scale
    return SecondMoment(keys.T @ keys, len(keys), 0, "a fingerprint", "a text")


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
@pytest.mark.parametrize("strength", [0.2, 0.8])
def test_a_key_alone_gets_its_share_at_any_scale(scale: float, strength: float) -> None:
    key = torch.randn(WIDTH, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * scale
    solved = least_squares({0: moment(scale)}, MemitHparams(moment_weight=None, strength=strength))(0, key)
    assert float(key.T @ solved) == pytest.approx(strength)


def test_a_given_weight_is_taken_as_it_is() -> None:
    assert weight_for(torch.eye(3), 15_000.0, 0.8) == 15_000.0
    assert weight_for(torch.diag(torch.tensor([1.0, 4.0, 100.0])), None, 0.8) == pytest.approx(1.0)


def test_models_without_published_settings_get_no_published_weight() -> None:
    weights = {"memit": "moment_weight", "emmet": "ridge", "alphaedit": "ridge"}
    for method, weight in weights.items():
        assert getattr(defaults_for("llama", 30, 576, method).hparams, weight) is None
    assert defaults_for("gpt2", 48, 1600, "memit").hparams.moment_weight == 20_000  # type: ignore[attr-defined]
