"""Models from a folder, and code in it, which is never run."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path

import pytest

import factlens as fl
from factlens.errors import UnknownArchitecture
from tests.editing.made import FACT
from tests.support import small_model, tokenizer


def saved(folder: Path) -> fl.Model:
    """A model in a folder, as transformers leaves it there."""
    made = small_model("llama")
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return made


def test_wrap_gives_back_what_it_was_given() -> None:
    module = small_model("gpt2").model
    tok = tokenizer()
    model = fl.wrap(module, tok)
    assert model.model is module
    assert model.tokenizer is tok


def test_a_local_folder_loads(tmp_path: Path) -> None:
    made = saved(tmp_path)
    model = fl.load(tmp_path, device="cpu", dtype="float32")
    assert model.fingerprint == made.fingerprint
    assert model.encode(FACT).ids == made.encode(FACT).ids
    assert str(fl.load(tmp_path, dtype="bfloat16").dtype) == "torch.bfloat16"


MINE = """
from pathlib import Path

Path(__file__).with_name("it ran").touch()
raise SystemExit("the code of a repository was run")
"""


class Untouched:
    """A terminal from which nothing may be read."""

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the terminal was asked for its {name}")


@pytest.mark.parametrize("brings", ["model", "tokenizer", "both"])
def test_a_repositorys_own_code_is_neither_run_nor_asked_about(
    brings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    if brings != "tokenizer":
        config = json.loads((tmp_path / "config.json").read_text())
        classes = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyModel"}
        (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "mine", "auto_map": classes}))
    if brings != "model":
        settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
        classes = {"AutoTokenizer": [None, "mine.MyTokenizer"]}
        settings |= {"tokenizer_class": "MyTokenizer", "auto_map": classes}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    asked: list[object] = []
    monkeypatch.setattr(sys, "stdin", Untouched())
    monkeypatch.setattr(builtins, "input", lambda *prompt: asked.append(prompt) or "y")
    with pytest.raises(UnknownArchitecture, match=r"never runs a repository's code.*factlens\.wrap") as error:
        fl.load(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert not asked
    assert not (tmp_path / "it ran").exists()


def test_code_that_transformers_has_itself_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Many repositories bring the code of an architecture that transformers has learnt since.
    made = saved(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    config = json.loads((tmp_path / "config.json").read_text())
    classes = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyModel"}
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": classes}))
    monkeypatch.setattr(sys, "stdin", Untouched())
    assert fl.load(tmp_path, device="cpu").fingerprint == made.fingerprint
    assert not (tmp_path / "it ran").exists()


def test_an_architecture_that_transformers_does_not_know(tmp_path: Path) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for model_type in ("of the future", "t5"):
        (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
        with pytest.raises(UnknownArchitecture, match="no causal language model that transformers knows"):
            fl.load(tmp_path)
