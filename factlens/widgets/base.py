"""What all our anywidgets share: bundled files, strict keywords, an id of the lens they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

STATIC = Path(__file__).parent.parent / "static"


class Part(anywidget.AnyWidget):
    """A piece of a lens: one ES module and the shared style sheet, both from this package and nowhere else."""

    _css = STATIC / "factlens.css"
    lens = t.Unicode("").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        # ipywidgets would take a misspelt name without a word.
        unknown = sorted(name for name in traits if not self.has_trait(name))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no {', '.join(map(repr, unknown))}.")
        super().__init__(**traits)

    def __repr__(self) -> str:
        return f"<factlens.{type(self).__name__}>"
