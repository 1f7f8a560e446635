"""What every part adds to a logit: it makes up the whole, with norms frozen, where that can be said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import factlens as fl
from factlens.tracing.direct_logit_attribution import freeze
from tests.support import small_model
from tests.tracing import details_oracle
from tests.tracing.details_oracle import shaken
from tests.tracing.looked_into import LAYER, TOKEN, plain_runs, traced


@pytest.mark.parametrize("before", [True, False])
def test_where_a_residual_is_normalised_itself_nothing_has_a_share(before: bool) -> None:
    # Norms as they are made, without weights of their own: two in a row then look like one, so probing the block on
    # its own would not notice what they do to the residual.
    model = small_model("opt", do_layer_norm_before=before, word_embed_proj_dim=48)
    trace = traced(model, kinds=["mlp", "attn"])
    clean, _ = plain_runs(model, trace)
    for site in trace.kinds:
        found = fl.details(model, trace, site, TOKEN, LAYER)
        if not before:
            assert (found.total, found.heads, found.neurons) == (None, None, None)
            continue
        whole, last = clean[site, LAYER][0, TOKEN], clean["state", model.n_layers - 1][0, TOKEN]
        expected = details_oracle.share(model, "opt", site, LAYER, whole, last, whole, trace.answer_id)
        assert found.total["clean"] == pytest.approx(expected, abs=2e-5)


def test_quantised_weights_have_no_heads_and_neurons_to_tell_apart() -> None:
    model = small_model("llama")
    for part in (model.down_projection(LAYER).linear, model.attention_out(LAYER)):
        part.register_buffer("scale", torch.ones(1))
    model.model.config.quantization_config = {"quant_method": "bitsandbytes"}
    trace = traced(model, kinds=["mlp", "attn"])
    mlp, attn = (fl.details(model, trace, kind, TOKEN, LAYER) for kind in trace.kinds)
    assert mlp.neurons is None
    assert attn.heads is None
    assert set(mlp.total) == set(attn.total) == {"clean", "corrupted"}


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_everything_that_was_added_makes_up_the_logit(kind: str) -> None:
    model = shaken(small_model(kind))
    trace = traced(model, kinds=["mlp", "attn"])
    last = len(trace.tokens) - 1
    shares = [
        fl.details(model, trace, name, last, i).total["clean"] for name in trace.kinds for i in range(model.n_layers)
    ]
    reads, enters = [], []
    with torch.no_grad():
        handles = [
            model.head.register_forward_pre_hook(lambda _m, args: reads.append(args[0][0, -1])),
            model.blocks[0].register_forward_pre_hook(lambda _m, args: enters.append(args[0][0, -1])),
        ]
        model.model(input_ids=torch.tensor([trace.token_ids]))
        for handle in handles:
            handle.remove()
        state = plain_runs(model, trace)[0]["state", model.n_layers - 1][0, -1]
        norm = model.model.get_submodule(model.family.norm)
        row = model.head.weight[trace.answer_id]
        embedding = float(row @ details_oracle.norm_share(kind, norm, state, enters[0]))
        bias = float(row @ norm.bias) if kind == "gpt2" else 0.0
        assert sum(shares) + embedding + bias == pytest.approx(float(row @ reads[0]), abs=1e-4)
    assert np.abs(shares).max() > 0.05


class Rms(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 0.1) + 2


@pytest.mark.parametrize("width", [8, 9])
def test_freezing_a_norm(width: int) -> None:
    at, direction, weight = torch.randn(3, width)
    layer_norm = nn.LayerNorm(width, eps=0.1)
    with torch.no_grad():
        layer_norm.weight.copy_(weight)
        layer_norm.bias.copy_(direction)
        found = freeze(layer_norm, at)
    assert found.centred
    torch.testing.assert_close(found.gain, weight / (at.var(unbiased=False) + 0.1).sqrt(), rtol=1e-4, atol=1e-5)
    value = torch.randn(width)
    expected = direction @ (found.gain * (value - value.mean()))
    torch.testing.assert_close(found.back(direction) @ value, expected, rtol=1e-4, atol=1e-5)
    found = freeze(Rms(weight), at)
    assert not found.centred
    torch.testing.assert_close(found.gain, weight / (at.square().mean() + 0.1).sqrt(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.back(direction), found.gain * direction)
    found = freeze(lambda rows: 3 * rows + 1, at)
    torch.testing.assert_close(found.gain, torch.full((width,), 3.0))


def test_what_cannot_be_frozen() -> None:
    at = torch.randn(8)
    mix = torch.randn(8, 8)
    for function in (
        torch.tanh,
        lambda rows: rows @ mix,
        lambda rows: rows[:, :4],
        lambda rows: rows.softmax(-1),
        torch.relu,
    ):
        assert freeze(function, at) is None
