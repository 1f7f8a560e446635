"""A lens for the tests of widgets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import factlens as fl
from tests.editing.made import FACT
from tests.support import small_model


@pytest.fixture
def lens() -> Iterator[fl.Lens]:
    lens = fl.Lens(small_model("gpt2"), FACT)
    yield lens
    lens.close()
