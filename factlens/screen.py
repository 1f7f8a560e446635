"""The bar that `factlens.bar` shows: tqdm's, in a notebook or in a terminal, and none where there is neither."""

from __future__ import annotations

import sys
from typing import Any

from factlens.timing import duration


class ProgressBar:
    """A bar of tqdm's, and at its end nothing in a terminal, one quiet line in a notebook.

    Parameters
    ----------
    kind
        The class of tqdm's that suits the place.
    what
        What is being done: ``"Editing"``.
    in_notebook
        Whether the place is a notebook.
    """

    def __init__(self, kind: Any, what: str, *, in_notebook: bool) -> None:
        form = "{desc}: {percentage:3.0f} %|{bar}|{postfix}"
        options: dict[str, Any] = {"desc": what, "total": 1.0, "bar_format": form, "leave": False, "file": sys.stderr}
        self._what, self._handle = what, None
        if in_notebook:
            from IPython.display import display

            # Shown under an id: a notebook that is saved has the line of the end in it, and no widget that is gone.
            self._bar = kind(**options, display=False)
            self._handle = display(self._bar.container, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._bar = kind(**options, dynamic_ncols=True)

    def draw(self, share: float, words: str) -> None:
        """Show how far it is."""
        self._bar.n = min(1.0, share)
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Take it away."""
        elapsed = self._bar.format_dict["elapsed"]
        self._bar.close()
        if self._handle is not None:
            self._handle.update({"text/plain": f"{self._what} took {duration(elapsed)}."}, raw=True)


def open_bar(what: str) -> ProgressBar | None:
    """Show a bar; None where the output is neither a notebook nor a terminal."""
    from tqdm.auto import tqdm

    in_notebook = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
    if not in_notebook and not sys.stderr.isatty():
        return None
    return ProgressBar(tqdm, what, in_notebook=in_notebook)
