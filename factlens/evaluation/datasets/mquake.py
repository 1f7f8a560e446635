"""MQuAKE (Zhong et al. 2023): edits with questions of several hops, whose answers follow from them."""

from __future__ import annotations

import warnings
from typing import Any

from factlens.decoding import UTF8
from factlens.evaluation.checks import Checks
from factlens.evaluation.datasets.counterfact import read_rewrite
from factlens.evaluation.datasets.entries import Entry, read_each
from factlens.evaluation.records import Record
from factlens.slots import escaped

FIELDS = ("requested_rewrite", "questions", "new_answer", "new_single_hops")


def mquake(source: Any, *, encoding: str = UTF8) -> list[Record]:
    """Read MQuAKE (``MQuAKE-CF.json``, ``MQuAKE-CF-3k.json``, ``MQuAKE-T.json``).

    A case with one rewrite becomes a record: the rewrite's own question is the paraphrase, and the questions of several
    hops follow from the edit: their answer should change from ``answer`` to ``new_answer``. A case with several
    rewrites becomes a record for each of them, without the questions: they follow from all of its edits together, and a
    record is one edit. A warning says for how many. Answers under other names (aliases) are not looked at.

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
    cases = read_each(source, _records, encoding=encoding, number="case_id")
    if several := sum(len(case) > 1 for case in cases):
        warnings.warn(
            f"{several} cases have several rewrites: their questions follow from all of these together, and are left "
            "out.",
            stacklevel=2,
        )
    return [record for case in cases for record in case]


def _records(entry: Entry, _place: int) -> list[Record]:
    case, rewrites = entry.get("case_id"), entry.entries("requested_rewrite")
    if not rewrites:
        entry.refuse("has no rewrite in 'requested_rewrite'")
    # Every field is looked at, also where the questions are not used.
    questions, answer, new_answer = entry.texts("questions"), entry.text("answer"), entry.text("new_answer")
    records = []
    for number, rewrite in enumerate(rewrites):
        fact, old = read_rewrite(rewrite)
        question = rewrite.optional_text("question")
        checks = Checks.of(
            fact,
            old,
            paraphrases=[] if question is None else [escaped(question)],
            portability=[(text, answer, new_answer) for text in questions] if len(rewrites) == 1 else [],
        )
        name = f"mquake {case}" + (f" ({number + 1} of {len(rewrites)})" if len(rewrites) > 1 else "")
        records.append(Record(fact, checks, name))
    return records
