"""Second moments of keys."""

from __future__ import annotations

import pytest
import torch

import factlens as fl
from factlens.moments import SecondMoment, collect
from tests.support import TEXT, small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_second_moments_are_sums_over_tokens(kind: str) -> None:
    model = small_model(kind)
    moments = collect(model, [1, 3], TEXT * 30, tokens=2000, corpus="three sentences")
    ids = [i for text in TEXT * 30 for i in [*model.tokenizer(text)["input_ids"], model.tokenizer.eos_token_id]]
    count = moments[3].count
    assert count == moments[1].count >= 2000
    seen = {1: [], 3: []}
    handles = [
        model.down_projection(layer).module.register_forward_pre_hook(
            lambda _m, args, layer=layer: seen[layer].append(args[0].detach().double())
        )
        for layer in seen
    ]
    for row in torch.tensor(ids[:count]).view(-1, 64):
        model.model(input_ids=row[None])
    for handle in handles:
        handle.remove()
    for layer, keys in seen.items():
        flat = torch.cat(keys, dim=1)[0]
        torch.testing.assert_close(moments[layer].matrix, flat.T @ flat / count, rtol=1e-4, atol=1e-5)


def test_merging_moments_is_collecting_together() -> None:
    model = small_model("gpt2")
    a = SecondMoment(torch.eye(3), 10, 0, model.fingerprint, "text")
    b = SecondMoment(2 * torch.eye(3), 5, 0, model.fingerprint, "text")
    assert torch.equal((a + b).matrix, 3 * torch.eye(3) / 15)
    with pytest.raises(ValueError, match="different keys"):
        a + SecondMoment(torch.eye(3), 10, 1, model.fingerprint, "text")


def test_a_model_without_a_corpus_writes_its_own(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path))
    model = small_model("gpt2")
    edit = fl.edit(model, FACT, layers=2, apply=False)
    assert "sampled from the model itself" in edit.moment
    (kept,) = (tmp_path / "moments").iterdir()
    again = SecondMoment.load(kept)
    assert (again.fingerprint, again.layer) == (model.fingerprint, 2)
    assert again.count >= 8 * model.down_projection(2).key_width
