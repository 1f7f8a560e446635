"""The editing methods: one file each, with its settings, published ones among them, its solver and its source.

A new method is a file beside these and a line in the table. A method of a user's own is registered by its script,
``METHODS.register("mine", Method(...))``, and is then accepted like the names of these.
"""

from __future__ import annotations

from typing import Any

from factlens.editing.methods.base import Knob, Method, Problem, Solution
from factlens.registry import Registry

__all__ = ["DEFAULT_METHOD", "METHODS", "Knob", "Method", "Problem", "Solution"]

DEFAULT_METHOD = "rome"
METHODS: Registry[Method[Any]] = Registry(
    "editing method",
    {
        "rome": "factlens.editing.methods.rome:ROME",
        "memit": "factlens.editing.methods.memit:MEMIT",
        "emmet": "factlens.editing.methods.emmet:EMMET",
        "alphaedit": "factlens.editing.methods.alphaedit:ALPHAEDIT",
        "ft": "factlens.editing.methods.finetune:FT",
        "ft_l": "factlens.editing.methods.finetune:FT_L",
        "lora": "factlens.editing.methods.lora:LORA",
    },
    Method,
)
"""What `factlens.edit` takes as a method."""
