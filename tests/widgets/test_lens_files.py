"""Files that the page sends and is sent: traces and edits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import factlens as fl
from tests.editing.made import FACT
from tests.support import small_model
from tests.widgets.driving import grid_of


@pytest.mark.parametrize("data", [b"", b"not a file", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "another model's"])
def test_a_file_that_is_no_edit_for_this_model(lens: fl.Lens, data: bytes | str, tmp_path: Path) -> None:
    if isinstance(data, str):
        other = small_model("llama")
        fact = fl.Fact("{} is in", "Rome", target="Oslo")
        data = fl.edit(other, fact, method="ft", layers=1, steps=1).save(tmp_path / "o").read_bytes()
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 2, "name": "load"}, [memoryview(data)])
    assert lens.session.wait(30)
    assert lens.error is not None
    assert lens.error["place"] == "edit"
    assert "/tmp" not in lens.error["text"]
    assert lens.edits == ()


def sent_by(lens: fl.Lens, name: str, data: bytes = b"") -> list[tuple[dict, object]]:
    """Deliver a gesture with a file; return messages and files that are sent back."""
    sent: list[tuple[dict, object]] = []
    lens.gestures.send = lambda content, buffers=None: sent.append((content, buffers))
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 3, "name": name}, [memoryview(data)] if data else [])
    return sent[1:]


def test_a_trace_is_saved_and_opened_from_the_page(lens: fl.Lens, tmp_path: Path) -> None:
    assert lens.locate.state["traced"] is False
    lens.start()
    assert lens.session.wait(30)
    assert lens.locate.state["traced"] is True
    ((content, (data,)),) = sent_by(lens, "save_trace")
    assert content == {"type": "file", "name": "In-Paris--the-Eiffel-Tower-is-near.safetensors"}
    (tmp_path / "t.safetensors").write_bytes(data)
    np.testing.assert_array_equal(fl.Trace.load(tmp_path / "t.safetensors").samples, lens.trace.samples)

    second = fl.Lens(lens.session.model)
    try:
        assert sent_by(second, "open", data) == []
        assert second.error is None
        assert second.fact == FACT
        np.testing.assert_array_equal(grid_of(second.heatmap.frame), grid_of(lens.heatmap.frame))
        assert second.locate.state["prompt"] == FACT.prompt
    finally:
        second.close()


def tampered(trace: fl.Trace, tmp_path: Path, **changes: object) -> bytes:
    for name, value in changes.items():
        setattr(trace, name, value)
    return trace.save(tmp_path / "tampered").read_bytes()


@pytest.mark.parametrize("what", ["nothing", "junk", "an edit", "another model's", "other tokens", "cut off", "huge"])
def test_a_file_that_is_no_trace_of_this_model(
    lens: fl.Lens, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lens.start()
    assert lens.session.wait(30)
    before, model = lens.trace, lens.session.model
    other = fl.trace(model, FACT, samples=1)
    if what == "huge":
        monkeypatch.setattr("factlens.session.received.LARGEST_FILE", 1000)
    edit = fl.edit(model, FACT, method="ft", layers=1, steps=1, apply=False)
    data, words = {
        "nothing": lambda: (b"", "The file"),
        "junk": lambda: (b"<img src=x onerror=alert(1)>" * 9, "The file"),
        "an edit": lambda: (edit.save(tmp_path / "e").read_bytes(), "The file"),
        "another model's": lambda: (
            fl.trace(small_model("llama"), FACT, samples=1).save(tmp_path / "t").read_bytes(),
            "not to 'small gpt2'",
        ),
        "other tokens": lambda: (
            tampered(other, tmp_path, token_ids=(9, *other.token_ids[1:])),
            "splits the prompt differently",
        ),
        "cut off": lambda: (other.save(tmp_path / "t").read_bytes()[:-100], "The file"),
        "huge": lambda: (other.save(tmp_path / "t").read_bytes(), "at most"),
    }[what]()
    assert sent_by(lens, "open", data) == []
    assert lens.locate.state["error"]["title"] == "The file was not opened"
    assert words in lens.error["text"]
    assert str(tmp_path) not in lens.error["text"]
    assert lens.trace is before
