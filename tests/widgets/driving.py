"""What the tests of a lens do to it, as a page or a cell would."""

from __future__ import annotations

import numpy as np

import factlens as fl
from tests.editing.made import FACT


def gesture(lens: fl.Lens, name: str, **payload: object) -> list[dict]:
    """Deliver a message as the browser would; return what is answered on the gestures' comm."""
    sent: list[dict] = []
    lens.gestures.send = lambda content, buffers=None: sent.append(content)
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 7, "name": name, **payload}, [])
    return sent


def undo(lens: fl.Lens) -> list[dict]:
    """Press the button, which names the newest edit that is listed."""
    return gesture(lens, "undo", key=lens.editor.state["edits"][-1]["key"])


def grid_of(frame: dict, name: str = "grid") -> np.ndarray:
    shape = (len(frame["kinds"]), len(frame["tokens"]), frame["layers"])
    return np.frombuffer(frame[name], "<f4").reshape(shape)


QUICK = {"steps": 2, "learning_rate": 0.001}


def quick_edit(model: fl.Model, target: str, layer: int = 1) -> fl.Edit:
    options = {"method": "ft", "layers": layer, "steps": 2, "learning_rate": 0.01, "apply": False}
    return fl.edit(model, FACT.with_target(target), **options)
