"""What all our anywidgets share: bundled files, strict keywords, an id of the lens; and what widgets are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import traitlets as t

from factlens.arguments import shown
from factlens.errors import ArgumentError

STATIC = Path(__file__).parent.parent / "static"


class Bundled:
    """A file of the bundle, read whenever a widget is made.

    For a plain path anywidget would watch the file, and keep alive every widget that uses it.
    """

    def __init__(self, name: str) -> None:
        self._path = STATIC / name

    def __str__(self) -> str:
        return self._path.read_text("utf-8")


class Part(anywidget.AnyWidget):
    """A piece of a lens: one ES module and the shared style sheet, both from this package."""

    _css = Bundled("factlens.css")
    lens = t.Unicode("").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        # ipywidgets would take a misspelt name without a word.
        unknown = sorted(name for name in traits if not self.has_trait(name))
        if unknown:
            raise ArgumentError(f"{type(self).__name__} has no {', '.join(map(shown, unknown))}.")
        super().__init__(**traits)

    def __repr__(self) -> str:
        return f"<factlens.{type(self).__name__}>"


def whole(*roots: w.Widget) -> list[w.Widget]:
    """Return widgets with all that they are made of: children, layouts, styles, marks, axes, scales.

    A widget that is closed closes none of these, and ipywidgets keeps forever what is not closed.
    """
    widgets: dict[int, w.Widget] = {}

    def look(value: Any) -> None:
        if isinstance(value, w.Widget):
            if id(value) not in widgets:
                widgets[id(value)] = value
                for name in value.keys:
                    look(getattr(value, name))
        elif isinstance(value, list | tuple):
            for item in value:
                look(item)
        elif isinstance(value, dict):
            look(list(value.values()))

    look(roots)
    return list(widgets.values())
