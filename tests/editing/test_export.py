"""What others can load: an ordinary edited model, and an edit as an adapter for peft."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

import factlens as fl
from factlens import files
from factlens.errors import FactlensError, QuantizedModel
from factlens.models import Dense, LowRank, saving
from tests.editing.made import FACT, FACTS, moment_of
from tests.support import small_model, tokenizer

TEXT = "In Paris, the Eiffel Tower is near the river. Zürich"


def logits(module: Any) -> torch.Tensor:
    ids = torch.tensor([tokenizer()(TEXT)["input_ids"]])
    with torch.no_grad():
        found: torch.Tensor = module.eval()(input_ids=ids).logits
    return found


def edits(model: fl.Model) -> list[fl.Edit]:
    """A rank-one edit, one of three facts in two layers, and one of whole matrices."""
    few = {"steps": 2, "contexts": (), "openings": ()}
    rome = fl.edit(model, FACT, layers=2, moments=moment_of(model, 2), **few)
    moments = {layer: moment_of(model, layer) for layer in (1, 2)}
    memit = fl.edit(model, FACTS, method="memit", layers=[1, 2], moments=moments, moment_weight=1.0, **few)
    return [rome, memit, fl.edit(model, FACTS, method="ft", layers=3, steps=2, learning_rate=0.05)]


# The whole model -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_edited_model_is_an_ordinary_one(kind: str, tied: bool, dtype: torch.dtype, tmp_path: Path) -> None:
    # From a file, as users' models are: `module.to(dtype)` would have cast the rotary frequencies as well.
    small_model(kind, dtype=dtype, tie_word_embeddings=tied).save_pretrained(tmp_path / "base")
    model = fl.load(tmp_path / "base", device="cpu")
    clean = logits(model.model)
    embedding = f"{model.family.embedding}.weight"
    rows, columns = model.model.get_parameter(embedding).shape
    projection = model.down_projection(2)
    terms = (
        projection.low_rank(torch.rand(model.width, 2), torch.rand(2, projection.key_width)),
        # Also the embedding, which is the unembedding too where they are tied.
        LowRank(embedding, torch.rand(rows, 1), torch.rand(1, columns)),
    )
    edit = fl.Edit("by hand", (FACT,), (2,), terms, {}, "", model.name, model.fingerprint)
    model.apply(edit)
    folder = model.save_pretrained(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert not list(folder.glob("*.bin"))
    assert len(list(folder.glob("*.safetensors"))) == 1
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.dtype == dtype
    assert torch.equal(logits(loaded), logits(model.model))
    assert not torch.equal(logits(loaded), clean)
    assert (loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight) == tied
    for name, parameter in model.model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter), name
    assert AutoTokenizer.from_pretrained(folder)(TEXT)["input_ids"] == tokenizer()(TEXT)["input_ids"]
    # The edits can still be taken off the model that was saved.
    model.undo()
    assert torch.equal(logits(model.model), clean)


def test_the_note_says_which_edits_are_in_it(tmp_path: Path) -> None:
    model = small_model("gpt2")
    made = edits(model)
    model.save_pretrained(tmp_path)
    note = json.loads((tmp_path / "factlens.json").read_text(encoding="utf-8"))
    assert (note["model"], note["fingerprint"], note["factlens"]) == (model.name, model.fingerprint, fl.__version__)
    assert [edit["method"] for edit in note["edits"]] == ["rome", "memit", "ft"]
    assert [edit["layers"] for edit in note["edits"]] == [[2], [1, 2], [3]]
    assert note["edits"][0]["facts"][0]["target"] == "Seattle"
    assert note["edits"][1]["moment"] == made[1].moment
    assert (tmp_path / "factlens.json").stat().st_size < 10_000
    # The note of a later export is that export's.
    model.undo()
    model.save_pretrained(tmp_path)
    assert len(json.loads((tmp_path / "factlens.json").read_text(encoding="utf-8"))["edits"]) == 2
    assert fl.load(tmp_path, device="cpu").edits == ()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("part", ["model", "tokenizer"])
def test_an_export_that_fails_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    model = small_model("gpt2")
    model.save_pretrained(tmp_path)
    before = contents(tmp_path)
    edits(model)

    def full(folder: Path) -> None:
        (folder / "half").write_bytes(b"a half")
        raise OSError("No space left on device")

    monkeypatch.setattr(getattr(model, part), "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(tmp_path)
    assert contents(tmp_path) == before


def test_an_export_in_the_middle_of_its_moves_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    model.save_pretrained(tmp_path)
    real, moved = saving.move_file, []

    def full(made: Path, path: Path) -> None:
        if moved:
            raise OSError("No space left on device")
        moved.append(real(made, path))

    monkeypatch.setattr(saving, "move_file", full)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(tmp_path)
    assert not (tmp_path / "factlens.json").exists()
    assert not list(tmp_path.glob("*.part"))


def test_the_weights_of_an_earlier_export_are_no_part_of_the_next(tmp_path: Path) -> None:
    model = small_model("gpt2")
    for name in ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "mine.safetensors"):
        (tmp_path / name).write_bytes(b"old")
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "model-00001-of-00002.safetensors").exists()
    assert not (tmp_path / "model.safetensors.index.json").exists()
    assert (tmp_path / "mine.safetensors").read_bytes() == b"old"
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path)), logits(model.model))


@pytest.mark.parametrize("mask", [0o022, 0o077])
@pytest.mark.parametrize("export", ["model", "adapter"])
def test_files_of_an_export_have_the_mode_of_new_files(export: str, mask: int, tmp_path: Path) -> None:
    """And old ones keep theirs; through a link, also to another disk, its file is written."""
    model = small_model("gpt2")
    edit = edits(model)[0]
    elsewhere = tmp_path / "elsewhere"
    folder = tmp_path / "folder"
    folder.mkdir()
    kept = folder / ("config.json" if export == "model" else "adapter_config.json")
    kept.touch(mode=0o640)
    weights = "model.safetensors" if export == "model" else "adapter_model.safetensors"
    (folder / weights).symlink_to(elsewhere)
    before = os.umask(mask)
    try:
        model.save_pretrained(folder) if export == "model" else edit.to_peft(folder)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes.pop(kept.name) == 0o640
    assert set(modes.values()) == {0o666 & ~mask}
    assert {"factlens.json", weights} <= modes.keys()
    assert (folder / weights).is_symlink()
    assert elsewhere.stat().st_size > 1000


def test_a_link_to_another_disk_is_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, link, target = tmp_path / "made", tmp_path / "link", tmp_path / "target"
    made.write_bytes(b"new")
    target.write_bytes(b"old")
    link.symlink_to(target)
    real = Path.replace

    def other_disk(path: Path, place: Path) -> Path:
        if path == made:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return real(path, place)

    monkeypatch.setattr(Path, "replace", other_disk)
    files.move_file(made, link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert not made.exists()


def test_a_model_that_is_not_in_memory_is_not_saved(tmp_path: Path) -> None:
    module = small_model("llama").model
    homes = sorted({name.rsplit(".", 1)[0] for name, _ in module.named_parameters()})
    places = {home: "disk" if ".layers.1." in home else "cpu" for home in homes}
    module = dispatch_model(module, places, main_device="cpu", offload_dir=str(tmp_path / "off"), force_hooks=True)
    model = fl.wrap(module, tokenizer(), name="placed")
    with pytest.raises(QuantizedModel, match=r"weights of placed are not in memory .*without device_map"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_model_with_adapters_of_its_own_is_not_saved(tmp_path: Path) -> None:
    model = small_model("gpt2")
    model.model._hf_peft_config_loaded = True
    with pytest.raises(FactlensError, match="Merge them first"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


# The edit alone ------------------------------------------------------------------------------------------------------


def stacked(model: fl.Model) -> fl.Edit:
    """Three layers with ranks 1, 3 and 2; the last in two terms."""
    generator = torch.Generator().manual_seed(1)

    def term(layer: int, rank: int) -> LowRank:
        projection = model.down_projection(layer)
        values, keys = (
            torch.randn(n, generator=generator) for n in ((model.width, rank), (rank, projection.key_width))
        )
        return projection.low_rank(values, keys)

    terms = (term(1, 1), term(2, 3), term(4, 1), term(4, 1))
    return fl.Edit("by hand", (FACT,), (1, 2, 4), terms, {}, "", model.name, model.fingerprint)


@pytest.mark.parametrize("square", [False, True], ids=["", "square"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_peft_gives_the_edited_models_logits(
    kind: str, square: bool, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    # A square matrix has no telling shape: only the record knows what goes in and what comes out.
    config = {"n_inner" if kind == "gpt2" else "intermediate_size": 48} if square else {}
    model = small_model(kind, **config)
    edit = stacked(model)
    folder = edit.to_peft(tmp_path / "adapter")
    assert {file.name for file in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "factlens.json",
    }
    clean = logits(model.model)
    with model.edited(edit):
        expected = logits(model.model)
    assert float((expected - clean).abs().max()) > 0.1
    base = small_model(kind, **config).model
    recwarn.clear()
    adapted = PeftModel.from_pretrained(base, folder)
    # peft warns of settings that it has to put right, and of those that it does not know.
    said = " ".join(str(warning.message) for warning in recwarn)
    assert not any(word in said for word in ("fan_in", "adapter", "config", "rank", "keys"))
    torch.testing.assert_close(logits(adapted), expected, rtol=1e-4, atol=1e-4)
    with adapted.disable_adapter():
        assert torch.equal(logits(adapted), clean)
    ranks = {name: module.r["default"] for name, module in adapted.named_modules() if hasattr(module, "lora_A")}
    assert sorted(ranks.values()) == [1, 2, 3]
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)


def test_edits_of_the_methods_as_adapters(tmp_path: Path) -> None:
    model = small_model("gpt2")
    rome, memit, tuned = edits(model)
    for n, edit in enumerate((rome, memit)):
        with model.unedited():
            model.apply(edit)
            expected = logits(model.model)
        adapted = PeftModel.from_pretrained(small_model("gpt2").model, edit.to_peft(tmp_path / str(n)))
        torch.testing.assert_close(logits(adapted), expected, rtol=1e-4, atol=1e-4)
    note = json.loads((tmp_path / "1" / "factlens.json").read_text(encoding="utf-8"))
    assert note["edits"][0]["label"] == memit.label
    assert note["fingerprint"] == model.fingerprint
    assert isinstance(tuned.updates[0], Dense)
    with pytest.raises(FactlensError, match=r"whole matrix 'transformer.h.3.mlp.c_proj.weight'.*save_pretrained"):
        tuned.to_peft(tmp_path / "2")
    assert not (tmp_path / "2").exists()


def test_a_loaded_edit_makes_the_same_adapter(tmp_path: Path) -> None:
    for kind in ("gpt2", "llama"):
        edit = stacked(small_model(kind))
        loaded = fl.Edit.load(edit.save(tmp_path / "edit.safetensors"))
        a, b = edit.to_peft(tmp_path / f"{kind} a"), loaded.to_peft(tmp_path / f"{kind} b")
        for name in ("adapter_config.json", "adapter_model.safetensors", "factlens.json"):
            assert (a / name).read_bytes() == (b / name).read_bytes()
        with safe_open(str(a / "adapter_model.safetensors"), framework="np") as file:
            assert len(file.keys()) == 6


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    edit = stacked(small_model("gpt2"))
    bias = LowRank("transformer.h.2.mlp.c_proj.bias", torch.ones(48, 1), torch.ones(1, 1))
    with pytest.raises(FactlensError, match=r"c_proj.bias' is not the weight of a linear module"):
        replace(edit, updates=(*edit.updates, bias)).to_peft(tmp_path / "a")
    with pytest.raises(FactlensError, match="changes nothing"):
        replace(edit, updates=()).to_peft(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_peft_is_not_needed_to_write_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "peft" or name.startswith("peft.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "peft", None)
    assert (stacked(small_model("llama")).to_peft(tmp_path) / "adapter_config.json").exists()
