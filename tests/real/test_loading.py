"""A pretrained model out of its GGUF file: which one it is, and that it knows what it is known to know."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import factlens as fl
from factlens.errors import FileFormatError
from factlens.models.families import FAMILIES
from factlens.models.origins import SMOLLM2_IN_A_CHECKOUT, Origin, origin_of, smollm2

KNOWN = {
    "The capital of France is": " Paris",
    "The capital of Japan is": " Tokyo",
    "The capital of Italy is": " Rome",
    "The Eiffel Tower is in the city of": " Paris",
    "The Colosseum is in the city of": " Rome",
}


def test_a_file_by_its_path(smollm2: fl.Model, smollm2_file: Path) -> None:
    assert smollm2.name == str(smollm2_file)
    assert smollm2.family == FAMILIES["llama"]
    assert (smollm2.n_layers, smollm2.n_heads, smollm2.width) == (30, 9, 576)
    assert (smollm2.dtype, smollm2.max_tokens) == (torch.float32, 8192)
    embedding, head = smollm2.model.get_input_embeddings(), smollm2.model.get_output_embeddings()
    assert embedding.weight is head.weight
    assert embedding.weight.shape == (49152, 576)
    assert not hasattr(smollm2.model.config, "quantization_config")


def test_its_tokenizer(smollm2: fl.Model) -> None:
    fact = fl.Fact("{} is in the city of", "The Eiffel Tower")
    encoding = smollm2.encode(fact)
    assert "".join(smollm2.tokenizer.decode([token]) for token in encoding.ids) == fact.prompt
    assert smollm2.tokenizer.decode(encoding.ids[slice(*encoding.subject_range)]) == "The Eiffel Tower"
    assert len(smollm2.tokenizer) == 49152
    chat = smollm2.encode(fl.Fact.chat("Where is Big Ben?", "Big Ben"))
    assert "<|im_start|>user\nWhere is Big Ben?" in smollm2.tokenizer.decode(chat.ids)


@pytest.mark.parametrize("prompt", KNOWN)
def test_it_knows_what_it_knows(prompt: str, smollm2: fl.Model) -> None:
    assert smollm2.answers(prompt, k=1)[0].text == KNOWN[prompt]


def test_the_name_smollm2_means_this_file(smollm2_file: Path) -> None:
    assert smollm2_file.parent == SMOLLM2_IN_A_CHECKOUT
    assert origin_of("smollm2", None) == smollm2() == Origin(str(smollm2_file.parent), smollm2_file.name)


def test_a_download_that_was_cut_off(smollm2_file: Path, tmp_path: Path) -> None:
    whole = smollm2_file.stat().st_size
    with smollm2_file.open("rb") as source:
        (tmp_path / "part.gguf").write_bytes(source.read(whole // 2))
    with pytest.raises(FileFormatError, match=rf"ends after {whole // 2:,} bytes, before the numbers of .*cut off"):
        fl.load(tmp_path / "part.gguf")
