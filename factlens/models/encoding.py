"""Text to tokens, and which tokens are the subject: always from character offsets.

Counting the tokens of prefix, subject and suffix separately goes wrong when the tokenizer adds a
beginning-of-sequence token or merges across a seam; decoding token by token goes wrong on characters
that take several tokens. The tokenizer's own offsets are right in all of these cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from factlens.errors import FactError, FactlensError
from factlens.models.pieces import prompt_pieces
from factlens.notices import Notice, Offer, cited
from factlens.spelling import Exactly, Wording, continuation, other_spelling, spelled

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
        The text of each token, for display: white space belongs to the token that follows it, and of a character in
        several tokens each shows its bytes; see `factlens.models.pieces.prompt_pieces`.
    subject_range
        First subject token, and the one after the last: ``[start, stop)``.
    ends_inside
        Whether the subject's last token goes on behind the subject.
    template_tokens
        Positions of the tokens that a chat template put around the turns; none where there is no chat.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    subject_range: tuple[int, int]
    ends_inside: bool = False
    template_tokens: tuple[int, ...] = ()

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
        raise FactError(f"The tokenizer has no token for the subject {fact.subject!r} in {text!r}.").at(
            Notice("subject", f"The model’s tokenizer reads nothing in {cited(fact.subject)}: write another subject.")
        )
    pieces = prompt_pieces(tokenizer, text, ids, offsets)
    template: list[int] = []
    if fact.conversation is not None and (spans := fact.conversation.spans):
        template = [i for i, (u, v) in enumerate(offsets) if u == v or not any(v > a and u < b for a, b in spans)]
    return Encoding(
        tuple(ids),
        pieces,
        (inside[0], inside[-1] + 1),
        ends_inside=offsets[inside[-1]][1] > stop,
        template_tokens=tuple(template),
    )


def encode_option(tokenizer: Any, prompt: str, option: Wording) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokenise a prompt and what follows it as one text, and split the ids where the prompt's own end.

    `factlens.spelling` has the rule by which the option gets a leading space, or none.

    Parameters
    ----------
    tokenizer
        A fast Hugging Face tokenizer.
    prompt
        The text in front, as it is written.
    option
        The answer, target, object or contrast.

    Returns
    -------
    prompt_ids, option_ids
        ``prompt_ids`` are the ids of the prompt alone, and ``prompt_ids + option_ids`` those of the whole text.

    Raises
    ------
    FactError
        If the option is empty, the tokenizer has no token for it or ends every text with a token of its own, or a
        token of the whole text holds the end of the prompt and the beginning of the option.
    """
    if not isinstance(option, Exactly) and not option.strip():
        raise FactError("The object is empty.").at(
            Notice("target", "Write what the model should say instead, for example “Paris”.")
        )
    following = continuation(prompt, option)
    alone, _ = _tokenise(tokenizer, prompt)
    if closing := closing_of(tokenizer, alone):
        raise FactError(
            f"The tokenizer puts {closing!r} behind every text, so that nothing can follow the prompt {prompt!r}. Load "
            "it without, for instance with AutoTokenizer.from_pretrained(name, add_eos_token=False)."
        )
    ids, offsets = _tokenise(tokenizer, prompt + following)
    if ids[: len(alone)] != alone:
        raise _merged(tokenizer, prompt, following, alone, ids, offsets)
    rest = offsets[len(alone) :]
    if not rest or (following.strip() and not any((prompt + following)[u:v].strip() for u, v in rest)):
        message = f"The tokenizer has no token for the object {str(option)!r}. Write it in other characters."
        raise FactError(message).at(Notice("target", message))
    return tuple(alone), tuple(ids[len(alone) :])


def begun_twice(tokenizer: Any, text: str) -> int:
    """Return how many characters at the beginning are a token that the tokenizer adds itself."""
    begin = getattr(tokenizer, "bos_token", None)
    if not begin or not text.startswith(begin):
        return 0
    twice = tokenizer(text)["input_ids"][:2] == [tokenizer.bos_token_id] * 2
    return len(begin) if twice else 0


def closing_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the special tokens that a tokenizer puts behind a text; an empty string for most."""
    special = set(getattr(tokenizer, "all_special_ids", ())) - {getattr(tokenizer, "unk_token_id", None)}
    if not ids or ids[-1] not in special:
        return ""
    # A text may end in the very words of a special token: only what every text gets is the tokenizer's.
    always = tokenizer("a")["input_ids"]
    own = 0
    while own < min(len(ids), len(always)) and always[-1 - own] == ids[-1 - own] and always[-1 - own] in special:
        own += 1
    return "".join(map(str, tokenizer.convert_ids_to_tokens(list(ids[len(ids) - own :])))) if own else ""


def _merged(
    tokenizer: Any, prompt: str, following: str, alone: list[int], ids: list[int], offsets: list[tuple[int, int]]
) -> FactError:
    """Return the error that prompt and option share a token: which one, and what can be written in their place."""
    text, seam = prompt + following, len(prompt)
    first = next((i for i, (a, b) in enumerate(zip(alone, ids, strict=False)) if a != b), min(len(alone), len(ids)))
    u, v = next((span for span in offsets[first:] if span[0] < span[1]), (seam, len(text)))
    u = min(u, seam)
    marked = f"{text[:u]}⟦{text[u : max(v, seam)]}⟧{text[max(v, seam) :]}"
    ways, offers = [], list[Offer]()
    bare = prompt.rstrip()
    if bare and bare != prompt and not following[0].isspace() and _fits(tokenizer, bare, following):
        ways.append(f"end the prompt before the white space: {bare!r}")
    other = other_spelling(prompt, Exactly(following))
    if other is not None and _fits(tokenizer, prompt, Exactly(other)):
        wording = spelled(prompt, other)
        ways.append(f"write the answer as {wording!r}")
        exactly = isinstance(wording, Exactly)
        with_space = "with" if other[0].isspace() else "without"
        offers.append(Offer(f"Write it {with_space} a space", {"target": str(wording), "exactly": exactly}))
    hint = f"You can {', or '.join(ways)}." if ways else "End the prompt earlier, or at a word's end."
    text = "Written here, its beginning and the end of the prompt are one token, so no token begins it."
    return FactError(
        f"The tokenizer merges the end of the prompt with {following!r}, so that no token begins the answer: "
        f"{marked!r}. {hint}"
    ).at(Notice("target", text if offers else f"{text} End the prompt at a word’s end.", tuple(offers)))


def _fits(tokenizer: Any, prompt: str, option: Wording) -> bool:
    alone = _tokenise(tokenizer, prompt)[0]
    return _tokenise(tokenizer, prompt + continuation(prompt, option))[0][: len(alone)] == alone


def _tokenise(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    if not getattr(tokenizer, "is_fast", False):
        raise FactlensError(
            f"{type(tokenizer).__name__} gives no character offsets. "
            "Load the fast tokenizer: AutoTokenizer.from_pretrained(name, use_fast=True)."
        )
    encoded = tokenizer(text, return_offsets_mapping=True)
    return list(encoded["input_ids"]), [tuple(span) for span in encoded["offset_mapping"]]
