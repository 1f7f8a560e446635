"""The contexts in which a method looks at a prompt: bare, and behind seeded prefixes written by the model."""

from __future__ import annotations

from collections.abc import Sequence
from string import punctuation

from factlens.arguments import refuse
from factlens.editing.hparams import Hparams, ValueHparams
from factlens.editing.prompts import BARE, Context
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.belonging import Weights
from factlens.models.fitting import check_written
from factlens.models.record import record_of
from factlens.models.sampling import sample_texts

OPENING_TOKENS = 10
ANSWER_TOKENS = 4


def contexts_for(model: Model, hparams: ValueHparams) -> tuple[Context, ...]:
    """Return what to put in front of a prompt: first nothing, then samples of the model's own writing.

    The published code samples its prefixes once per process without a seed, so that two runs differ; here the
    same model and seed give the same prefixes. They are sampled once, and again only when the weights have changed.
    Each ends in ``". "``, as there.

    Shares in the mean key are as published, too: ROME counts every context alike. MEMIT first averages the prefixes,
    and then those with the bare prompt, which gets half of the weight.
    """
    lengths, openings, seed = hparams.contexts, hparams.openings, hparams.seed
    # Another wrapper of the same model may have another tokenizer.
    what = "contexts", model.tokenizer, len(model.tokenizer), lengths, openings, seed
    free, opened = record_of(model.model).computed_once(
        Weights.of(model).key, what, lambda: (_sampled(model, lengths, seed), _opened(model, openings, seed))
    )
    prefixes = [*free, *opened]
    if not prefixes:
        return BARE
    bare = hparams.bare_share
    if bare is None:
        bare = 0.5 if opened else 1 / (1 + len(prefixes))
    return (Context("", bare), *(Context(text, (1 - bare) / len(prefixes)) for text in prefixes))


def check_prefixes(model: Model, hparams: Hparams) -> None:
    """Refuse contexts that are longer than what the model reads.

    Raises
    ------
    ArgumentError
        Naming the setting.
    """
    if not isinstance(hparams, ValueHparams) or model.max_tokens is None:
        return
    for i, (_, new_tokens) in enumerate(hparams.contexts):
        # Written from one first token on, and the last one is not read.
        if new_tokens > model.max_tokens:
            refuse(f"contexts[{i}][1]", new_tokens, f"at most {model.max_tokens}, which is what {model.name} reads")
    for i, opening in enumerate(hparams.openings):
        begun = model.ids_of(opening, what=f"openings[{i}]", advice="Take a shorter one.")
        what = f"openings[{i}] is too long"
        check_written(model.name, model.max_tokens, begun, OPENING_TOKENS, what)


def check_written_texts(model: Model, facts: Sequence[Fact], hparams: Hparams) -> None:
    """Refuse texts about a subject that would be longer than what the model reads.

    Raises
    ------
    PromptTooLong
        Naming the subject and the setting.
    """
    if isinstance(hparams, ValueHparams) and hparams.keep_samples:
        for fact in facts:
            what = f"What the model is to write about {fact.subject!r:.80} (keep_samples=, keep_tokens=) is too long"
            check_written(model.name, model.max_tokens, model.ids_of(fact.subject), hparams.keep_tokens, what)


def continuations(model: Model, fact: Fact, hparams: ValueHparams) -> tuple[str, ...]:
    """Return what the model writes about the subject: text to follow it, whose prediction an edit should leave alone.

    Text that mentions the old object (the fact's, or the beginning of what the model answers) or the new one would
    hold the model to what is being changed, and is left out.
    """
    if hparams.keep_samples == 0:
        return ()
    old = fact.object
    if old is None:
        # A prompt may leave room for fewer; only its first word is needed.
        room = ANSWER_TOKENS if model.max_tokens is None else 1 + model.max_tokens - len(model.ids_of(fact.prompt))
        (old,) = sample_texts(model, 1, min(ANSWER_TOKENS, room), 0, top_k=1, after=fact.prompt)
    banned = {_first_word(str(old)), _first_word(str(fact.target))} - {""}
    texts = sample_texts(model, hparams.keep_samples, hparams.keep_tokens, hparams.seed, top_k=40, after=fact.subject)
    return tuple(text for text in texts if text and not any(word in text.casefold() for word in banned))


def _first_word(text: str) -> str:
    words = text.split()
    return words[0].strip(punctuation).casefold() if words else ""


def _sampled(model: Model, lengths: tuple[tuple[int, int], ...], seed: int) -> list[str]:
    prefixes = []
    for i, (count, new_tokens) in enumerate(lengths):
        prefixes += sample_texts(model, count, new_tokens, seed + i, top_k=5)
    return [_as_prefix(text) for text in prefixes]


def _opened(model: Model, openings: tuple[str, ...], seed: int) -> list[str]:
    return [
        _as_prefix(opening + sample_texts(model, 1, OPENING_TOKENS, seed + i, top_k=5, after=opening)[0])
        for i, opening in enumerate(openings)
    ]


def _as_prefix(text: str) -> str:
    return text + ". "
