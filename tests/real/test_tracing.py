"""Tracing a pretrained model: its grid is that of the plain protocol, and it can be saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import factlens as fl
from tests.tracing.oracle import restored_probability

FACT = fl.Fact("The capital of {} is", "France")
SAMPLES, SEED, WINDOW = 2, 1, 6


@pytest.fixture(scope="module")
def trace(shared_smollm2: fl.Model) -> fl.Trace:
    return fl.trace(shared_smollm2, FACT, samples=SAMPLES, seed=SEED, window=WINDOW)


#: The subject's last token early and late, the last token, and layers whose window is cut off at an end.
CELLS = [("state", 3, 2), ("state", 3, 15), ("state", 4, 24), ("state", 4, 29)]
CELLS += [(kind, *cell) for kind in ("mlp", "attn") for cell in ((3, 1), (3, 12), (4, 22), (4, 29))]


@pytest.mark.parametrize(("kind", "token", "layer"), CELLS)
def test_a_cell_is_that_of_the_plain_protocol(
    kind: str, token: int, layer: int, smollm2: fl.Model, trace: fl.Trace
) -> None:
    start, stop = smollm2.encode(FACT).subject_range
    noise = np.random.RandomState(SEED).randn(SAMPLES, stop - start, smollm2.embedding_width) * trace.noise_level
    near = range(max(0, layer - WINDOW // 2), min(smollm2.n_layers, layer - (-WINDOW // 2)))
    modules = {
        "state": [smollm2.blocks[layer]],
        "mlp": [smollm2.mlp(i) for i in near],
        "attn": [smollm2.attention(i) for i in near],
    }[kind]
    answer = smollm2.answers(FACT.prompt, k=1)[0].id
    expected = restored_probability(smollm2, FACT, noise, answer, token, modules)
    np.testing.assert_allclose(trace.samples.sel(kind=kind).values[token, layer], expected, atol=1e-5)


def test_the_fact_is_known_and_the_noise_takes_it_away(trace: fl.Trace) -> None:
    assert trace.answer.strip() == "Paris"
    assert trace.high > 0.5
    assert trace.low < trace.high / 2
    assert trace.effects.dims == ("kind", "token", "layer")
    assert trace.effects.sizes["layer"] == 30


def test_both_sites_of_the_paper_are_there(trace: fl.Trace) -> None:
    """The subject's last token early, in its state and its MLPs, and the last token late, in its attention.

    Where they lie in SmolLM2 was measured: the state carries the answer up to layer 15, fades until 22, and what
    attention writes at the last token carries it from layer 21 to 26.
    """
    share = trace.effects / (trace.high - trace.low)
    states, mlps, attention = (share.sel(kind=kind).values for kind in ("state", "mlp", "attn"))
    france, last = 3, 4
    assert (states[france, :15] > 0.7).all()
    assert (states[france, :21] > 0.1).all()
    assert (abs(states[france, 23:]) < 0.05).all()
    assert (states[last, 23:] > 0.9).all()
    assert (states[last, :15] < 0.15).all()
    assert mlps[france, :4].min() > 0.9
    assert 21 <= attention[last].argmax() <= 24
    assert attention[last].max() > 0.4
    assert attention[last, :10].max() < 0.1
    for values in (states, mlps, attention):
        assert (abs(values[:france]) < 0.02).all()


def test_a_trace_is_saved_and_loaded(trace: fl.Trace, tmp_path: Path) -> None:
    again = fl.Trace.load(trace.save(tmp_path / "trace.safetensors"))
    np.testing.assert_array_equal(again.samples.values, trace.samples.values)
    assert (again.fact, again.answer, again.fingerprint) == (trace.fact, trace.answer, trace.fingerprint)


@pytest.mark.parametrize("layer", [0, 1, 10, 29])
def test_every_layer_can_be_edited(layer: int, smollm2: fl.Model) -> None:
    smollm2.check_editable(layer)


def test_an_edit_changes_the_answer_and_is_undone_bit_for_bit(smollm2: fl.Model) -> None:
    before = smollm2.next_token(FACT.prompt)
    weight = smollm2.down_projection(2).weight.detach().clone()
    edit = fl.edit(smollm2, FACT.with_target("Berlin"), method="ft", layers=2, steps=6)
    answer = smollm2.next_token(FACT.prompt)
    assert not np.array_equal(answer.numpy(), before.numpy())
    assert smollm2.edits == (edit,)
    smollm2.undo()
    assert np.array_equal(smollm2.next_token(FACT.prompt).numpy(), before.numpy())
    assert np.array_equal(smollm2.down_projection(2).weight.detach().numpy(), weight.numpy())
