"""The sweep gives the numbers of the plain protocol, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import factlens as fl
from tests.support import SHAPES, small_model
from tests.tracing import oracle

FACTS = {
    "subject first": fl.Fact("{} is in downtown", "The Space Needle"),
    "subject in the middle": fl.Fact("In Paris, the {} is near", "Eiffel Tower"),
    "subject last": fl.Fact("Everyone knows {}", "Zürich"),
    "one token": fl.Fact("The capital of {} is", "a"),
}

#: Tighter than the promised 1e-5, because the random models' probabilities are small.
ATOL = 1e-6


def compare(
    model: fl.Model,
    fact: fl.Fact,
    window: int,
    samples: int = 3,
    level: float = 0.3,
    atol: float = ATOL,
    **options: object,
) -> None:
    expected = oracle.trace(model, fact, samples=samples, level=level, window=window)
    trace = fl.trace(model, fact, samples=samples, corruption=fl.Noise(level=level), window=window, **options)
    assert trace.complete
    assert trace.answer_id == expected["answer"]
    assert trace.high == pytest.approx(expected["high"], abs=1e-5)
    np.testing.assert_allclose(trace.low_samples, expected["low"], atol=1e-5)
    for kind in trace.kinds:
        np.testing.assert_allclose(trace.samples.sel(kind=kind).values, expected[kind], atol=atol, err_msg=kind)
    # A comparison of flat grids would prove nothing.
    assert np.ptp(np.stack([expected[kind] for kind in trace.kinds])) > 100 * atol


@pytest.mark.parametrize("fact", FACTS.values(), ids=FACTS)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_random_model_equals_the_plain_protocol(kind: str, fact: fl.Fact) -> None:
    compare(small_model(kind), fact, window=3)


LEFT = fl.Fact("Everyone in Paris knows that the capital of {} is", "Japan and Iceland")


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_every_family(kind: str) -> None:
    """Grouped-query, multi-query and parallel attention, experts, ALiBi, windows shorter than the prompt."""
    compare(small_model(kind), FACTS["subject in the middle"], window=2)


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_every_family_with_a_first_token_and_left_context(kind: str) -> None:
    compare(small_model(kind, bos=True), LEFT, window=3, samples=2)


WINDOWS = {"sliding_window", "window_size", "attention_chunk_size"}
SLIDING = [kind for kind, shape in SHAPES.items() if WINDOWS & set(shape)]


@pytest.mark.parametrize("kind", sorted(SLIDING))
def test_sliding_windows_longer_than_the_prompt(kind: str) -> None:
    (name,) = WINDOWS & set(SHAPES[kind])
    short, long = small_model(kind), small_model(kind, **{name: 60})
    ids = torch.tensor([short.encode(LEFT).ids])
    with torch.no_grad():
        assert not torch.allclose(short.model(ids).logits, long.model(ids).logits, atol=1e-3), (
            "the window plays no role"
        )
    compare(long, FACTS["subject in the middle"], window=3, samples=2)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "opt", "bloom", "falcon"])
def test_tied_and_untied_heads(kind: str, tied: bool) -> None:
    model = small_model(kind, tie_word_embeddings=tied)
    same = model.model.get_output_embeddings().weight is model.model.get_input_embeddings().weight
    assert same == tied
    compare(model, FACTS["subject in the middle"], window=3, samples=2)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("falcon", {"alibi": True}),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
        ("falcon", {"parallel_attn": False, "multi_query": False}),
        ("gpt_neox", {"use_parallel_residual": False}),
        ("opt", {"word_embed_proj_dim": 48, "do_layer_norm_before": True}),
        ("stablelm", {"use_parallel_residual": True}),
        ("phi", {"num_key_value_heads": 4}),
        ("bloom", {"apply_residual_connection_post_layernorm": True}),
    ],
)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_variants_of_a_family(kind: str, options: dict, attention: str) -> None:
    if (kind, attention) == ("bloom", "sdpa"):
        attention = "eager"  # BLOOM has no other
    compare(small_model(kind, attn_implementation=attention, **options), FACTS["subject in the middle"], window=3)


@pytest.mark.parametrize("window", [1, 2, 4, 5, 10])
def test_windows(window: int) -> None:
    compare(small_model("gpt2"), FACTS["subject first"], window=window)


def test_eager_attention_gets_an_additive_mask() -> None:
    compare(small_model("llama", attn_implementation="eager"), FACTS["subject in the middle"], window=3)


@pytest.mark.parametrize("cells", [1, 3, 7])
def test_a_split_batch_changes_no_number(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, fact = small_model("gpt2"), FACTS["subject in the middle"]
    whole = fl.trace(model, fact, samples=4, corruption=fl.Noise(level=0.3))
    monkeypatch.setattr("factlens.tracing.growing.cells_within", lambda *_: cells)
    split = fl.trace(model, fact, samples=4, corruption=fl.Noise(level=0.3))
    np.testing.assert_allclose(split.samples.values, whole.samples.values, atol=1e-6)


def test_a_small_memory_splits_the_batch() -> None:
    model, fact = small_model("gpt2"), FACTS["subject first"]
    updates = list(fl.stream(model, fact, samples=3, corruption=fl.Noise(level=0.3), memory=1))
    whole = list(fl.stream(model, fact, samples=3, corruption=fl.Noise(level=0.3)))
    assert len(updates) > 3 * len(whole)
    np.testing.assert_allclose(updates[-1].trace.samples.values, whole[-1].trace.samples.values, atol=1e-6)


def test_much_work_is_split_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    from factlens.tracing import growing, schedule

    model, fact = small_model("gpt2"), FACTS["subject in the middle"]
    options = {"samples": 4, "corruption": fl.Noise(level=0.3)}
    whole = fl.trace(model, fact, **options)
    parts, real = [], growing.sweeps_for

    def watched(*args):
        parts.append(real(*args))
        return list(parts[-1])

    monkeypatch.setattr(growing, "sweeps_for", watched)
    monkeypatch.setattr(schedule, "_CPU_SWEEP", 10**7)
    split = fl.trace(model, fact, **options)
    np.testing.assert_allclose(split.samples.values, whole.samples.values, atol=1e-6)
    for row in parts:
        work = [sum(model.n_layers - cell.joins + 1 for cell in part) for part in row]
        assert len(row) > 1
        assert max(work) <= 2 * min(work)
        assert max(cell.joins for cell in row[0]) <= min(cell.joins for cell in row[-1])


def test_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from factlens.tracing import growing as module

    model, fact = small_model("gpt2"), FACTS["subject first"]
    expected = fl.trace(model, fact, samples=3, corruption=fl.Noise(level=0.3))
    real, sizes = module.sweep, []

    def greedy(model, runs, cells):
        sizes.append(len(cells))
        if len(cells) > 4:
            raise torch.OutOfMemoryError("too many rows")
        return real(model, runs, cells)

    monkeypatch.setattr(module, "sweep", greedy)
    trace = fl.trace(model, fact, samples=3, corruption=fl.Noise(level=0.3))
    np.testing.assert_allclose(trace.samples.values, expected.samples.values, atol=1e-6)
    assert sizes[0] == 14, "4 state cells (the last is known), 5 MLP, 5 attention"
    assert max(sizes[3:]) <= 4


def test_atlas_equals_the_plain_protocol(atlas: fl.Model) -> None:
    compare(atlas, fl.Fact("{} is in downtown", "The Space Needle"), window=3, level=0.5, atol=1e-5)


def test_edited_weights_are_traced_as_they_are(atlas: fl.Model) -> None:
    fact = fl.Fact("{} is in downtown", "The Space Needle")
    edit = fl.edit(atlas, fl.Fact("{} is in downtown", "The Space Needle", target="Paris"))
    try:
        compare(atlas, fact, window=3, level=0.5, atol=1e-5, kinds=("mlp",))
    finally:
        atlas.undo(edit)
