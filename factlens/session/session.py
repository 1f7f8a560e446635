"""`Session`: the whole state of one lens."""

from __future__ import annotations

from factlens.facts import Fact
from factlens.models import Model
from factlens.session.papers import Papers


class Session(Papers):
    """One user's work on one model: a fact, its trace, a selected cell, a new object, edits, and what they changed.

    Parameters
    ----------
    model
        The model.
    fact
        The fact to begin with.

    Its traits are those of `factlens.session.working.Working`, `factlens.session.following.Following`,
    `factlens.session.choosing.Choosing`, `factlens.session.locating.Locating`, `factlens.session.editing.Editing`,
    `factlens.session.calibrating.Calibrating` and `factlens.session.judging.Judging`.
    """

    def __init__(self, model: Model, fact: Fact | None = None) -> None:
        super().__init__(model, fact)
        # Held weakly there. In this order: what happens in between is told.
        model.listen(self._hear)
        self.catch_up()
