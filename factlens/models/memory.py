"""Whether a tensor's memory may be written to. A weight in a read-only memory map ends the process when it is."""

from __future__ import annotations

import ctypes
import errno
import os

from torch import Tensor


def is_writable(tensor: Tensor) -> bool:
    """Return whether the memory of a tensor may be written to.

    torch does not know: ``torch.from_numpy(np.memmap(path, mode="r"))`` looks like any other tensor, and the first
    write to it is a segmentation fault, which no ``try`` catches. So the kernel is asked to write, and it answers with
    an error (`EFAULT`) where the process would die: the first and the last byte are read from a pipe into the place
    where they already stand. Copy-on-write maps (``torch.load(mmap=True)``, safetensors, ``np.memmap(mode="c")``)
    are writable.

    Parameters
    ----------
    tensor
        On any device. Memory of accelerators is always writable; so is, as far as can be told, all memory on systems
        without ``os.readv`` (Windows).
    """
    if tensor.device.type != "cpu" or tensor.numel() == 0 or not hasattr(os, "readv"):
        return True
    first = tensor.data_ptr()
    steps = (stride * (size - 1) for stride, size in zip(tensor.stride(), tensor.shape, strict=True))
    last = first + (sum(steps) + 1) * tensor.element_size() - 1
    return _takes_its_own_byte(first) and _takes_its_own_byte(last)


def _takes_its_own_byte(address: int) -> bool:
    source, sink = os.pipe()
    try:
        os.write(sink, ctypes.string_at(address, 1))
        os.readv(source, [(ctypes.c_char * 1).from_address(address)])
    except OSError as error:
        if error.errno == errno.EFAULT:
            return False
        raise
    finally:
        os.close(source)
        os.close(sink)
    return True
