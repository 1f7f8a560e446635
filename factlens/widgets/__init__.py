"""Widgets: what a lens looks like. They draw a session's state and hand it gestures; they compute nothing."""

from factlens.widgets.heatmap import Heatmap, compare
from factlens.widgets.lens import Lens

__all__ = ["Heatmap", "Lens", "compare"]
