"""Statistics are kept under all that they depend on, checked when read, and a killed pass goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.errors import Interrupted, WrongModel
from factlens.files import read_record, write_record
from factlens.moments import Corpus, Key, SecondMoment, cached, collect, default_moments, default_tokens, own_corpus
from factlens.moments.collect import gather
from factlens.moments.writing import Writer
from tests.support import TEXT, small_model

ROOT = Path(__file__).parents[2]
FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")
CHOICES = {"tokens": 500, "corpus": "x", "sequence": 16}


def collecting(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Note the layers of every pass from now on."""
    from factlens.moments import cache

    passes: list[list[int]] = []

    def noted(model, layers, source, **settings):
        passes.append(list(layers))
        return gather(model, layers, source, **settings)

    monkeypatch.setattr(cache, "gather", noted)
    return passes


def test_what_has_been_collected_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, passes = small_model("gpt2"), collecting(monkeypatch)
    first = cached(model, [1], TEXT * 20, folder=tmp_path, **CHOICES)
    again = cached(model, [1, 3, 2], TEXT * 20, folder=tmp_path, **CHOICES)
    assert passes == [[1], [2, 3]], "one pass over what is missing, and nothing twice"
    assert torch.equal(first[1].total, again[1].total)
    assert first[1].described == again[1].described
    assert sorted(again) == [1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 3, "no checkpoint is left"


@pytest.mark.parametrize("change", [{"tokens": 501}, {"corpus": "y"}, {"sequence": 17}], ids=str)
def test_every_choice_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict) -> None:
    model, passes = small_model("gpt2"), collecting(monkeypatch)
    for choices in (CHOICES, CHOICES | change, CHOICES):
        cached(model, [1], TEXT * 20, folder=tmp_path, **choices)
    assert len(passes) == 2


def test_model_and_number_format_are_part_of_the_key(tmp_path: Path) -> None:
    keys = {
        Key.of(model, layer, "x", 500).file(tmp_path)
        for model in (small_model("gpt2"), small_model("gpt2", seed=1), small_model("gpt2", dtype=torch.bfloat16))
        for layer in (1, 2)
    }
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "f" * 16}, "belongs to the model .fingerprint ffffffffffffffff., not to "),
        ({"layer": 2}, "its layer is 2, not 1"),
        ({"corpus": "another"}, "its corpus is another, not x"),
        ({"asked": 400}, "its tokens is 400, not 500"),
        ({"dtype": "float16"}, "its dtype is float16, not float32"),
        ({"sequence": 8}, "its sequence is 8, not 16"),
    ],
)
def test_every_part_is_checked_when_read(tmp_path: Path, change: dict, message: str) -> None:
    model = small_model("gpt2")
    key = Key.of(model, 1, "x", 500, 16)
    good = cached(model, [1], TEXT * 20, folder=tmp_path, **CHOICES)[1]
    key.check(good)
    wrong = replace(good, **change)
    with pytest.raises(WrongModel, match=message):
        key.check(wrong)
    wrong.save(key.file(tmp_path))
    with pytest.warns(UserWarning, match=f"not used, and collected anew.*{message}"):
        again = cached(model, [1], TEXT * 20, folder=tmp_path, **CHOICES)[1]
    assert torch.equal(again.total, good.total)
    key.check(SecondMoment.load(key.file(tmp_path)))


def test_the_width_is_checked(tmp_path: Path) -> None:
    model = small_model("gpt2")
    key = Key.of(model, 1, "x", 500, 16)
    good = cached(model, [1], TEXT * 20, folder=tmp_path, **CHOICES)[1]
    with pytest.raises(WrongModel, match="its width is 3, not 192"):
        key.check(replace(good, total=torch.eye(3), spread=None))


def test_a_damaged_file_is_said_and_replaced(tmp_path: Path) -> None:
    model = small_model("gpt2")
    good = cached(model, [1], TEXT * 20, folder=tmp_path, **CHOICES)[1]
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-5] ^= 1
    for damaged, message in ((bytes(changed), "damaged"), (whole[:-100], "not a file"), (b"", "not a file")):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=message):
            again = cached(model, [1], TEXT * 20, folder=tmp_path, **CHOICES)[1]
        assert torch.equal(again.total, good.total)
        assert torch.equal(SecondMoment.load(path).total, good.total)


# Going on after a kill ----------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from factlens.moments import cached
from tests.support import TEXT, small_model

