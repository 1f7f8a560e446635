"""Files that a page hands to a lens: what is shown, and the edits in force, stay until a good one replaces them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.session import Session
from factlens.widgets.wire import frame_of
from tests.damaged import HOSTILE, mutated, places, put
from tests.saved import KINDS, opened, same
from tests.support import small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    made = Session(small_model("gpt2"), FACT)
    made.start_trace()
    assert made.wait(60)
    yield made
    made.close()


@pytest.fixture
def path(session: Session, tmp_path: Path) -> Path:
    """Another trace of the same fact, in a file."""
    other = fl.trace(
        session.model, FACT, samples=2, kinds=("mlp", "head.1"), metric="logit_difference", contrast="Rome"
    )
    return other.save(tmp_path / "trace.safetensors")


def shown(session: Session) -> tuple[Any, ...]:
    return session.trace, session.fact, session.run, session.previous, session.selection, session.stopped


def change(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(fields)


def reshape(content: dict[str, Any]) -> None:
    for name in ("samples",):
        content["arrays"][name] = content["arrays"][name][:, :, :-1]


LIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a head that the model lacks": change(kinds=["mlp", "head.99"]),
    "a kind twice": change(kinds=["mlp", "mlp"]),
    "an answer beyond the vocabulary": change(answer_ids=[10_000]),
    "a contrast beyond the vocabulary": change(contrast_ids=[10_000]),
    "another subject": change(subject_range=[0, 1]),
    "other tokens": lambda content: content["token_ids"].reverse(),
    "another model": change(fingerprint="0" * 16),
    "fewer layers": reshape,
    "a prompt that is too long": lambda content: content["fact"].update(template="{}" + " is" * 200),
    "a prompt that is none": lambda content: content["fact"].update(template=""),
    "no text": change(model=3),
    "no number": lambda content: content["arrays"].update(low_samples=np.full(2, np.nan, np.float32)),
    "an unknown field": change(novelty=1),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_trace_that_cannot_be_of_this_model(session: Session, path: Path, lie: str) -> None:
    before = shown(session)
    with opened(KINDS["trace"], path) as content:
        LIES[lie](content)
    session.open(path.read_bytes())
    assert session.error is not None
    assert session.error["place"] == "locate"
    assert str(path.parent) not in session.error["text"]
    assert shown(session) == before
    session.open(KINDS["trace"].save(session.trace, path) or path.read_bytes())
    assert session.error is None


def test_a_trace_changed_in_any_way(session: Session, path: Path) -> None:
    """Byte by byte, and field by field with a right checksum: it is taken and can be shown, or nothing has changed."""
    luck, whole, taken = random.Random("a page"), path.read_bytes(), 0
    for step in range(120):
        path.write_bytes(whole)
        if step % 2:
            path.write_bytes(mutated(whole, luck))
        else:
            with opened(KINDS["trace"], path) as content:
                ways = list(places({k: v for k, v in content.items() if k != "arrays"}))
                put(content, luck.choice(ways), luck.choice(HOSTILE))
        before = shown(session)
        session.open(path.read_bytes())
        if session.error is not None:
            assert shown(session) == before
        else:
            taken += 1
            frame_of(session.trace)
            session.select(session.trace.kinds[0], 1, 2)
            assert session.wait(30)
            assert session.error is None or session.error["place"] == "details"
    assert 0 < taken < 60


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a layer that the model lacks": lambda content: content.update(layers={"__tuple__": [99]}),
    "NaN": lambda content: content["arrays"].update({"0.left": np.full((192, 1), np.nan, np.float32)}),
    "another shape": lambda content: content["arrays"].update({"0.left": np.ones((3, 1), np.float32)}),
    "another parameter": change(parameters=["lm_head.wait"]),
    "no text": change(moment=3),
    "an unknown array": lambda content: content["arrays"].update({"1.left": np.ones((3, 1), np.float32)}),
}


@pytest.mark.parametrize("lie", EDITS)
def test_an_edit_that_cannot_be_of_this_model(session: Session, tmp_path: Path, lie: str) -> None:
    model = session.model
    weights = {name: value.clone() for name, value in model.model.state_dict().items()}
    term = model.down_projection(2).low_rank(torch.ones(model.width, 1), torch.ones(1, 192))
    made = fl.Edit("by hand", (FACT,), (2,), (term,), {}, "", model.name, model.fingerprint)
    path = made.save(tmp_path / "edit.safetensors")
    assert same(fl.Edit.load(path), made)
    with opened(KINDS["edit"], path) as content:
        EDITS[lie](content)
    session.start_load(path.read_bytes())
    assert session.wait(30)
    assert session.error is not None
    assert session.error["place"] == "edit"
    assert session.edits == model.edits == ()
    assert all(torch.equal(value, weights[name]) for name, value in model.model.state_dict().items())
    session.start_load(made.save(path).read_bytes())
    assert session.wait(30)
    assert session.error is None
    session.start_undo()
    assert session.wait(30)
