"""Records about facts of a chat: everything that is asked is asked in that chat."""

from __future__ import annotations

from dataclasses import replace

from factlens.evaluation.checks import Checks
from factlens.evaluation.records import Record
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.chats import as_one_text


def as_read(model: Model, record: Record) -> Record:
    """Return a record with its prompts as the model reads them.

    Each prompt of the checks of a fact of a chat becomes what its turn says, with the same turns around it; the
    beginnings of texts become what is asked for. Checks that were made of the whole text are left as they are, and
    so is every record about anything but a chat.

    Raises
    ------
    FactError
        As `factlens.models.chats.as_one_text`.
    """
    if record.fact.conversation is None:
        return record
    read = as_one_text(model.tokenizer, record.fact)
    checks = record.checks
    if not any(probe.role == "rewrite" and probe.prompt == read.prompt for probe in checks.probes):
        checks = Checks(
            tuple(replace(probe, prompt=asked(model, read, probe.prompt)) for probe in checks.probes),
            tuple(asked(model, read, prompt) for prompt in checks.generation_prompts),
            checks.references,
        )
    return Record(read, checks, record.name)


def asked(model: Model, fact: Fact, prompt: str) -> str:
    """Return a prompt as it is asked beside a fact: as the turn of the same chat, where the fact is a chat's.

    Raises
    ------
    FactError
        As `factlens.models.chats.as_one_text`.
    """
    if fact.conversation is None:
        return prompt
    turns = replace(fact.conversation, spans=())
    return as_one_text(model.tokenizer, Fact(prompt, span=(0, len(prompt)), conversation=turns)).prompt
