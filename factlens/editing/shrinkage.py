"""The ridge on C where none was asked for: more of it where C is of few tokens."""

from __future__ import annotations

from factlens.editing.namesakes import Guarded, Memory
from factlens.moments.second import Shrinkage

ENOUGH = 8
"""Tokens per dimension of the keys from which on C needs no more ridge than with any number of tokens."""
WITH_FEW = 1e-2
"""The ridge for less: without any, C of few tokens takes what it has not seen for what never occurs."""


def shrinkage_for(memory: Memory, asked: Shrinkage | None, enough: float) -> Shrinkage:
    """Return the shrinkage of C: the one that is given, or `enough` where C is of enough tokens, or `WITH_FEW`."""
    if asked is not None:
        return asked
    moment = memory.moment if isinstance(memory, Guarded) else memory
    few = not moment.is_identity and moment.count < ENOUGH * len(moment.total)
    return max(enough, WITH_FEW) if few else enough
