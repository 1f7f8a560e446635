"""Whether a text fits into a model: every token into its embedding, all of them into its positions.

Checked each time that text becomes tokens, since what answers otherwise is an index error from inside the model, or,
on an accelerator, an assertion that ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from torch import nn

from factlens.errors import PromptTooLong, WrongModel
from factlens.notices import Notice


def check_ids(ids: Iterable[int], embedding: nn.Module, tokenizer: Any, name: str) -> None:
    """Raise an error if a token has no row in the embedding.

    Parameters
    ----------
    ids
        Token ids.
    embedding
        The token embedding.
    tokenizer
        Where the ids are from.
    name
        The model's name.

    Raises
    ------
    WrongModel
        If one of them has none; the message has both sizes.
    """
    rows = _rows_of(embedding)
    if rows is None:
        return
    highest = max(ids, default=-1)
    if highest >= rows:
        raise WrongModel(
            f"The tokenizer gives the token {highest} ({str(tokenizer.convert_ids_to_tokens(highest))!r:.40}), but the "
            f"embedding of {name} has {rows} rows, and the tokenizer {len(tokenizer)} tokens. Either it is another "
            "model's tokenizer, or tokens were added to it: then call model.resize_token_embeddings(len(tokenizer)) on "
            "the Hugging Face model, and wrap it again."
        )


def check_vocabulary(tokenizer: Any, embedding: nn.Module, name: str) -> None:
    """Raise an error if a tokenizer is another model's: it has more tokens of its own than the embedding has rows.

    Tokens that were added to it are another matter, as published models have some without a row: no text of theirs
    can be read, all other text can (`check_ids`).

    Raises
    ------
    WrongModel
        The message has both sizes.
    """
    rows, own = _rows_of(embedding), getattr(tokenizer, "vocab_size", None)
    if rows is not None and isinstance(own, int) and own > rows:
        raise WrongModel(
            f"The tokenizer does not fit {name}: it has {own} tokens of its own, and the embedding {rows} rows, so "
            "that it is another model's. Take the tokenizer that was published with the model."
        )


def _rows_of(embedding: nn.Module) -> int | None:
    weight = getattr(embedding, "weight", None)
    # The weights of a quantised embedding are packed and have other shapes.
    return getattr(embedding, "num_embeddings", None) or (None if weight is None else len(weight))


def check_length(
    name: str,
    limit: int | None,
    tokens: int,
    *,
    what: str = "The prompt",
    advice: str = "Shorten the prompt.",
    role: str = "answer",
    read: int = 0,
    of: int = 0,
    alone: Callable[[], int] | None = None,
) -> None:
    """Raise an error if a text is longer than what the model reads, and say whose the tokens are.

    Parameters
    ----------
    name, limit
        Of the model; None where it does not say how much it reads.
    tokens
        All tokens that it would have to read.
    what, advice
        What the text is, and what can be done about its length.
    role, read, of
        What factlens puts behind the prompt, how many tokens of it the model reads, and how many it has.
    alone
        Called where something stands in front of the prompt: returns the number of the prompt's own tokens.

    Raises
    ------
    PromptTooLong
        If it is too long.
    """
    if limit is None or tokens <= limit:
        return
    own = tokens - read if alone is None else alone()
    in_front = tokens - read - own
    if own > limit:
        in_front = read = 0
    added = []
    notice = Notice("prompt", f"The prompt has {_counted(own)}, but {name} reads at most {limit}: shorten it.")
    if in_front > 0:
        added.append(f"{_counted(in_front)} in front of it, a context that the edit reads the prompt in")
        advice += " Or edit without such contexts: contexts=(), openings=()."
    if read:
        added.append(f"{read} of the {_counted(of)} of the {role} behind it, to read each of them after the others")
        advice = advice.replace("Shorten the prompt", f"Shorten the prompt or the {role}")
    if not added:
        error = PromptTooLong(f"{what} has {_counted(own)}, but {name} reads at most {limit}. {advice}")
        raise error.at(notice) if what == "The prompt" else error
    raise PromptTooLong(
        f"{what} has {_counted(own)}, and factlens adds {' and '.join(added)}. Together these are {tokens}, but {name} "
        f"reads at most {limit}. {advice}"
    )


def check_written(name: str, limit: int | None, begun: Collection[int], new: int, what: str) -> None:
    """Raise an error if a model cannot write so much.

    Parameters
    ----------
    name, limit
        As for `check_length`.
    begun, new
        The tokens that it goes on from, and how many it is to write; the last one is not read any more.
    what
        What the text is for.

    Raises
    ------
    PromptTooLong
        If it is too much.
    """
    if limit is not None and len(begun) + new - 1 > limit:
        raise PromptTooLong(
            f"{what}: {_counted(new)} written after {_counted(len(begun))}, but {name} reads at most {limit} together. "
            "Ask for fewer."
        )


def _counted(count: int) -> str:
    return f"{count} token{'' if count == 1 else 's'}"
