"""What surrounds a call: autocast, inference mode, default device and number format. A model is kept out of them.

A trace that is taken inside a user's ``with torch.autocast(...)`` would have other numbers than one outside, and an
edit made there would write other bits. So for as long as factlens works, it works as if nothing were around it.
"""

from __future__ import annotations

from typing import Any

import torch

_DEVICES = ("cpu", "cuda", "mps", "xpu")


class Surroundings:
    """What is around a call when this is made; nothing is changed by making it."""

    def __init__(self) -> None:
        self.gradients = torch.is_grad_enabled()
        self._dtype = torch.get_default_dtype()
        self._autocast = [device for device in _DEVICES if _autocast(device)]
        self._inference = torch.is_inference_mode_enabled()
        self._device = torch.get_default_device().type != "cpu"
        # Entered, and not left yet.
        self._open: list[Any] = []

    @property
    def calm(self) -> bool:
        """Whether there is nothing around."""
        return not (self._autocast or self._inference or self._device) and self._dtype == torch.float32

    def leave(self) -> None:
        """Work as if there were nothing around."""
        if self.calm or self._open:
            return
        torch.set_default_dtype(torch.float32)
        for device in self._autocast:
            torch.set_autocast_enabled(device, False)
        if self._inference:
            self._enter(torch.inference_mode(False))
            torch.set_grad_enabled(self.gradients)
        if self._device:
            self._enter(torch.device("cpu"))

    def _enter(self, context: Any) -> None:
        self._open.append(context)
        context.__enter__()

    def again(self) -> None:
        """Bring back what was around, but for whether gradients are enabled; as often as need be."""
        while self._open:
            self._open[-1].__exit__(None, None, None)
            self._open.pop()
        if not self.calm:
            torch.set_default_dtype(self._dtype)
        for device in self._autocast:
            torch.set_autocast_enabled(device, True)
            # It keeps weights in the narrow format, and some may have been edited meanwhile.
            torch.clear_autocast_cache()


def _autocast(device: str) -> bool:
    try:
        return torch.is_autocast_enabled(device)
    except RuntimeError:  # this build of torch knows no such device
        return False
