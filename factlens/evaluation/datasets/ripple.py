"""RippleEdits (Cohen et al. 2024): edits with tests of what follows from them, and of what should stay."""

from __future__ import annotations

from typing import Any

from factlens.decoding import UTF8
from factlens.evaluation.checks import Checks
from factlens.evaluation.datasets.counterfact import made_fact
from factlens.evaluation.datasets.entries import Entry, read_each
from factlens.evaluation.records import Record

FIELDS = ("example_type", "edit")
ENTAILED = ("Logical_Generalization", "Compositionality_I", "Compositionality_II", "Subject_Aliasing")
"""Tests of what should change with the edit."""
INDEPENDENT = ("Relation_Specificity", "Relation_Specifity", "Forgetfulness", "Preservation")
"""Tests of what should stay: other relations of the subject (spelt both ways in print), and other objects of a relation
that has several, which the paper calls preservation and the files forgetfulness."""


def ripple_edits(source: Any, *, encoding: str = UTF8) -> list[Record]:
    """Read RippleEdits (``popular.json``, ``random.json``).

    The files give an edit as a sentence before and after. What both begin with is the prompt, the rest the object. The
    subject's name is the longest ending of the prompt (but for its verb) that stands in every test of other relations;
    a field ``"subject"`` of the edit, where there is one, says it better. A test counts by the first of its answers
    with a text, without the published conditions that the model had to know something before; tests without an answer
    are left out. What follows is compared with the edit's old object, since the files do not say what was true before.

    Parameters
    ----------
    source
        The file, or its records as mappings.
    encoding
        What a file is in, as for `load_records`.

    Raises
    ------
    FactError
        If a record is not as it should be, or one has no fact before the edit (``recent.json``); the message names it.
    ArgumentError, FileFormatError, OSError
        As `load_records`.
    """
    return read_each(source, _record, encoding=encoding)


def _record(entry: Entry, number: int) -> Record:
    edit = entry.inner("edit")
    if edit.content.get("original_fact") is None:
        edit.refuse("has no 'original_fact', from which the old object and the new one are told")
    after, before = _sentence(edit), _sentence(edit.inner("original_fact"))
    shared = [a for a, b in zip(after, before, strict=False) if a == b]
    count = next((i for i, (a, b) in enumerate(zip(after, before, strict=False)) if a != b), len(shared))
    prompt, target, old = (" ".join(words) for words in (after[:count], after[count:], before[count:]))
    if not (prompt and target and old):
        edit.refuse(f"has {edit.text('prompt')!r} in 'prompt', from which no prompt and new object can be told")
    stay = [test for name in INDEPENDENT for test in _tests(entry, name)]
    subject = edit.optional_text("subject") or _subject(prompt, [text for text, _ in stay])
    if subject is None or subject not in prompt:
        edit.refuse(f"has no name of its subject in {prompt!r} that its tests share: write it in a field 'subject'")
    start = prompt.rindex(subject)
    fact = made_fact(edit, prompt, subject, target, old, span=(start, start + len(subject)))
    checks = Checks.of(
        fact,
        old,
        others=stay,
        portability=[
            (text, target if answer == old else old, answer)
            for name in ENTAILED
            for text, answer in _tests(entry, name)
        ],
    )
    return Record(fact, checks, f"ripple {number}")


def _sentence(edit: Entry) -> list[str]:
    return edit.text("prompt").strip().removesuffix(".").split()


def _tests(entry: Entry, name: str) -> list[tuple[str, str]]:
    """Return prompts and answers of one kind of tests."""
    tests = []
    for test in entry.entries(name, optional=True):
        for query in test.entries("test_queries"):
            answers = [answer.optional_text("value") for answer in query.entries("answers")]
            if answer := next((text.strip() for text in answers if text is not None), None):
                tests.append((query.text("prompt").rstrip(), answer))
    return tests


def _subject(prompt: str, tests: list[str]) -> str | None:
    """Return the longest ending of a prompt without its last word that stands in all tests and is no "of ..."."""
    words = prompt.split()[:-1]
    for start in range(len(words)):
        name = " ".join(words[start:])
        if tests and all(name in text for text in tests) and words[start] not in ("of", "the", "in", "by", "for"):
            return name
    return None