def kill(share):
    if share > float(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

cached(small_model("gpt2"), [1, 3], [f"{i} {t}" for i in range(400) for t in TEXT], tokens=40_000, corpus="numbers",
       folder=Path(sys.argv[1]), every=0, progress=kill)
"""


def run_killed(folder: Path, at: float) -> int:
    code = textwrap.dedent(KILLED)
    return subprocess.run(
        [sys.executable, "-c", code, str(folder), str(at)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    ).returncode


def test_a_killed_pass_goes_on_and_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts = small_model("gpt2"), [f"{i} {t}" for i in range(400) for t in TEXT]
    whole = collect(model, [1, 3], texts, tokens=40_000, corpus="numbers")
    for at in (0.15, 0.4):
        assert run_killed(tmp_path, at) == -signal.SIGKILL
        (unfinished,) = tmp_path.iterdir()
        assert unfinished.name.startswith("unfinished-")
    # What a kill in the middle of writing would have left.
    (tmp_path / f"{unfinished.name}.0123.part").write_bytes(b"half")
    shares: list[float] = []
    found = cached(model, [1, 3], texts, tokens=40_000, corpus="numbers", folder=tmp_path, progress=shares.append)
    assert 0.3 < shares[0] < 0.4, "it began with what had been written before the second kill"
    for layer in (1, 3):
        assert found[layer].count == whole[layer].count
        assert found[layer].groups == whole[layer].groups
        torch.testing.assert_close(found[layer].total, whole[layer].total, rtol=1e-12, atol=0)
        torch.testing.assert_close(found[layer].spread, whole[layer].spread, rtol=1e-12, atol=0)
    assert not [path for path in tmp_path.iterdir() if "unfinished" in path.name]


def interrupted_pass(path: Path, **changes) -> None:
    """Leave a checkpoint behind."""

    def leave(share: float) -> None:
        if share > 0.3:
            raise Interrupted("enough")

    choices = {"tokens": 20_000, "corpus": "x", "checkpoint": path, "every": 0, "progress": leave, **changes}
    with pytest.raises(Interrupted):
        collect(small_model("gpt2"), [1], TEXT * 400, **choices)
    assert path.exists()


def first_share(path: Path, layers: tuple[int, ...] = (1,), **changes) -> float:
    shares: list[float] = []
    choices = {"tokens": 20_000, "corpus": "x", "checkpoint": path, "progress": shares.append, **changes}
    collect(choices.pop("model", small_model("gpt2")), layers, TEXT * 400, **choices)
    return shares[0]


def test_a_checkpoint_of_another_pass_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "unfinished.safetensors"
    interrupted_pass(path)
    assert first_share(path) > 0
    assert not path.exists()
    changes = ({"tokens": 20_001}, {"corpus": "y"}, {"sequence": 32}, {"layers": (1, 2)}, {"layers": (2,)})
    for change in (*changes, {"model": small_model("gpt2", seed=1)}):
        interrupted_pass(path)
        with pytest.warns(UserWarning, match="belongs to another pass"):
            assert first_share(path, **change) == 0, change
    # Row lengths of which equally many make a group.
    interrupted_pass(path, sequence=61)
    with pytest.warns(UserWarning, match="belongs to another pass"):
        assert first_share(path, sequence=62) == 0


def test_a_damaged_checkpoint_is_said_and_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "unfinished.safetensors"
    interrupted_pass(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.warns(UserWarning, match="begins anew, its checkpoint cannot be used.*damaged"):
        assert first_share(path) == 0
    path.write_bytes(whole)
    kind = "factlens.moments-unfinished"
    record, arrays = read_record(path, kind, 2)
    for changed in (
        {name: array for name, array in arrays.items() if name != "1.total"},
        arrays | {"1.total": arrays["1.total"][:3]},
        arrays | {"1.spread": np.zeros((3, 4))},
        {name: array for name, array in arrays.items() if name != "1.rows"},
    ):
        write_record(path, kind, 2, record, changed)
        with pytest.warns(UserWarning, match="begins anew"):
            assert first_share(path) == 0


def test_checkpoints_are_written_no_oftener_than_asked(tmp_path: Path) -> None:
    path, seen = tmp_path / "unfinished.safetensors", []
    settings = {"tokens": 20_000, "corpus": "x", "checkpoint": path, "every": 1000}
    collect(small_model("gpt2"), [1], TEXT * 400, progress=lambda _share: seen.append(path.exists()), **settings)
    assert len(seen) > 3
    assert not any(seen)


# The model's own text -----------------------------------------------------------------------------------------------


def test_a_model_without_a_corpus_writes_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path))
    model = small_model("gpt2")
    edit = fl.edit(model, FACT, layers=2, apply=False)
    assert "sampled from the model itself" in edit.moment
    (kept,) = (tmp_path / "moments").iterdir()
    again = SecondMoment.load(kept)
    assert (again.fingerprint, again.layer) == (model.fingerprint, 2)
    assert again.count == 2_048
    assert edit.moment == again.described


def test_the_quick_default_grows_with_the_keys(atlas: fl.Model) -> None:
    text, read = Corpus("ordinary text", lambda _skip: iter(())), []
    for width, written in ((192, 2_048), (1_536, 3_072), (3_000, 4_096), (16_384, 4_096), (20_001, 5_001)):
        model = small_model("gpt2", n_inner=width)
        assert default_tokens(model, [1, 2]) == default_tokens(model, [1], own_corpus(model)) == written
        read.append(default_tokens(model, [1], text))
    assert read == [20_000, 20_000, 24_000, 131_072, 160_008]
    assert default_tokens(atlas, [1]) == default_tokens(atlas, [1], text) == 50_000
    assert default_tokens(atlas, [1], own_corpus(model)) == 2_048


def test_own_text_can_be_read_from_any_place(atlas: fl.Model) -> None:
    small = small_model("gpt2")
    for corpus in (own_corpus(small, seed=3, sequence=5), own_corpus(atlas, seed=3)):
        texts = [text for text, _ in zip(corpus, range(140), strict=False)]
        for skip in (0, 1, 63, 64, 65, 128):
            later = corpus.read(skip)
            assert [next(later) for _ in range(3)] == texts[skip : skip + 3], skip
        assert len(set(texts[:64])) > 1
        assert texts[:64] != texts[64:128]
    other = own_corpus(small, seed=4, sequence=5)
    assert other.identity != own_corpus(small, seed=3, sequence=5).identity != own_corpus(small, seed=3).identity
    assert next(iter(other)) != next(iter(own_corpus(small, seed=3, sequence=5)))


def test_the_default_is_cached_and_has_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTLENS_CACHE", str(tmp_path))
    model, shares = small_model("gpt2"), []
    first = default_moments(model, [1, 2], tokens=3000, progress=shares.append)
    assert shares[0] == 0
    assert shares[-1] == 1
    monkeypatch.setattr(Writer, "write", None)
    again = default_moments(model, [1, 2], tokens=3000)
    assert torch.equal(first[2].total, again[2].total)
