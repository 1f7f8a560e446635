"""Second moments are the sums that a slow loop finds, whatever the batch, and know how far to be trusted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from threading import Event

import pytest
import torch

import factlens as fl
from factlens.errors import FactlensError, Interrupted, LayerError, NumericalError
from factlens.moments import SecondMoment, collect
from factlens.moments.sums import Sums
from tests.support import TEXT, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")


def slow_keys(model: fl.Model, layers: list[int], texts: list[str], count: int, row: int) -> dict[int, torch.Tensor]:
    """The keys of the first `count` tokens, row by row through the whole model, float64."""
    ids = [i for text in texts for i in [*model.tokenizer(text)["input_ids"], model.tokenizer.eos_token_id]]
    seen: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
    handles = [
        model.down_projection(layer).module.register_forward_pre_hook(
            lambda _m, args, layer=layer: seen[layer].append(args[0].detach().double().flatten(0, -2))
        )
        for layer in layers
    ]
    for start in range(0, count, row):
        model.model(input_ids=torch.tensor([ids[start : start + row]]))
    for handle in handles:
        handle.remove()
    return {layer: torch.cat(keys) for layer, keys in seen.items()}


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt"])
@pytest.mark.parametrize("sequence", [None, 10])
def test_second_moments_are_sums_over_tokens(kind: str, sequence: int | None) -> None:
    model, row = small_model(kind), sequence or 64
    moments = collect(model, [1, 3], TEXT * 60, tokens=5000, corpus="three sentences", sequence=sequence)
    count = moments[3].count
    assert count == moments[1].count == -(-5000 // row) * row, "rounded up to whole rows, and no further"
    for layer, keys in slow_keys(model, [1, 3], TEXT * 60, count, row).items():
        total = keys.T @ keys
        torch.testing.assert_close(moments[layer].total, total, rtol=1e-4, atol=1e-6 * float(total.abs().max()))
        assert torch.equal(moments[layer].total, moments[layer].total.T)
        group = moments[layer].group
        assert (group, moments[layer].groups) == ((1024 // row) * row, count // group)
        squares = keys.square()
        of_groups = squares[: count // group * group].view(-1, group, keys.shape[1]).sum(1)
        spread = torch.stack([squares.square().sum(0), of_groups.sum(0), of_groups.square().sum(0)])
        torch.testing.assert_close(moments[layer].spread, spread, rtol=1e-4, atol=1e-6 * float(spread.max()))


@pytest.mark.parametrize("width", [1, 2, 3, 5, 64, 191])
def test_strips_cover_the_matrix_whatever_its_width(width: int) -> None:
    keys = torch.randn(70, width, generator=torch.Generator().manual_seed(0))
    sums = Sums(10)
    sums.add(keys[:40])
    sums.add(keys[40:])
    torch.testing.assert_close(sums.matrix(), keys.double().T @ keys.double(), rtol=1e-5, atol=1e-5)
    assert sums.groups == 7


def test_half_precision_is_widened_before_it_is_squared() -> None:
    keys = torch.full((20, 4), 300.0, dtype=torch.float16)  # 300² is not a float16
    sums = Sums(10)
    sums.add(keys)
    assert torch.equal(sums.matrix(), torch.full((4, 4), 20 * 90_000.0, dtype=torch.float64))


def test_what_was_measured_is_recorded() -> None:
    model = small_model("gpt2", dtype=torch.bfloat16)
    moment = collect(model, [2], TEXT * 9, tokens=100, corpus="three sentences", sequence=20)[2]
    assert (moment.dtype, moment.sequence, moment.asked, moment.count) == ("bfloat16", 20, 100, 100)
    assert moment.total.dtype == torch.float64
    assert "100 tokens of three sentences, rows of 20 tokens, bfloat16" in moment.identity


def test_a_text_that_ends_early_gives_what_it_has() -> None:
    model, shares = small_model("gpt2"), []
    moment = collect(model, [2], TEXT, tokens=10_000, corpus="short", sequence=8, progress=shares.append)[2]
    total = sum(len(model.tokenizer(text)["input_ids"]) + 1 for text in TEXT)
    assert (moment.count, moment.asked) == (total // 8 * 8, 10_000)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_empty_texts_are_passed_over() -> None:
    model = small_model("gpt2")
    plain = collect(model, [2], TEXT * 9, tokens=300, corpus="x")[2]
    blanks = collect(model, [2], [text for words in TEXT * 9 for text in ("", words, " \n")], tokens=300, corpus="x")[2]
    assert torch.equal(plain.total, blanks.total)


def test_only_what_is_needed_is_read() -> None:
    def endless() -> Iterator[str]:
        while True:
            read.append(1)
            yield TEXT[0]

    read: list[int] = []
    collect(small_model("gpt2"), [0], endless(), tokens=64, corpus="endless")
    assert len(read) < 20


def test_the_edited_weights_are_not_measured() -> None:
    model = small_model("gpt2")
    before = collect(model, [3], TEXT * 9, tokens=300, corpus="x")[3]
    projection = model.down_projection(1)
    change = projection.low_rank(torch.randn(48, 1) * 9, torch.randn(1, projection.key_width))
    edit = fl.Edit(
        method="rome",
        facts=(FACT,),
        layers=(1,),
        updates=(change,),
        hparams={},
        moment="",
        model=model.name,
        fingerprint=model.fingerprint,
        report={},
    )
    with model.edited(edit):
        during = collect(model, [3], TEXT * 9, tokens=300, corpus="x")[3]
    assert torch.equal(before.total, during.total)


def test_running_out_of_memory_halves_the_batch_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = small_model("gpt2"), []
    whole = collect(model, [1], TEXT * 60, tokens=4096, corpus="x")[1]
    forward = type(model.model).forward

    def tight(self, input_ids, **settings):
        sizes.append(len(input_ids))
        if len(input_ids) > 5:
            raise torch.OutOfMemoryError("too much")
        return forward(self, input_ids=input_ids, **settings)

    monkeypatch.setattr(type(model.model), "forward", tight)
    parts = collect(model, [1], TEXT * 60, tokens=4096, corpus="x")[1]
    assert min(sizes) <= 5 < max(sizes)
    torch.testing.assert_close(parts.total, whole.total, rtol=1e-5, atol=1e-5)
    assert parts.groups == whole.groups == 4
    monkeypatch.setattr(type(model.model), "forward", lambda *_a, **_k: (_ for _ in ()).throw(torch.OutOfMemoryError))
    with pytest.raises(torch.OutOfMemoryError):
        collect(model, [1], TEXT * 60, tokens=4096, corpus="x")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"layers": [9]}, LayerError, "no layer 9"),
        ({"layers": []}, FactlensError, "layers is empty"),
        ({"tokens": 0}, FactlensError, "tokens must be at least 1, not 0"),
        ({"sequence": 0}, FactlensError, "sequence must be at least 1, not 0"),
        ({"sequence": 65}, FactlensError, "reads at most 64 tokens together, not 65"),
        ({"texts": ["short"]}, FactlensError, "too short: it has fewer than 64 tokens"),
        ({"texts": ["a" * 999, 7]}, FactlensError, "text 1 of it is a int"),
        ({"texts": (text for text in TEXT), "corpus": None}, FactlensError, "need a name"),
    ],
)
def test_bad_choices_are_named(settings: dict, error: type[Exception], message: str) -> None:
    choices = {"layers": [1], "texts": TEXT * 9, "tokens": 5000, "corpus": "x", **settings}
    with pytest.raises(error, match=message):
        collect(small_model("gpt2"), choices.pop("layers"), choices.pop("texts"), **choices)


def test_keys_that_are_no_numbers_are_refused() -> None:
    model = small_model("gpt2", seed=5)
    with torch.no_grad():
        model.down_projection(0).weight[0, 0] = float("nan")
    with pytest.raises(NumericalError, match=r"layer 2 .* NaN"):
        collect(model, [0, 2], TEXT * 9, tokens=128, corpus="x")


def test_stop_ends_the_pass() -> None:
    stop = Event()
    with pytest.raises(Interrupted):
        collect(
            small_model("gpt2"), [1], TEXT * 900, tokens=50_000, corpus="x", stop=stop, progress=lambda _s: stop.set()
        )


def test_an_interrupt_ends_the_pass_between_batches(tmp_path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells start their jobs without one
    model, unfinished = small_model("gpt2"), tmp_path / "unfinished.safetensors"

    seen: list[float] = []

    def interrupt(share: float) -> None:
        seen.append(share)
        if share > 0:
            signal.raise_signal(signal.SIGINT)

    choices = {"tokens": 30_000, "corpus": "x", "checkpoint": unfinished, "every": 1000}
    try:
        with pytest.raises(KeyboardInterrupt):
            collect(model, [1], TEXT * 900, progress=interrupt, **choices)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(seen) == 2, "after the batch in which it came"
    assert unfinished.exists(), "what there was is kept, though it was not time to write"
    shares: list[float] = []
    collect(model, [1], TEXT * 900, progress=shares.append, **choices)
    assert shares[0] == seen[-1]


def test_a_moment_from_plain_strings_can_be_edited_with() -> None:
    model = small_model("gpt2")
    moment = collect(model, [2], TEXT * 40, tokens=3000)[2]
    edit = fl.edit(model, FACT, layers=2, moments=moment, apply=False)
    assert edit.moment == moment.described
    assert "3008 tokens of 120 strings (sha256 " in edit.moment
    assert isinstance(moment, SecondMoment)
