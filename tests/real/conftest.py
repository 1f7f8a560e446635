"""SmolLM2-135M-Instruct, a pretrained model, for the tests of this folder: it is there, or they fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import factlens as fl
from scripts import smollm2 as source
from tests.support import lent

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("real")


@pytest.fixture(scope="session")
def smollm2_file() -> Path:
    """The GGUF file, as its makers published it."""
    if not source.FILE.exists() or source.digest(source.FILE) != source.FILE_DIGEST:
        pytest.fail(f"{source.FILE} is missing or damaged. Fetch it: python scripts/smollm2.py, or make setup-test")
    return source.FILE


@pytest.fixture(scope="session")
def shared_smollm2(smollm2_file: Path) -> fl.Model:
    """Load the model once."""
    return fl.load(smollm2_file, device="cpu")


@pytest.fixture
def smollm2(shared_smollm2: fl.Model) -> Iterator[fl.Model]:
    """The pretrained model; a test that leaves it edited has failed."""
    yield from lent(shared_smollm2)
