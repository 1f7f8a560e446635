"""The user's own records: CSV, TSV, JSONL, JSON, a DataFrame, mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from factlens.decoding import UTF8
from factlens.evaluation.checks import Checks
from factlens.evaluation.datasets.counterfact import made_fact
from factlens.evaluation.datasets.entries import Entry, parsed, read_each, without_conflicts
from factlens.evaluation.records import Record

FIELDS = ("prompt", "subject", "target", "object")
_LISTS = ("paraphrases", "neighbours", "others", "portability", "generation_prompts", "references")
_MORE = ("name", "slot")
_SEPARATOR, _ARROW = "|", "->"


def own_records(source: Any, *, encoding: str = UTF8) -> list[Record]:
    """Read the user's own records.

    Every record has a ``prompt`` (with ``{}`` for the subject, or the subject spelt out), a ``subject``, the new
    object ``target`` and the old one ``object``. Objects get a space in front where the text calls for one;
    ``{"exactly": "Paris"}`` in the place of one, also as the text of a cell, is taken as it is. A record may have a
    ``name``, a ``slot`` (another marker of the subject's place than ``{}``) and, each a list: ``paraphrases``,
    ``neighbours``, ``others``, ``portability``, ``generation_prompts``, ``references``.

    In tables (CSV, TSV) a list is one cell with ``|`` between its parts. Where prompts have objects of their own,
    these stand behind an arrow: ``others`` "The Space Needle is a kind of -> tower", ``neighbours`` likewise, though
    there the fact's own object may be left out; ``portability`` names the object before the edit and the one that
    follows from it, "The Space Needle is in the country of -> America -> France". In JSON the parts are texts with
    such arrows, or lists: ``["The Space Needle is a kind of", "tower"]``.

    Parameters
    ----------
    source
        A ``.csv``, ``.tsv``, ``.jsonl`` or ``.json`` file (each also with ``.gz`` behind it), a DataFrame, or mappings.
    encoding
        What a file is in, as for `load_records`.

    Raises
    ------
    FactError
        If a record is not as it should be, two contradict each other, or a field is unknown; the message names the
        record.
    ArgumentError, FileFormatError, OSError
        As `load_records`.

    Examples
    --------
    >>> records = own_records([{"prompt": "{} is in downtown", "subject": "The Space Needle", "object": "Seattle",
    ...                         "target": "Paris", "neighbours": ["Pike Place is in downtown"]}])
    >>> records[0].checks.probes[1].old
    'Seattle'
    """
    return without_conflicts(read_each(source, _record, encoding=encoding))


def _record(entry: Entry, number: int) -> Record:
    unknown = [str(name) for name in entry.content if name not in (*FIELDS, *_LISTS, *_MORE)]
    if unknown:
        entry.refuse(f"has the unknown field {unknown[0]!r}; known are {', '.join((*FIELDS, *_MORE, *_LISTS))}")
    target, old = entry.wording("target"), entry.wording("object")
    if target == old:
        entry.refuse(f"wants the fact to become what it is, {target!r}")
    slot = entry.optional_text("slot")
    fact = made_fact(entry, entry.text("prompt"), entry.text("subject"), target, old, slot=slot)
    checks = Checks.of(
        fact,
        old,
        paraphrases=[text for (text,) in _parts(entry, "paraphrases", 1)],
        neighbours=[(text, objects[0] if objects else old) for text, *objects in _parts(entry, "neighbours", 1, 2)],
        others=[(text, answer) for text, answer in _parts(entry, "others", 2)],
        portability=[(text, before, after) for text, before, after in _parts(entry, "portability", 3)],
        generation_prompts=[text for (text,) in _parts(entry, "generation_prompts", 1)],
        references=[text for (text,) in _parts(entry, "references", 1)],
    )
    return Record(fact, checks, entry.optional_text("name") or f"record {number}")


def _parts(entry: Entry, name: str, *lengths: int) -> list[list[Any]]:
    """Return the parts of a list, each split into a prompt and its objects."""
    value = entry.content.get(name)
    if value is None or value == "":
        return []
    if isinstance(value, str):
        # In a cell, white space around the parts is there for people to read.
        value = (
            parsed(value, f"{entry.where}, in {name!r},")
            if value.lstrip().startswith("[")
            else [part.strip() for part in value.split(_SEPARATOR)]
        )
    if not isinstance(value, (list, tuple)):
        entry.refuse(f"has {type(value).__name__} in {name!r}, not a list")
    parts = []
    for part in value:
        whole = isinstance(part, str) and lengths == (1,)
        if whole:
            pieces = [part]
        else:
            pieces = [piece.strip() for piece in part.split(_ARROW)] if isinstance(part, str) else part
        if not isinstance(pieces, (list, tuple)) or not all(isinstance(piece, (str, Mapping)) for piece in pieces):
            entry.refuse(f"has {part!r} in {name!r}, which is neither a text nor a list of texts")
        if not all(isinstance(piece, Mapping) or piece.strip() for piece in pieces):
            entry.refuse(f"has an empty text in {name!r}: {part!r}")
        if len(pieces) not in lengths:
            expected = {1: "a prompt", 2: "a prompt and its object", 3: "a prompt and two objects"}[lengths[-1]]
            entry.refuse(f"has {part!r} in {name!r}, where {expected} is wanted, with {_ARROW!r} between them")
        if not isinstance(pieces[0], str):
            entry.refuse(f"has {part!r} in {name!r}, where a prompt is wanted first")
        parts.append([pieces[0], *(entry.as_wording(name, piece) for piece in pieces[1:])])
    return parts
