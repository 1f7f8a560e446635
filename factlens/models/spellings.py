"""Whether a model would rather spell an answer otherwise: with the space that it lacks, or without the one it has."""

from __future__ import annotations

from contextlib import suppress

from torch import Tensor

from factlens.errors import FactError, TextWarning
from factlens.models.model import Answer, Model
from factlens.spelling import Exactly, Wording, continuation, other_spelling, spelled
from factlens.warned import warn

_TIMES, _LEAST = 10, 0.01
"""How much more probable the other spelling's first token is, and how probable at least, for it to be said."""


def wording_of(model: Model, prompt: str, answer: Answer) -> Wording:
    """Return how one writes the model's own answer to a prompt: such that it is that token again, where it can be.

    Some tokenizers leave out the space in front of a token that they show by itself.
    """
    text = answer.shown
    if not text:  # a token without a text of its own
        return Exactly(str(model.tokenizer.convert_ids_to_tokens(answer.id)))
    plain = (text.strip(), text) if text.strip() else ()
    ways: list[Wording] = [*plain, Exactly(text), Exactly(f" {text}")]
    for wording in ways:
        with suppress(FactError):  # cannot be spelled so
            if model.encode_option(prompt, wording)[1][0] == answer.id:
                return wording
    return spelled(prompt, text)


def warn_of_spelling(model: Model, prompt: str, answer: Wording | None, logits: Tensor) -> None:
    """Warn if the model would rather begin an answer in its other spelling; see `better_spelling`."""
    if answer is None or (better := better_spelling(model, prompt, answer, logits)) is None:
        return
    other, its, own = better
    warn(
        TextWarning(
            f"The model would rather continue {prompt!r} with {continuation(prompt, other)!r} (first token {its:.2g}) "
            f"than with {continuation(prompt, answer)!r} ({own:.2g}). If that is meant, write {other!r}."
        )
    )


def better_spelling(model: Model, prompt: str, answer: Wording, logits: Tensor) -> tuple[Wording, float, float] | None:
    """Return the other spelling of an answer if the model finds it much more probable; None otherwise.

    Compared are the first tokens of both; where that of the other one is nothing but white space, it says nothing of
    the answer, and nothing is compared.

    Parameters
    ----------
    model, prompt, answer
        The model, the prompt, and the answer as it was asked for.
    logits
        What the model says after the prompt, ``(vocabulary,)``.

    Returns
    -------
    tuple
        The other spelling, and the probabilities of its first token and of the answer's own.
    """
    other = other_spelling(prompt, answer)
    if other is None:
        return None
    try:
        first = model.encode_option(prompt, Exactly(other))[1][0]
        own = model.encode_option(prompt, answer)[1][0]
    except FactError:  # cannot be spelled so
        return None
    if first == own or not model.token(first).strip():
        return None
    its, mine = (float(p) for p in logits.float().softmax(-1)[[first, own]])
    return (spelled(prompt, other), its, mine) if its >= _LEAST and its >= _TIMES * mine else None
