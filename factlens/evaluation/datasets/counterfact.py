"""CounterFact (Meng et al. 2022), as it is distributed with ROME."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from factlens.decoding import UTF8
from factlens.errors import FactError
from factlens.evaluation.checks import Checks
from factlens.evaluation.datasets.entries import Entry, read_each, read_entries
from factlens.evaluation.records import Record
from factlens.facts import Fact
from factlens.slots import SLOT, escaped
from factlens.spelling import Wording

SNIPPETS = "attribute_snippets.json"
FIELDS = ("requested_rewrite", "paraphrase_prompts", "neighborhood_prompts")


def counterfact(source: Any, *, snippets: Any = None, encoding: str = UTF8) -> list[Record]:
    """Read CounterFact.

    Paraphrase prompts, neighbourhood prompts and generation prompts become the checks of a record. The attribute
    prompts (about subjects that have the new object already) belong to no published metric and are left out. Facts of
    different records may contradict each other, since each is meant to be edited alone.

    Parameters
    ----------
    source
        The file, or its records as mappings.
    snippets
        The published file of texts about subjects that have an object, for consistency. Default: the file
        ``attribute_snippets.json`` beside `source`, where there is one.
    encoding
        What a file is in, as for `load_records`.

    Raises
    ------
    FactError
        If a record is not as it should be; the message names it.
    ArgumentError, FileFormatError, OSError
        As `load_records`.
    """
    if snippets is None and isinstance(source, (str, Path)) and (beside := Path(source).with_name(SNIPPETS)).exists():
        snippets = beside
    texts = {} if snippets is None else _snippets(snippets, encoding)
    return read_each(source, lambda entry, _: _record(entry, texts), encoding=encoding, number="case_id")


def read_rewrite(rewrite: Entry) -> tuple[Fact, str]:
    """Return the fact of a rewrite as CounterFact and its kin write it, and the object that is true."""
    prompt, subject = rewrite.text("prompt"), rewrite.text("subject")
    if SLOT not in prompt:
        rewrite.refuse(f"has no '{{}}' for the subject in its prompt {prompt!r}")
    target, old = rewrite.inner("target_new").text("str"), rewrite.inner("target_true").text("str")
    if target == old:
        rewrite.refuse(f"wants the fact to become what it is, {target!r}")
    return made_fact(rewrite, prompt, subject, target, old, slot=SLOT), old


def _record(entry: Entry, texts: dict[tuple[str, str], list[str]]) -> Record:
    case, rewrite = entry.get("case_id"), entry.inner("requested_rewrite")
    fact, old = read_rewrite(rewrite)
    key = (rewrite.optional_text("relation_id") or "", rewrite.inner("target_new").optional_text("id") or "")
    checks = Checks.of(
        fact,
        old,
        # The texts of the file are whole: nothing in them is a slot.
        paraphrases=map(escaped, entry.texts("paraphrase_prompts")),
        neighbours=[(text, old) for text in entry.texts("neighborhood_prompts")],
        generation_prompts=map(escaped, entry.texts("generation_prompts", optional=True)),
        references=texts.get(key, ()),
    )
    return Record(fact, checks, f"counterfact {case}")


def _snippets(source: Any, encoding: str) -> dict[tuple[str, str], list[str]]:
    texts: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in read_entries(source, "snippets", encoding=encoding):
        samples = entry.get("samples")
        if not isinstance(samples, Iterable) or isinstance(samples, (str, dict)):
            entry.refuse("has no list in 'samples'")
        key = entry.text("relation_id"), entry.text("target_id")
        texts[key] += [Entry(sample, f"{entry.where}, in 'samples',").text("text") for sample in samples]
    return dict(texts)


def made_fact(entry: Entry, prompt: str, subject: str, target: Wording | None, old: Wording, **place: Any) -> Fact:
    """Return the fact, its subject in a `place` (slot, span); errors name the record."""
    try:
        return Fact(prompt, subject=subject, target=target, object=old, **place)
    except FactError as error:
        raise FactError(f"{entry.where.removesuffix(',')}: {error}") from error
