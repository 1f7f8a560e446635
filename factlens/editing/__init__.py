"""Editing: from facts with targets to a record of how the weights have to change."""

from factlens.editing.api import edit
from factlens.editing.hparams import Defaults, Hparams, ValueHparams
from factlens.editing.methods import METHODS, Knob, Method, Problem, Solution
from factlens.editing.record import Edit
from factlens.editing.settings import defaults
from factlens.editing.taking import Took

__all__ = [
    "METHODS",
    "Defaults",
    "Edit",
    "Hparams",
    "Knob",
    "Method",
    "Problem",
    "Solution",
    "Took",
    "ValueHparams",
    "defaults",
    "edit",
]
