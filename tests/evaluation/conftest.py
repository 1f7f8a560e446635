"""A small model, and a report of two ways to edit it."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.evaluation import Report
from tests.evaluation.made import small_records
from tests.support import small_model


@pytest.fixture(scope="module")
def small() -> fl.Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def report(small: fl.Model) -> Report:
    return fl.evaluate(
        small,
        small_records(),
        method={"strong": {"method": "ft", "learning_rate": 3e-2}, "weak": {"method": "ft", "learning_rate": 1e-6}},
        unrelated=["The weather is", "Once upon a time"],
        texts=["Rome was not built in a day", "Paris is worth a mass"],
        layers=2,
        steps=8,
    )
