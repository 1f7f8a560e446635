"""CounterFact as EasyEdit lays it out (Wang et al. 2023): one flat record a fact, its prompts spelt out."""

from __future__ import annotations

from typing import Any

from factlens.decoding import UTF8
from factlens.evaluation.checks import Checks
from factlens.evaluation.datasets.counterfact import made_fact
from factlens.evaluation.datasets.entries import Entry, read_each
from factlens.evaluation.records import Record
from factlens.slots import escaped

FIELDS = ("prompt", "subject", "target_new", "ground_truth")


def easyedit(source: Any, *, encoding: str = UTF8) -> list[Record]:
    """Read CounterFact in the layout of EasyEdit.

    A record has the ``prompt`` with its ``subject`` in it, the new object ``target_new`` and the old one
    ``ground_truth``. As far as they are there, ``rephrase_prompt`` becomes the paraphrase, and ``locality_prompt`` a
    neighbour, whose own answer ``locality_ground_truth`` (default: the fact's old object) is to stay.

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
    return read_each(source, _record, encoding=encoding)


def _record(entry: Entry, place: int) -> Record:
    case = entry.content.get("case_id", place)
    prompt, subject = entry.text("prompt"), entry.text("subject")
    if subject not in prompt:
        entry.refuse(f"does not have its subject {subject!r} in its prompt {prompt!r}")
    target, old = entry.wording("target_new"), entry.wording("ground_truth")
    if target == old:
        entry.refuse(f"wants the fact to become what it is, {target!r}")
    fact = made_fact(entry, prompt, subject, target, old)
    paraphrase, neighbour = entry.optional_text("rephrase_prompt"), entry.optional_text("locality_prompt")
    stays = entry.wording("locality_ground_truth") if entry.content.get("locality_ground_truth") else old
    checks = Checks.of(
        fact,
        old,
        # The texts of the file are whole: nothing in them is a slot.
        paraphrases=[] if paraphrase is None else [escaped(paraphrase)],
        neighbours=[] if neighbour is None else [(neighbour, stays)],
    )
    return Record(fact, checks, f"counterfact {case}")
