"""`load_records`: one door to every data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from factlens import hub
from factlens.arguments import a_path, items
from factlens.decoding import UTF8, an_encoding
from factlens.errors import FactError
from factlens.evaluation.datasets.atlas_facts import NAME, atlas_facts
from factlens.evaluation.datasets.counterfact import FIELDS as COUNTERFACT
from factlens.evaluation.datasets.counterfact import counterfact
from factlens.evaluation.datasets.easyedit import FIELDS as EASYEDIT
from factlens.evaluation.datasets.easyedit import easyedit
from factlens.evaluation.datasets.entries import read_entries
from factlens.evaluation.datasets.known import FIELDS as KNOWN_1000
from factlens.evaluation.datasets.known import known_facts
from factlens.evaluation.datasets.mquake import FIELDS as MQUAKE
from factlens.evaluation.datasets.mquake import mquake
from factlens.evaluation.datasets.own import FIELDS as OWN
from factlens.evaluation.datasets.own import own_records
from factlens.evaluation.datasets.ripple import FIELDS as RIPPLE
from factlens.evaluation.datasets.ripple import ripple_edits
from factlens.evaluation.datasets.zsre import FIELDS as ZSRE
from factlens.evaluation.datasets.zsre import zsre
from factlens.evaluation.records import Record
from factlens.facts import Fact

_PUBLISHED: dict[str, tuple[tuple[str, ...], Callable[..., list[Record]]]] = {
    "CounterFact": (COUNTERFACT, counterfact),
    "CounterFact (EasyEdit)": (EASYEDIT, easyedit),
    "zsRE": (ZSRE, zsre),
    "MQuAKE": (MQUAKE, mquake),
    "RippleEdits": (RIPPLE, ripple_edits),
}


def load_records(source: Any, *, encoding: str = UTF8) -> list[Record]:
    """Read a data set of edits.

    Parameters
    ----------
    source
        ``"atlas-facts"``; a file of CounterFact (as published, or as EasyEdit lays it out), zsRE, MQuAKE, RippleEdits
        or of your own, distinguished by the fields of its first record; ``"hf:name:config:split"``, a data set of the
        Hugging Face Hub with such fields, of which all but the name may be left out; a DataFrame, mappings, or records,
        which are returned as they are.
    encoding
        What a file is in, as Python names it: ``"cp1252"``. A byte order mark, also that of UTF-16, says so itself.

    Returns
    -------
    list of Record
        All of them; there is no half-read data set.

    Raises
    ------
    ArgumentError
        If `source` is nothing of this kind, or there is no such encoding of text.
    FactError
        If a record is not as it should be; the message names it.
    FileFormatError
        If the file is no JSON, JSONL, CSV or TSV, is not in this encoding (the message says in which it may be), is
        damaged, or is too large.
    OSError
        If there is no such file.
    FactlensError
        If a data set of the Hub cannot be reached.
    """
    encoding = an_encoding("encoding", encoding)
    if isinstance(source, str) and source == NAME:
        return atlas_facts()
    if isinstance(source, Record):
        return [source]
    content = _fetched(source)
    if isinstance(content, list) and content and all(isinstance(one, Record) for one in content):
        return content
    fields = read_entries(content, encoding=encoding)[0].content
    for names, read in (*_PUBLISHED.values(), (OWN, own_records)):
        if all(name in fields for name in names):
            return read(content, encoding=encoding)
    if all(name in fields for name in KNOWN_1000):
        raise FactError(f"{_named(source)} holds facts for tracing (known_1000), which have no new object to edit in.")
    raise FactError(
        f"{_named(source)} is none of CounterFact, zsRE, MQuAKE and RippleEdits{_nearly(fields)}, and a "
        "record of your own has at least the fields "
        f"{', '.join(OWN)}; its first record has {', '.join(map(str, fields)) or 'none'}."
    )


def load_facts(source: Any, *, encoding: str = UTF8) -> list[Fact]:
    """Read facts for tracing: those of a data set of edits, or known_1000.

    Parameters
    ----------
    source, encoding
        As for `load_records`; and facts, which are returned as they are. Errors are the same, too.
    """
    return [one.fact if isinstance(one, Record) else one for one in records_or_facts(source, encoding=encoding)]


def records_or_facts(source: Any, *, encoding: str = UTF8, name: str = "source") -> list[Record] | list[Fact]:
    """Read what `load_facts` reads, with the checks of its records where it has some.

    Parameters, errors: as `load_facts`, to which `source` is given as the argument `name`.
    """
    encoding = an_encoding("encoding", encoding)
    if isinstance(source, Fact):
        return [source]
    if isinstance(source, str) and source == NAME:
        return atlas_facts()
    content = _fetched(source, name)
    if isinstance(content, list) and content and all(isinstance(one, Fact) for one in content):
        return content
    if not (isinstance(content, list) and content and isinstance(content[0], Record)):
        fields = read_entries(content, encoding=encoding)[0].content
        if all(name in fields for name in KNOWN_1000):
            return known_facts(content, encoding=encoding)
    return load_records(content, encoding=encoding)


def _fetched(source: Any, name: str = "source") -> Any:
    """Return a file's path as it is, and everything else in memory, so that it can be looked at twice."""
    if isinstance(source, str) and source.startswith(hub.PREFIX):
        return _from_hub(source.removeprefix(hub.PREFIX))
    if isinstance(source, (str, Path)):
        if not a_path(name, source).exists():
            raise FileNotFoundError(
                f"There is no data set {str(source)!r}: give {NAME!r}, the path of a file, or {hub.PREFIX}name for the "
                "Hub's."
            )
        return source
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        return source
    expected = "the name of a data set, the path of a file, a table, or records in a list"
    return list(items(name, source, expected, example="'atlas-facts'"))


def _from_hub(spec: str) -> list[dict[str, Any]]:
    name, config, split = hub.parts_of(spec, "name:config:split")
    datasets = hub.library(spec)
    with hub.explained(name):
        return [dict(row) for row in datasets.load_dataset(name, config or None, split=split or "train")]


def _nearly(fields: Mapping[str, Any]) -> str:
    """Say which published layout a first record would have, but for a field or two."""
    for layout, (names, _) in _PUBLISHED.items():
        missing = [name for name in names if name not in fields]
        if 2 * len(missing) < len(names):
            return f" (for {layout} its first record has no field {missing[0]!r})"
    return ""


def _named(source: Any) -> str:
    return str(source) if isinstance(source, (str, Path)) else "The data set"
