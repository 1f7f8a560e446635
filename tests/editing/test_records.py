"""Edits as records: everything comes back from the file, it is small, and an edit says what it is."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import factlens as fl
from factlens.editing.card import size_of
from factlens.errors import FileFormatError, WrongModel
from factlens.files import read_record, write_record
from factlens.models import Dense, LowRank
from tests.editing.made import FACT, FACTS, moment_of
from tests.support import small_model

FEW = {"steps": 2, "contexts": ((2, 3),), "openings": ()}


def made(method: str, kind: str = "gpt2", *, apply: bool = False) -> tuple[fl.Model, fl.Edit]:
    """A small model and an edit of it by some method."""
    model = small_model(kind)
    facts = FACT if method == "rome" else FACTS
    layers = [2] if method in ("rome", "emmet") else [1, 3]
    if method == "ft":
        return model, fl.edit(model, facts, method=method, layers=layers, apply=apply, steps=2, learning_rate=0.1)
    moments = {layer: moment_of(model, layer, rank=20) for layer in layers}
    options = {"nullspace": 1e-3, "relative": True} if method == "alphaedit" else {}
    return model, fl.edit(model, facts, method=method, layers=layers, moments=moments, apply=apply, **FEW, **options)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("method", ["rome", "emmet", "memit", "alphaedit", "ft"])
def test_an_edit_of_every_method_comes_back_as_it_was(method: str, kind: str, tmp_path: Path) -> None:
    model, edit = made(method, kind)
    assert edit.report
    assert bool(edit.keys) == (method == "alphaedit")
    loaded = fl.Edit.load(edit.save(tmp_path / "edit.safetensors"))
    for name in ("method", "facts", "layers", "hparams", "moment", "model", "fingerprint", "report"):
        found, kept = getattr(loaded, name), getattr(edit, name)
        assert (found, repr(found)) == (kept, repr(kept)), name
    assert len(loaded.updates) == len(edit.updates) > 0
    for found, kept in zip(loaded.updates, edit.updates, strict=True):
        assert type(found) is type(kept)
        for name, value in vars(kept).items():
            other = getattr(found, name)
            if isinstance(value, torch.Tensor):
                assert (other.dtype, other.numpy().tobytes()) == (value.dtype, value.numpy().tobytes())
                assert other.shape == value.shape
            else:
                assert other == value, name
    assert list(loaded.keys) == list(edit.keys)
    for layer, keys in edit.keys.items():
        assert keys.shape[1] == len(FACTS)
        assert (loaded.keys[layer].dtype, loaded.keys[layer].tolist()) == (keys.dtype, keys.tolist())
    with model.edited(edit):
        expected = [p.detach().clone() for p in model.model.parameters()]
    with model.edited(loaded):
        assert all(torch.equal(p, q) for p, q in zip(model.model.parameters(), expected, strict=True))


def test_the_settings_that_come_back_make_the_same_edit_again(tmp_path: Path) -> None:
    model, edit = made("rome")
    settings = fl.Edit.load(edit.save(tmp_path / "edit.safetensors")).hparams
    assert settings["contexts"] == ((2, 3),), "a tuple of tuples, as it was"
    again = fl.edit(
        model,
        edit.facts,
        method=edit.method,
        layers=edit.layers,
        moments=moment_of(model, 2, rank=20),
        apply=False,
        **settings,
    )
    assert again.hparams == edit.hparams
    assert torch.equal(again.updates[0].left, edit.updates[0].left)
    assert torch.equal(again.updates[0].right, edit.updates[0].right)


def test_plain_data_of_any_shape_comes_back(tmp_path: Path) -> None:
    odd = {
        "tuples": ((1, 2.5), ["a", ("b",), {"c": (None, True)}], ()),
        "numbers": [0.1 + 0.2, -0.0, 1e-310, float("inf"), 2**70],
        "texts": ["é", "\x00", "日本", "</script>", "__tuple__"],
        "nested": {"nothing": {}, "list": [], "none": None},
    }
    _, edit = made("rome")
    edit = replace(edit, hparams=odd, report=odd, layers=(2, 3))
    loaded = fl.Edit.load(edit.save(tmp_path / "edit.safetensors"))
    assert repr(loaded.hparams) == repr(loaded.report) == repr(odd)
    assert loaded.layers == (2, 3)


@pytest.mark.parametrize(
    "change",
    [{"transposed": None}, {"transposed": [True, False]}, {"hparams": None, "parameters": []}, {"method": None}],
    ids=str,
)
def test_a_record_that_lacks_something_is_refused(change: dict, tmp_path: Path) -> None:
    _, edit = made("rome")
    path = edit.save(tmp_path / "edit.safetensors")
    record, arrays = read_record(path, "factlens.edit", 4)
    for name, value in change.items():
        record.pop(name)
        if value is not None:
            record[name] = value
    write_record(path, "factlens.edit", 4, record, arrays)
    with pytest.raises(FileFormatError, match="not a complete factlens edit"):
        fl.Edit.load(path)


def test_an_edit_of_gpt2_xl_is_kilobytes(tmp_path: Path) -> None:
    _, small = made("rome")
    # A projection of 6400 × 1600, and as long a report as ROME's twenty steps give.
    factors = LowRank("transformer.h.17.mlp.c_proj.weight", torch.randn(6400, 1), torch.randn(1, 1600), transposed=True)
    step = dict.fromkeys(("loss", "nll", "kl", "decay"), 0.12345678901234568)
    report = {"facts": [{"losses": [step] * 20, "delta_norm": 1.2345678, "value_norm": 2.3456789}]}
    edit = replace(small, updates=(factors,), report=report, layers=(17,))
    size = edit.save(tmp_path / "edit.safetensors").stat().st_size
    assert edit.nbytes == 4 * (6400 + 1600)
    assert edit.nbytes < size < 50_000
    assert size_of(edit) == "32 kB"


@pytest.mark.parametrize(
    ("size", "text"), [(999, "999 B"), (1500, "1.5 kB"), (40_960_000, "41 MB"), (3e12, "3e+03 GB")]
)
def test_sizes_are_written_for_a_glance(size: float, text: str) -> None:
    class Sized:
        nbytes = size

    assert size_of(Sized()) == text


def test_a_loaded_edit_of_another_model_is_refused_by_name(tmp_path: Path) -> None:
    model, edit = made("rome", "gpt2")
    loaded = fl.Edit.load(edit.save(tmp_path / "edit.safetensors"))
    other = small_model("llama")
    for use in (other.apply, lambda e: other.edited(e).__enter__()):
        with pytest.raises(WrongModel, match=rf"'small gpt2' \(fingerprint {model.fingerprint}\).*'small llama'"):
            use(loaded)
    assert other.edits == ()


# What an edit says of itself -----------------------------------------------------------------------------------------


def test_an_edit_says_what_it_is() -> None:
    model, edit = made("rome", apply=True)
    shares = f"{edit.taken[0].before:.2g} → {edit.taken[0].after:.2g}"
    what = "<factlens.Edit Eiffel Tower → Seattle (rome, layer 2), 960 B, for 'small gpt2'"
    assert repr(edit) == f"{what}, took 0 of 1: p(Seattle) {shares}>"
    assert str(edit) in repr(model)
    assert "unedited" not in repr(model)
    model.undo()
    assert "unedited" in repr(model)
    described = edit.to_dict()
    assert json.loads(json.dumps(described))["facts"] == [asdict(FACT)]
    assert described["parameters"] == ["transformer.h.2.mlp.c_proj.weight"]
    assert described["moment"] == edit.moment != ""
    assert "report" not in described, "the numbers stay in the edit's own file"


class Cells(HTMLParser):
    """The tags and texts of some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: object) -> None:
        assert not attributes
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_table_in_a_notebook() -> None:
    _, edit = made("memit")
    shown = Cells(edit._repr_html_())
    assert set(shown.tags) == {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}
    for fact in FACTS:
        assert {fact.prompt, fact.subject, fact.target} <= set(shown.texts)
    made_how = dict(zip(shown.texts, shown.texts[1:], strict=False))
    assert made_how["method"] == "memit"
    assert made_how["layers"] == "1, 3"
    assert made_how["C"] == edit.moment
    assert made_how["size"] == size_of(edit)
    assert made_how["made for"] == f"small gpt2 ({edit.fingerprint})"
    _, tuned = made("ft")
    assert isinstance(tuned.updates[0], Dense)
    assert "<td>not used</td>" in tuned._repr_html_()


def test_no_word_of_an_edit_is_read_as_html() -> None:
    _, edit = made("rome")
    bad = "<script>alert('&')</script>\u202e\x07"
    facts = (fl.Fact("{} is", bad, target=bad, object=bad),) * 12
    spelt = Cells(replace(edit, facts=facts, method=bad, moment=bad, model=bad)._repr_html_())
    assert "script" not in spelt.tags
    assert any("<script>" in text for text in spelt.texts), "it is shown as it is"
    assert not any("\u202e" in text or "\x07" in text for text in spelt.texts)
    assert "and 2 more" in spelt.texts
    assert "and 9 more" in "".join(spelt.texts)
