"""Keys that are caught while a model writes are those of reading what it wrote, and no model can stall the writing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
import torch

import factlens as fl
from factlens.errors import FactlensError, Interrupted, NumericalError
from factlens.models.sampling import drawn
from factlens.moments import SecondMoment, cached, collect, own_corpus
from factlens.moments.collect import _keys
from factlens.moments.writing import TOGETHER, Writer
from tests.support import small_model, tokenizer

# Of all ways of placing tokens and of looking back: learned, rotary, ALiBi, windows shorter than a row, shared heads.
KINDS = ("gpt2", "llama", "opt", "bloom", "gpt_neo", "gemma2", "gemma3_text", "cohere2")


def written(model: fl.Model, layers: tuple[int, ...], rows: slice, length: int = 20, number: int = 0):
    with model.unedited():
        return Writer(model, length, 7).write(layers, number, rows)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_writing_are_keys_of_reading(kind: str) -> None:
    model = small_model(kind)
    ids, keys = written(model, (1, 3), slice(0, 9))
    assert ids.shape == (9, 20)
    with torch.no_grad():
        read = _keys(model, [1, 3], ids)
    for layer in (1, 3):
        expected = read[layer].reshape(keys[layer].shape)
        torch.testing.assert_close(keys[layer], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_the_statistic_is_the_sum_over_what_was_written() -> None:
    model = small_model("llama")
    moment = collect(model, [2], own_corpus(model, 7, sequence=20), tokens=100 * 20 - 3, sequence=20)[2]
    parts = [written(model, (2,), slice(None))[1][2], written(model, (2,), slice(0, 100 - TOGETHER), number=1)[1][2]]
    keys = torch.cat(parts).flatten(0, 1).double()
    total = keys.T @ keys
    torch.testing.assert_close(moment.total, total, rtol=1e-4, atol=1e-5 * float(total.abs().max()))
    assert (moment.count, moment.group, moment.groups) == (2000, 20, 100)
    assert moment.effective is not None, "each row is an observation, so that a hundred are enough to say"


def test_rows_do_not_depend_on_those_beside_them() -> None:
    model = small_model("gpt2")
    together, _ = written(model, (), slice(None))
    for rows in (slice(0, 1), slice(5, 9)):
        assert torch.equal(written(model, (), rows)[0], together[rows])
    assert len({tuple(row) for row in together.tolist()}) == TOGETHER
    assert not torch.equal(written(model, (), slice(None), number=1)[0], together)


def test_rows_begin_as_the_tokenizer_begins_texts_and_with_many_words() -> None:
    model = small_model("llama", bos=True)
    ids, _ = written(model, (), slice(None))
    assert (ids[:, 0] == model.tokenizer.bos_token_id).all()
    assert len(set(ids[:, 1].tolist())) > TOGETHER // 4
    assert all(model.tokenizer.decode([i]).strip().isalpha() for i in ids[:, 1].tolist())
    assert written(model, (1,), slice(0, 2), length=1)[0].tolist() == [[0], [0]]


def test_less_memory_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    ids, keys = written(model, (1,), slice(0, 9))
    forward = type(model.model).forward

    def small(self, input_ids: torch.Tensor, **rest):
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("too much")
        return forward(self, input_ids=input_ids, **rest)

    monkeypatch.setattr(type(model.model), "forward", small)
    fewer, of_fewer = written(model, (1,), slice(0, 9))
    assert torch.equal(fewer, ids)
    torch.testing.assert_close(of_fewer[1], keys[1], rtol=1e-4, atol=1e-4)


def test_tokens_are_drawn_in_proportion() -> None:
    logits = torch.tensor([[0.0, 1.0, -9.0, 2.0]]).log_softmax(-1).expand(4000, 4)
    shares = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    ids = drawn(logits, 3, shares).flatten()
    expected = torch.tensor([0.0, 1.0, -torch.inf, 2.0]).softmax(-1)
    torch.testing.assert_close(torch.bincount(ids, minlength=4) / 4000, expected, rtol=0, atol=0.02)
    assert drawn(logits[:1], 3, torch.tensor([1 - 1e-7])).item() == 0, "the least probable of three is the last"


@pytest.mark.timeout(60)
def test_a_model_that_would_end_its_text_at_once_writes_on() -> None:
    model = small_model("gpt2", tie_word_embeddings=False)
    with torch.no_grad():
        model.head.weight[1:] = 0
    ids, _ = written(model, (), slice(None))
    assert not (ids == model.tokenizer.eos_token_id).any()


@pytest.mark.timeout(60)
def test_a_tokenizer_of_special_tokens_only_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    monkeypatch.setattr(type(model.tokenizer), "get_vocab", lambda _self: {"<|endoftext|>": 0})
    with pytest.raises(FactlensError, match=r"special tokens only.*Give the text yourself, with moments="):
        collect(model, [1], own_corpus(model), tokens=100)


@pytest.mark.timeout(60)
def test_a_model_without_words_begins_with_any_token(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    monkeypatch.setattr(Writer, "_is_word", lambda *_: False)
    assert written(model, (), slice(None))[0].shape == (TOGETHER, 20)


def test_a_model_that_gives_nan_is_said_to() -> None:
    model = small_model("gpt2", tie_word_embeddings=False)
    with torch.no_grad():
        model.head.weight.fill_(torch.nan)
    with pytest.raises(NumericalError, match="NaN or infinity when it writes"):
        collect(model, [1], own_corpus(model), tokens=100)


def test_the_share_grows_with_every_token_and_a_stop_ends_it_there() -> None:
    model, shares, stop = small_model("gpt2"), [], Event()

    def progress(share: float) -> None:
        shares.append(share)
        if len(shares) == 8:
            stop.set()

    began = time.monotonic()
    with pytest.raises(Interrupted):
        collect(model, [1], own_corpus(model), tokens=TOGETHER * 64, progress=progress, stop=stop)
    assert len(shares) == 8
    assert shares == sorted(set(shares))
    assert shares[0] == 0
    assert shares[-1] < 0.2
    assert time.monotonic() - began < 60


def resumed(
    model: fl.Model, path: Path, progress: Callable[[float], None] | None = None, layers: tuple[int, ...] = (1, 3)
) -> dict[int, SecondMoment]:
    corpus = own_corpus(model, 0, sequence=16)
    return collect(model, layers, corpus, tokens=200 * 16, sequence=16, checkpoint=path, every=0, progress=progress)


def test_a_killed_pass_goes_on_with_the_next_rows(tmp_path: Path) -> None:
    model, path, shares = small_model("llama"), tmp_path / "unfinished.safetensors", []

    def leave(share: float) -> None:
        if share > 0.8:
            raise RuntimeError("killed")

    whole = resumed(model, tmp_path / "another.safetensors")
    with pytest.raises(RuntimeError, match="killed"):
        resumed(model, path, leave)
    again = resumed(model, path, shares.append)
    assert shares[0] == pytest.approx(2 * TOGETHER / 200)
    for layer in (1, 3):
        assert torch.equal(again[layer].total, whole[layer].total)
        assert torch.equal(again[layer].rows, whole[layer].rows)
        assert again[layer].count == 3200


def test_text_of_another_model_or_in_other_rows_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    author, reader = small_model("gpt2"), small_model("llama")
    corpus = own_corpus(author, 1, sequence=16)
    texts = [text for text, _ in zip(corpus, range(40), strict=False)]
    assert all(isinstance(text, str) and text for text in texts)
    moment = collect(reader, [1], corpus, tokens=160)[1]
    assert torch.equal(moment.total, collect(reader, [1], texts, tokens=160, corpus="the texts")[1].total)


def test_what_is_kept_says_what_it_is(tmp_path: Path) -> None:
    model = small_model("gpt2")
    corpus = own_corpus(model, 3, sequence=16)
    assert "sampled from the model itself" in corpus.identity
    assert "begun with a random word, seed 3" in corpus.identity
    first = cached(model, [1], corpus, tokens=64, sequence=16, folder=tmp_path)[1]
    assert first.corpus == corpus.identity
    assert torch.equal(cached(model, [1], corpus, tokens=64, sequence=16, folder=tmp_path)[1].total, first.total)
    other = Writer(small_model("gpt2"), 16, 4)
    assert not torch.equal(other.batch(0)[0], corpus.writer.batch(0)[0])
    assert len(tokenizer()) > 64
