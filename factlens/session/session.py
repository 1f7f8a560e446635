"""`Session`: the whole state of one lens."""

from __future__ import annotations

from factlens.session.judging import Judging


class Session(Judging):
    """One user's work on one model: a fact, its trace, a selected cell, a new object, edits, and what they changed.

    Parameters
    ----------
    model
        The model.
    fact
        The fact to begin with.

    Its traits are those of `factlens.session.locating.Locating`, `factlens.session.editing.Editing`,
    `factlens.session.judging.Judging` and `factlens.session.working.Working`.
    """
