"""Which memory may be written to is known without writing anything new to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from factlens.models.memory import is_writable


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    np.arange(6000, dtype=np.float32).tofile(tmp_path / "numbers.bin")
    return tmp_path / "numbers.bin"


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize(("mode", "writable"), [("r", False), ("c", True), ("r+", True)])
def test_memory_maps(numbers: Path, mode: str, writable: bool) -> None:
    content = numbers.read_bytes()
    tensor = torch.from_numpy(np.memmap(numbers, np.float32, mode, shape=(60, 100)))
    before = tensor.clone()
    for part in (tensor, tensor.T, tensor[3:, ::7], tensor[59:, 99:]):
        assert is_writable(part) is writable
    assert torch.equal(tensor, before)
    assert numbers.read_bytes() == content


def test_maps_that_copy_on_write(tmp_path: Path) -> None:
    save_file({"a": torch.rand(50, 100)}, tmp_path / "a.safetensors")
    torch.save({"a": torch.rand(50, 100)}, tmp_path / "a.pt")
    for tensors in (load_file(tmp_path / "a.safetensors"), torch.load(tmp_path / "a.pt", mmap=True)):
        assert is_writable(tensors["a"])


def test_ordinary_memory() -> None:
    for tensor in (torch.rand(3), torch.rand(3, 0), torch.tensor(1.0), torch.rand(4, 1).expand(4, 3)):
        assert is_writable(tensor)
    assert is_writable(torch.rand(3, device="meta"))
