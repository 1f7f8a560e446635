"""What several files of these tests ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import factlens as fl
from tests.models.places import Place, twins
from tests.support import small_model


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Models and edits of which some are easily taken for each other."""
    model = small_model("gpt2")
    first, second = twins(model)
    again = fl.Edit.load(first.save(tmp_path / "edit.safetensors"))
    yield Place(model, small_model("gpt2", seed=1), first, second, again, tmp_path)
    model.set_edits(())
