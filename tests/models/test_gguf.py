"""Models out of GGUF files: the same model as went in, and files with which something is wrong."""

from __future__ import annotations

import random
import re
import struct
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import gguf
import pytest
import torch

import factlens as fl
from factlens import extras
from factlens.cli import main
from factlens.errors import ArgumentError, FactlensError, FileFormatError, UnknownArchitecture
from factlens.models.gguf_header import read_header
from tests.editing.made import FACT, moment_of
from tests.models.gguf_files import error_between, original, write


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gguf") / "small.gguf")


@pytest.fixture(scope="module")
def loaded(file: Path) -> fl.Model:
    return fl.load(file, device="cpu")


def test_a_file_is_the_model_that_went_in(file: Path, loaded: fl.Model) -> None:
    made = original()
    assert loaded.name == str(file)
    assert loaded.encode(FACT) == made.encode(FACT)
    assert error_between(loaded, made) < 1e-4
    assert loaded.max_tokens == made.max_tokens
    beside = fl.load(file.parent, gguf_file=file.name, device="cpu", dtype="bfloat16")
    assert (beside.name, beside.dtype) == (str(file), torch.bfloat16)


def test_what_was_quantised_is_traced_edited_saved_and_converted(tmp_path: Path) -> None:
    model = fl.load(write(tmp_path / "q8.gguf", quantised=True), device="cpu")
    assert 1e-4 < error_between(model, original()) < 1
    assert model.dtype == torch.float32
    assert fl.trace(model, FACT, samples=2, corruption=fl.Noise(level=0.3)).complete
    edit = fl.edit(model, FACT, layers=1, moments=moment_of(model, 1), steps=2, contexts=(), keep=())
    assert model.edits == (edit,)
    model.save_pretrained(tmp_path / "saved")
    again = fl.load(tmp_path / "saved", device="cpu")
    assert error_between(again, model) == 0
    model.undo()
    assert model.model.half().dtype == torch.float16


def test_the_file_is_read_once_and_nothing_stays_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import modeling_gguf_pytorch_utils as theirs
    from transformers.utils import logging

    done: list[str] = []

    class Counted(gguf.GGUFReader):
        def __init__(self, path: object, *rest: object) -> None:
            done.append("read")
            super().__init__(path, *rest)

    def counted_table(*key: object) -> object:
        done.append("named")
        return table(*key)

    table, bar = gguf.get_tensor_name_map, theirs.tqdm
    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    monkeypatch.setattr(gguf, "get_tensor_name_map", counted_table)
    fl.load(file, device="cpu")
    assert sorted(done) == ["named", "read"]
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == (Counted, counted_table)
    assert (theirs.tqdm, logging.is_progress_bar_enabled()) == (bar, True)


