"""Models placed by accelerate's `device_map`: the hooks it puts on modules and ours get along.

One machine without an accelerator has one device, so what is tested is what a placed model does differently from a
plain one: its modules carry accelerate's own forward, inputs and outputs are moved between devices, and offloaded
weights are on the meta device but for the moment of use. Two real devices are not tested here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from accelerate import dispatch_model

import factlens as fl
from factlens.errors import ArgumentError
from tests.support import small_model, tokenizer

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower")
OPTIONS = {"kinds": ("state", "mlp", "attn", "head.1", "severed_mlp"), "samples": 3, "corruption": fl.Noise(level=0.3)}


def placed(kind: str, folder: Path, offloaded: str) -> fl.Model:
    """The small model again, two of its layers and its embedding offloaded."""
    module = small_model(kind).model
    base = module.base_model_prefix
    layers = {"gpt2": "h", "llama": "layers"}[kind]
    embedding = {"gpt2": "wte", "llama": "embed_tokens"}[kind]
    places: dict[str, str] = {}
    for name, _ in module.named_parameters():
        home = name.rsplit(".", 1)[0]
        away = f".{layers}.1." in name or f".{layers}.3." in name or home == f"{base}.{embedding}"
        places[home] = offloaded if away else "cpu"
    if module.get_output_embeddings().weight is module.get_input_embeddings().weight:
        places["lm_head"] = offloaded
    module = dispatch_model(module, places, main_device="cpu", offload_dir=str(folder), force_hooks=True)
    return fl.wrap(module, tokenizer(), name=f"placed {kind}")


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_placed_model_is_traced_as_if_it_were_in_one_place(kind: str, tmp_path: Path) -> None:
    expected = fl.trace(small_model(kind), FACT, **OPTIONS)
    model = placed(kind, tmp_path, "disk")
    assert any(parameter.device.type == "meta" for parameter in model.model.parameters())
    trace = fl.trace(model, FACT, **OPTIONS, estimate="attribution_patching")
    np.testing.assert_allclose(trace.samples.values, expected.samples.values, atol=1e-6)
    assert np.isfinite(trace.estimate.sel(kind=["state", "mlp", "attn", "head.1"]).values).all()
    # accelerate's own forwards are back in place: the model still answers, and again the same
    again = fl.trace(model, FACT, **OPTIONS)
    np.testing.assert_allclose(again.samples.values, trace.samples.values, atol=1e-7)


@pytest.mark.parametrize(
    ("device_map", "words"),
    [
        ({"model.embed_tokens": "cpu"}, r"no device for model\.layers\.0\.self_attn\.q_proj and \d+ more modules"),
        ({"model": "disk"}, r"no device for lm_head: .*\{\.\.\., '': 'cpu'\}"),
        ({"model.layers.0": "cpu", "lm_head": "disk"}, r"no device for model\.embed_tokens"),
        ({"transformer": "cpu", "": "cpu"}, "no such module; it has 'model', 'lm_head', 'model.embed_tokens'"),
        ({"model": "everywhere", "": "cpu"}, r"device_map\['model'\] must be a device"),
        ({"model": "meta", "": "cpu"}, r"device_map\['model'\] must be a device that holds numbers"),
    ],
)
def test_a_map_of_a_part_of_the_model_is_refused_with_what_is_missing(
    device_map: dict[str, str], words: str, tmp_path: Path
) -> None:
    made = small_model("llama")
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ArgumentError, match=words):
        fl.load(tmp_path, device_map=device_map)
    for whole in ({"": "cpu"}, {"model": "cpu", "lm_head": "cpu"}, {"model.layers.1": "cpu", "": "cpu"}):
        assert fl.load(tmp_path, device_map=whole).fingerprint == made.fingerprint
