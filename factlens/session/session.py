"""`Session`: the whole state of one lens."""

from __future__ import annotations

from factlens.session.editing import Editing


class Session(Editing):
    """One user's work on one model: a fact, its trace, a selected cell, a new object, edits.

    Parameters
    ----------
    model
        The model.
    fact
        The fact to begin with.

    Its traits are those of `factlens.session.locating.Locating`, `factlens.session.editing.Editing` and
    `factlens.session.working.Working`.
    """