def test_a_bar_is_shown_where_somebody_looks(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fl.load(file, device="cpu")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fl.load(file, device="cpu")
    shown = capsys.readouterr().err
    assert "Reading small.gguf" in shown
    assert "Loading weights" not in shown


def test_the_commands_take_a_file(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.safetensors"
    asked = ["trace", FACT.template, "--subject", FACT.subject, "--samples", "1", "--kinds", "mlp", "--out", str(out)]
    assert main([*asked, "--model", str(file), "--device", "cpu"]) == 0
    first = fl.Trace.load(out)
    assert main([*asked, "--model", str(file.parent), "--gguf-file", file.name, "--device", "cpu"]) == 0
    assert fl.Trace.load(out).fingerprint == first.fingerprint
    assert main([*asked, "--model", str(file.with_name("other.gguf"))]) == 1
    assert "There is no file" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["gguf", "accelerate"])
def test_a_missing_package_is_named_with_its_command(missing: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(FactlensError, match=rf"needs {missing}: pip install 'factlens\[gguf\]'"):
        fl.load(file)


# Files with which something is wrong: by name, how they are made and what is said -----------------------------------

Damage = Callable[[bytes], bytes]


def cut_at(share: float) -> Damage:
    return lambda content: content[: int(share * len(content))]


def cut_in_the_tokens(content: bytes) -> bytes:
    return content[: content.index(b"tokenizer.ggml.tokens") + 500]


def with_version(version: int) -> Damage:
    return lambda content: content[:4] + struct.pack("<I", version) + content[8:]


DAMAGED: dict[str, tuple[Damage, str]] = {
    "empty": (lambda _: b"", "is empty"),
    "no GGUF": (lambda _: b"PK\x03\x04 a zip file", "is no GGUF file: it begins with b'PK.*for safetensors"),
    "a web page": (lambda _: b"\n<!DOCTYPE html><html>", "is no GGUF file.*is a web page.*Download it again"),
    "a pointer": (lambda _: b"version https://git-lfs.github.com/spec/v1\noid", "is no GGUF file.*git lfs pull"),
    "four bytes": (lambda _: b"GGUF", "damaged at its version"),
    "an old version": (with_version(1), "version 1; transformers reads 2 and 3"),
    "the other byte order": (with_version(3 << 24), "big-endian"),
    "cut in the fields": (cut_in_the_tokens, r"damaged at the field tokenizer\.ggml\.tokens: "),
    "cut in the numbers": (cut_at(0.9), r"before the numbers of (blk|output)\S+, .*it was cut off"),
    "a count beyond all bounds": (lambda c: c[:16] + struct.pack("<Q", 2**62) + c[24:], "is damaged at "),
    "an unknown format": (
        lambda c: c.replace(struct.pack("<QIQ", 340, 0, 0), struct.pack("<QIQ", 340, 999, 0), 1),
        r"tensor \S+: its numbers are in the format 999",
    ),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_is_named(how: str, file: Path, tmp_path: Path) -> None:
    damage, words = DAMAGED[how]
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damage(file.read_bytes()))
    with pytest.raises(FileFormatError, match=words) as error:
        fl.load(path)
    assert str(path) in str(error.value)


WRONG: dict[str, tuple[dict, type[FactlensError], str]] = {
    "no architecture of transformers": ({"architecture": "rwkv6"}, UnknownArchitecture, "'rwkv6', which transformers"),
    "none of ours": ({"architecture": "mamba"}, FactlensError, "mamba"),
    "no tokens": ({"without": ("tokenizer.ggml.tokens",)}, FileFormatError, r"tokenizer\.ggml\.tokens is missing"),
    "no merges": ({"without": ("tokenizer.ggml.merges",)}, FileFormatError, r"tokenizer\.ggml\.merges is missing"),
    "no kind of tokenizer": ({"without": ("tokenizer.ggml.model",)}, FileFormatError, r"ggml\.model is missing"),
    "an unknown tokenizer": ({"fields": {"tokenizer.ggml.model": "bert"}}, FileFormatError, "'bert'"),
    "more tokens than rows": ({"rows": 300}, FileFormatError, r"340 tokens, and the embedding .* 300 rows"),
    "a special token out of range": (
        {"fields": {"tokenizer.ggml.eos_token_id": 340}},
        FileFormatError,
        r"tokenizer\.ggml\.eos_token_id is 340.*from 0 to 339",
    ),
    "types for other tokens": (
        {"fields": {"tokenizer.ggml.token_type": [1, 1]}},
        FileFormatError,
        r"token_type has 2 entries for 340 tokens",
    ),
    "merges of other tokens": ({"fields": {"tokenizer.ggml.merges": ["xyz zyx"]}}, FileFormatError, "cannot read"),
    "a part": ({"fields": {"split.count": 3}}, FileFormatError, "one of 3 parts.*--merge"),
    "no embedding": (
        {"without": ("token_embd.weight",)},
        FileFormatError,
        "no whole language model.*Name the file",
    ),
    "a tensor too few": ({"without": ("blk.2.ffn_up.weight",)}, FileFormatError, r"lacks weights.*layers\.2\.mlp\.up"),
    "a field too few": ({"without": ("llama.attention.head_count",)}, FileFormatError, "other sizes"),
    "another width": ({"fields": {"llama.feed_forward_length": 80}}, FileFormatError, "other sizes"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_with_something_wrong_is_refused_with_the_reason(what: str, tmp_path: Path) -> None:
    options, kind, words = WRONG[what]
    path = write(tmp_path / "wrong.gguf", **options)
    with pytest.raises(kind, match=words) as error:
        fl.load(path, device="cpu")
    assert str(path) in str(error.value)


def test_a_byte_gone_wrong_ends_in_an_error_of_ours_or_in_none(file: Path, tmp_path: Path) -> None:
    content, dice, path = file.read_bytes(), random.Random(0), tmp_path / "wrong.gguf"
    refused = 0
    for _ in range(300):
        wrong = bytearray(content)
        at = dice.randrange(len(MAGIC_AND_COUNTS), 12_000)
        wrong[at] = dice.randrange(256)
        path.write_bytes(wrong)
        try:
            read_header(path)
        except FileFormatError:  # anything else fails the test
            refused += 1
    assert refused > 30


MAGIC_AND_COUNTS = b"GGUF" + bytes(4)


def test_names_that_do_not_go_together(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"holds GGUF files \(small\.gguf\).*gguf_file='small\.gguf'"):
        fl.load(file.parent)
    with pytest.raises(ArgumentError, match="Leave gguf_file out"):
        fl.load(file, gguf_file="small.gguf")
    with pytest.raises(ArgumentError, match="Leave gguf_file out"):
        fl.load("atlas", gguf_file="small.gguf")
    with pytest.raises(FileNotFoundError, match=re.escape("There is no other.gguf in")):
        fl.load(file.parent, gguf_file="other.gguf")
    (tmp_path / "sha256-3f").write_bytes(file.read_bytes())
    with pytest.raises(ArgumentError, match=r"does not end in \.gguf: rename it"):
        fl.load(tmp_path / "sha256-3f")
    (tmp_path / "model.safetensors").write_bytes(b"{}")
    with pytest.raises(ArgumentError, match="name the folder"):
        fl.load(tmp_path / "model.safetensors")


def test_a_folder_may_be_called_like_a_file(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model.gguf"
    folder.mkdir()
    with pytest.raises(ArgumentError, match=r"model\.gguf in .* is a folder.*factlens\.load\("):
        fl.load(tmp_path, gguf_file="model.gguf")
    with pytest.raises(UnknownArchitecture):  # a folder without a model, and not one with GGUF files
        fl.load(tmp_path)
    made = original()
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    assert fl.load(folder, device="cpu").fingerprint == made.fingerprint


def test_a_file_may_end_in_capitals(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "SMALL.GGUF"
    path.write_bytes(file.read_bytes())
    model = fl.load(path, device="cpu")
    assert error_between(model, original()) < 1e-4
    assert model.dtype == torch.float32
    assert fl.load(tmp_path, gguf_file=path.name, device="cpu").fingerprint == model.fingerprint
    with pytest.raises(ArgumentError, match=r"holds GGUF files \(SMALL\.GGUF\)"):
        fl.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file .*OTHER\.GGUF"):
        fl.load(tmp_path / "OTHER.GGUF")
