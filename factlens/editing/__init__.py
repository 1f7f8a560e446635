"""Editing: records that change what a model knows, and can be undone to the last bit."""

from factlens.editing.api import edit
from factlens.editing.hparams import RomeHparams, rome_defaults
from factlens.editing.record import Edit

__all__ = ["Edit", "RomeHparams", "edit", "rome_defaults"]
