"""zsRE as MEND, ROME and MEMIT use it: questions with a new answer, a rephrasing, and an unrelated question."""

from __future__ import annotations

from typing import Any

from factlens.decoding import UTF8
from factlens.evaluation.checks import Checks
from factlens.evaluation.datasets.counterfact import made_fact
from factlens.evaluation.datasets.entries import Entry, read_each
from factlens.evaluation.records import Record
from factlens.slots import escaped
from factlens.spelling import Wording

FIELDS = ("src", "alt", "answers", "rephrase", "loc")
_MARK = "nq question: "


def zsre(source: Any, *, encoding: str = UTF8) -> list[Record]:
    """Read zsRE (``zsre_mend_eval.json``).

    The question is the prompt, its rephrasing the paraphrase, and the unrelated question of Natural Questions the
    neighbour, whose own answer is to stay. The published measure is token accuracy, which reports call *tokens*. A
    question without its mark gets it, and the words "nq question: " that the file puts before the unrelated one are
    taken off, as in the published loader. A question that follows from the new fact (``portability``, as Yao et al.
    2023 have added it: "New Question", "New Answer") should change with the edit; the file does not say what its answer
    was before, so that the new answer is compared with the edit's old one.

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


def _record(entry: Entry, number: int) -> Record:
    question, subject = entry.text("src"), entry.text("subject")
    if subject not in question:
        entry.refuse(f"does not have its subject {subject!r} in its question {question!r}")
    answers = entry.texts("answers")
    if not answers:
        entry.refuse("has no answer in 'answers'")
    start = question.index(subject)
    span = (start, start + len(subject))
    fact = made_fact(entry, question, subject, entry.text("alt"), answers[0], span=span)
    unrelated = entry.text("loc").removeprefix(_MARK)
    checks = Checks.of(
        fact,
        answers[0],
        paraphrases=[escaped(entry.text("rephrase"))],
        neighbours=[(unrelated if unrelated.endswith("?") else unrelated + "?", entry.text("loc_ans"))],
        portability=_follows(entry, answers[0], entry.text("alt")),
    )
    return Record(fact, checks, f"zsre {number}")


def _follows(entry: Entry, old: str, new: str) -> list[tuple[str, Wording, Wording]]:
    """Return the question that follows from the new fact, with an object to compare its answer with."""
    if entry.content.get("portability") is None:
        return []
    follows = entry.inner("portability")
    question, answer = follows.text("New Question"), follows.text("New Answer").rstrip()
    return [(question, new if answer == old else old, answer)]
