"""The model's own tail, run on given states."""

from __future__ import annotations

import pytest
import torch

from factlens.models.unembedding import tail
from tests.support import SHAPES, small_model
from tests.tracing.details_oracle import shaken


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_the_last_blocks_output_gives_the_models_own_logits(kind: str) -> None:
    model = shaken(small_model(kind))
    ids = torch.tensor([[5, 9, 2, 40, 17, 33], [8, 8, 250, 1, 60, 99]])
    seen, read = [], []
    handles = [
        model.blocks[-1].register_forward_hook(lambda _m, _a, out: seen.append(out[0] if model.returns_tuple else out)),
        model.head.register_forward_pre_hook(lambda _m, args: read.append(args[0])),
    ]
    with torch.no_grad():
        logits = model.model(input_ids=ids).logits
    for handle in handles:
        handle.remove()
    found = tail(model, seen[0])[1]
    assert found.shape == logits.shape
    torch.testing.assert_close(found, logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tail(model, seen[0])[0], read[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tail(model, seen[0][1, 3])[1], logits[1, 3], atol=1e-5, rtol=1e-5)
    assert found.std() > 0.01
    hooked = [m for m in model.model.modules() if m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m)]
    assert hooked == []


@pytest.mark.parametrize(
    ("kind", "settings"), [("gemma2", {"final_logit_softcapping": 0.2}), ("cohere", {"logit_scale": 0.3})]
)
def test_capping_and_scaling_are_in_it(kind: str, settings: dict) -> None:
    model = small_model(kind, **settings)
    hidden = torch.randn(3, model.width)
    state, logits = tail(model, hidden)
    raw = state @ model.head.weight.T
    expected = 0.2 * torch.tanh(raw / 0.2) if kind == "gemma2" else 0.3 * raw
    torch.testing.assert_close(logits, expected.detach())
    assert not torch.allclose(raw, logits, atol=1e-2)
