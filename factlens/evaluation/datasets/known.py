"""known_1000 (Meng et al. 2022): facts that GPT-2 XL knows, for tracing."""

from __future__ import annotations

from typing import Any

from factlens.decoding import UTF8
from factlens.evaluation.datasets.counterfact import made_fact
from factlens.evaluation.datasets.entries import Entry, read_each
from factlens.facts import Fact

FIELDS = ("known_id", "attribute", "prompt")


def known_facts(source: Any, *, encoding: str = UTF8) -> list[Fact]:
    """Read known_1000: prompts with a subject and the attribute that is true of it.

    Parameters
    ----------
    source
        The file, or its records as mappings.
    encoding
        What a file is in, as for `load_records`.

    Raises
    ------
    FactError
        If a record is not as it should be; the message names it.
    ArgumentError, FileFormatError, OSError
        As `load_records`.
    """
    return read_each(source, _fact, encoding=encoding, number="known_id")


def _fact(entry: Entry, _place: int) -> Fact:
    subject, prompt = entry.text("subject"), entry.text("prompt")
    if subject not in prompt:
        entry.refuse(f"does not have its subject {subject!r} in its prompt {prompt!r}")
    return made_fact(entry, prompt, subject, None, entry.text("attribute"))
