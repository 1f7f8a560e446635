"""Text to tokens, and which tokens are the subject: always from character offsets.

Counting the tokens of prefix, subject and suffix separately goes wrong when the tokenizer adds a
beginning-of-sequence token or merges across a seam; decoding token by token goes wrong on characters
that take several tokens. The tokenizer's own offsets are right in all of these cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from factlens.errors import FactError, FactlensError

if TYPE_CHECKING:
    from factlens.facts import Fact


@dataclass(frozen=True)
class Encoding:
    """A prompt in tokens.

    Attributes
    ----------
    ids
        Token ids, special tokens of the tokenizer included.
    pieces
        The text of each token, for display: white space belongs to the token that follows it.
    subject_range
        First subject token, and the one after the last: ``[start, stop)``.
    ends_inside
        Whether the subject's last token goes on behind the subject.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    subject_range: tuple[int, int]
    ends_inside: bool = False

    @property
    def last_subject(self) -> int:
        """Position of the subject's last token, where ROME takes its key."""
        return self.subject_range[1] - 1


def encode(tokenizer: Any, fact: Fact) -> Encoding:
    """Tokenise a fact's prompt and find the tokens that overlap its subject.

    Parameters
    ----------
    tokenizer
        A fast Hugging Face tokenizer (it must give offsets).
    fact
        The prompt and its subject.

    Raises
    ------
    FactError
        If no token overlaps the subject.
    """
    text = fact.prompt
    ids, offsets = _tokenise(tokenizer, text)
    start, stop = fact.subject_span
    # `u < v`: special tokens have an empty span. Overlap, not containment: a token may begin with the space before.
    inside = [i for i, (u, v) in enumerate(offsets) if u < v and v > start and u < stop]
    if not inside:
        raise FactError(f"The tokenizer has no token for the subject {fact.subject!r} in {text!r}.")
    pieces = _pieces(tokenizer, text, ids, offsets)
    return Encoding(tuple(ids), pieces, (inside[0], inside[-1] + 1), ends_inside=offsets[inside[-1]][1] > stop)


def encode_option(tokenizer: Any, prompt: str, option: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokenise ``prompt + " " + option`` and split the ids where the option begins.

    The option gets one leading space unless it brings white space of its own, as in the published code.
    Whatever follows the prompt's last character belongs to the option, also where the tokenizer puts the
    space into a token of its own.

    Returns
    -------
    prompt_ids, option_ids
        ``prompt_ids + option_ids`` is the tokenisation of the whole text.

    Raises
    ------
    FactError
        If the option is empty, the tokenizer has no token for it, or merges it with the end of the prompt.
    """
    if not option.strip():
        raise FactError("The object is empty.")
    given, option = option, option if option[0].isspace() else " " + option
    ids, offsets = _tokenise(tokenizer, prompt + option)
    seam = len(prompt)
    first = next((i for i, (u, v) in enumerate(offsets) if u < v and v > seam), len(ids))
    if not any((prompt + option)[u:v].strip() for u, v in offsets[first:]):
        raise FactError(f"The tokenizer has no token for the object {given!r}. Write it in other characters.")
    if offsets[first][0] < seam:
        raise FactError(
            f"The tokenizer merges the end of the prompt {prompt!r} with {option!r}; end the prompt earlier."
        )
    return tuple(ids[:first]), tuple(ids[first:])


def _tokenise(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    if not getattr(tokenizer, "is_fast", False):
        raise FactlensError(
            f"{type(tokenizer).__name__} gives no character offsets. "
            "Load the fast tokenizer: AutoTokenizer.from_pretrained(name, use_fast=True)."
        )
    encoded = tokenizer(text, return_offsets_mapping=True)
    return list(encoded["input_ids"]), [tuple(span) for span in encoded["offset_mapping"]]


def _pieces(tokenizer: Any, text: str, ids: list[int], offsets: list[tuple[int, int]]) -> tuple[str, ...]:
    pieces, end = [], 0
    for token, (u, v) in zip(ids, offsets, strict=True):
        if u == v:
            pieces.append(str(tokenizer.convert_ids_to_tokens(token)))
        else:
            # A character of several tokens is shown with each of them: they share its span.
            pieces.append(text[min(end, u) : v] if v > end else text[u:v])
            end = max(end, v)
    return tuple(pieces)
