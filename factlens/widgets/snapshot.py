"""The picture that stays in a saved notebook when the lens is gone."""

from __future__ import annotations

from typing import Any

from factlens.escaping import html
from factlens.models.belonging import ids_of, named
from factlens.models.weights import WeightEdit
from factlens.tracing import Trace
from factlens.tracing.picture import trace_image


class Snapshot:
    """An output of its own beside the lens: an image and a sentence, brought up to date as the lens goes on.

    The state of widgets is not saved with a notebook, or not trusted, or cannot be drawn without the network; an
    image in HTML survives all of that. The living lens hides it (`gestures.ts`). Without a notebook nothing happens.

    Parameters
    ----------
    uid
        The lens's id, by which the page finds what to hide.
    """

    def __init__(self, uid: str) -> None:
        self._uid = uid
        self._drawn: tuple[Any, ...] = ()
        self._shown = False

    def show(self, trace: Trace | None, edits: tuple[WeightEdit, ...]) -> None:
        """Add the output to the cell that is running."""
        self._shown = _publish(self._uid, _html(self._uid, trace, edits), update=False)
        self._drawn = _state(trace, edits)

    def update(self, trace: Trace | None, edits: tuple[WeightEdit, ...]) -> None:
        """Draw it again in its place; nothing is done if it was not shown, or shows this already."""
        state = _state(trace, edits)
        if not self._shown or state == self._drawn:
            return
        self._drawn = state
        _publish(self._uid, _html(self._uid, trace, edits), update=True)


def _state(trace: Trace | None, edits: tuple[WeightEdit, ...]) -> tuple[Any, ...]:
    """Return what tells one picture from another: a resumed trace is the same object with more cells."""
    return id(trace), trace is not None and int(trace.samples.notnull().sum()), ids_of(edits)


def _html(uid: str, trace: Trace | None, edits: tuple[WeightEdit, ...]) -> str:
    picture = "A factlens lens without a trace." if trace is None else trace_image(trace)
    carried = f" The model's weights carry: {html(named(tuple(map(str, edits)), ids_of(edits)))}." if edits else ""
    hint = "This is a picture of a factlens lens as it was last. To use the lens, run its cell again."
    return f'<div class="factlens-picture-{uid}">{picture}<p>{hint}{carried}</p></div>'


def _publish(uid: str, output: str, *, update: bool) -> bool:
    """Send an output to the notebook; return whether there is one."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        return False
    shell.display_pub.publish(
        {"text/html": output, "text/plain": "A picture of a factlens lens."},
        metadata={},
        transient={"display_id": f"factlens-{uid}"},
        update=update,
    )
    return True
