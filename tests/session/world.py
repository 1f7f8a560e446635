"""Two sessions, a cell and a second wrapper on one model, and what all of them must show."""

from __future__ import annotations

from functools import cache

import factlens as fl
from factlens.models.belonging import ids_of
from factlens.session import Session
from tests.editing.made import FACT
from tests.support import small_model

TARGETS = ("Rome", "Oslo", "Cairo", "Lima")


@cache
def _made() -> tuple[fl.Edit, ...]:
    """Edits of the one model that every world has anew, made once: nothing changes an edit."""
    model = small_model("gpt2")
    options = {"method": "ft", "layers": 1, "steps": 3, "learning_rate": 0.02, "apply": False}
    return tuple(fl.edit(model, FACT.with_target(target), **options) for target in TARGETS)


class World:
    """One Hugging Face model, two wrappers of it, and a session on each."""

    def __init__(self) -> None:
        self.model = small_model("gpt2")
        self.again = fl.wrap(self.model.model, self.model.tokenizer)
        self.first, self.second = Session(self.model, FACT), Session(self.again, FACT)
        self.sessions = (self.first, self.second)
        self.made = list(_made())

    def settle(self) -> None:
        for session in self.sessions:
            assert session.wait(30)

    def as_it_is(self) -> None:
        """Every session shows what there is."""
        self.settle()
        model = self.model
        with model.unedited():
            before = model.next_token(FACT.prompt)
        after = model.next_token(FACT.prompt)
        for session in self.sessions:
            assert ids_of(session.edits) == model.edit_ids
            assert ids_of(session.undone) == ids_of(model.undone)
            assert session.origins == tuple(map(model.origin_of, model.edits))
            assert session.base == model.known_fingerprint
            if session.trace is not None:
                traced = (session.trace.fingerprint, session.trace.edit_ids)
                assert session.outdated == (traced != (model.fingerprint, model.edit_ids))
            if session.comparison:
                assert not session.answers_due
                for old, new, text in ((old, new, text) for text, old, new in session.comparison):
                    (i,) = [i for i in range(len(after)) if model.token(i) == text and float(after[i]) == new]
                    assert float(before[i]) == old
