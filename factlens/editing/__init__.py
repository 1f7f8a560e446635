"""Editing: from facts with targets to a record of how the weights have to change."""

from factlens.editing.api import edit
from factlens.editing.hparams import METHODS, Defaults, defaults
from factlens.editing.record import Edit
from factlens.editing.taking import Took

__all__ = ["METHODS", "Defaults", "Edit", "Took", "defaults", "edit"]
