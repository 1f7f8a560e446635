"""A small model, a trace of it, and an average of traces worked out by hand."""

from __future__ import annotations

import pytest

import factlens as fl
from factlens.tracing import Trace
from tests.support import small_model
from tests.tracing.averaged import CASES, made
from tests.tracing.made import FACT, NOISE


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def trace(model: fl.Model) -> Trace:
    return fl.trace(model, FACT, samples=4, corruption=NOISE)


@pytest.fixture(scope="module")
def average() -> fl.Average:
    return fl.average(made(*case) for case in CASES)
