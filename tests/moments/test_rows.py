"""Rows of tokens from the texts of a corpus."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.moments import rows
from tests.support import small_model


def test_a_corpus_that_never_says_anything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text without end and without a token in it is no corpus."""
    monkeypatch.setattr(rows, "_BLANK", 100)
    with pytest.raises(fl.FactlensError, match="texts of the corpus have no token in them"):
        fl.moments.collect(small_model("gpt2"), [1], (" " for _ in iter(int, 1)), tokens=64, corpus="blank")
