"""zsRE as MEND, ROME and MEMIT use it: questions with a new answer, a rephrasing, and an unrelated question."""

from __future__ import annotations

from typing import Any

from factlens.evaluation.checks import Checks
from factlens.evaluation.datasets.counterfact import made_fact
from factlens.evaluation.datasets.entries import Entry, read_entries
from factlens.evaluation.records import Record

FIELDS = ("src", "alt", "answers", "rephrase", "loc")
_MARK = "nq question: "


def zsre(source: Any) -> list[Record]:
    """Read zsRE (``zsre_mend_eval.json``).

    The question is the prompt, its rephrasing the paraphrase, and the unrelated question of Natural Questions the
    neighbour, whose own answer shall stay. The published measure is token accuracy, which reports call *tokens*. A
    question without its mark gets it, and the words "nq question: " that the file puts before the unrelated one are
    taken off, as in the published loader.

    Parameters
    ----------
    source
        The file, or its records as mappings.

    Raises
    ------
    FactError
        If a record is not as it should be; the message names it.
    OSError
        If there is no such file.
    """
    return [_record(entry, number) for number, entry in enumerate(read_entries(source))]


def _record(entry: Entry, number: int) -> Record:
    question, subject = entry.text("src"), entry.text("subject")
    if subject not in question:
        entry.refuse(f"does not have its subject {subject!r} in its question {question!r}")
    answers = entry.texts("answers")
    if not answers:
        entry.refuse("has no answer in 'answers'")
    fact = made_fact(entry, question.replace(subject, "{}", 1), subject, entry.text("alt"), answers[0])
    unrelated = entry.text("loc").removeprefix(_MARK)
    checks = Checks.of(
        fact,
        answers[0],
        paraphrases=[entry.text("rephrase")],
        neighbours=[(unrelated if unrelated.endswith("?") else unrelated + "?", entry.text("loc_ans"))],
    )
    return Record(fact, checks, f"zsre {number}")
