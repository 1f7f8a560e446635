"""What a model writes by itself after prompts, and whether an object is what it writes.

Probabilities of objects are teacher-forced: each token is read after the right ones before it, and only two objects
are compared. What a model says when it is let alone is another matter: Yang et al. (2025) found .95 by the one and .48
by the other on the same edits. The protocol here:

========  ============================================================================================================
prompt    as it stands, without instructions or examples; in a chat, the turns around it
decoding  greedy
stop      the model's own end-of-text token, the end of a line, or the end of a sentence; at most `MOST` tokens
scorer    `begins_with` (the metric *written*), `is_exactly` (*written_exact*) or `contains` (*written_contains*), of
          texts without capitals, outer punctuation, white space and a leading English article
========  ============================================================================================================

White space before the first word is passed over. A sentence ends with a full stop, question or exclamation mark and
white space behind it, unless the full stop belongs to an initial or a title ("J. K. Rowling", "St. Louis"), or with the
marks of Chinese and Japanese.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from factlens.models import Model
from factlens.models.writing import greedy_ids
from factlens.spelling import Wording

MOST = 32
"""Tokens of the longest text."""
PROTOCOL = {
    "prompt": "as it stands",
    "decoding": "greedy",
    "stop": "end-of-text token, end of a line or of a sentence",
    "most_tokens": MOST,
}
_MARK = re.compile(r"[\n\r]|[。！？]|[.!?…]+[\"'”’»)\]]*(?=\s)")
_SHORTENED = re.compile(r"\b(?:[A-Z]|St|Ste|Mt|Ft|Mr|Mrs|Ms|Dr|Prof|Jr|Sr|Gen|Col|Lt|Sgt|Rev|Hon|No|vs)\.$")
_ARTICLE = re.compile(r"(?:the|an|a)\s+(?=\S)")


def up_to_end(text: str) -> tuple[str, bool]:
    """Return a text up to the end of its first line or sentence, and whether it has come to such an end.

    Examples
    --------
    >>> up_to_end(" Seattle. It rains")
    ('Seattle.', True)
    >>> up_to_end("St. Louis, near")
    ('St. Louis, near', False)
    """
    text = text.lstrip()
    for mark in _MARK.finditer(text):
        if mark[0] in "\n\r":
            return text[: mark.start()].rstrip(), True
        if not _SHORTENED.search(text[: mark.end()]):
            return text[: mark.end()], True
    return text, False


def write(model: Model, prompts: Sequence[str], most: int = MOST) -> list[str]:
    """Let a model go on after each of `prompts`, greedily, up to its own end; see the protocol of this module.

    Parameters
    ----------
    model
        The model.
    prompts
        Texts as they are asked.
    most
        The most tokens of a text.

    Returns
    -------
    list of str
        What it writes after each, without the prompt; empty where it ends at once.
    """

    def text_of(ids: Sequence[int]) -> str:
        return str(model.tokenizer.decode(list(ids), skip_special_tokens=True))

    # One prompt in several probes is written on once.
    rows = dict.fromkeys(prompts)
    encoded = [model.ids_of(prompt) for prompt in rows]
    ids = greedy_ids(model, encoded, most, lambda tokens: up_to_end(text_of(tokens))[1])
    # The last character may have been cut in its middle.
    texts = {prompt: up_to_end(text_of(each))[0].rstrip("\ufffd") for prompt, each in zip(rows, ids, strict=True)}
    return [texts[prompt] for prompt in prompts]


def normalised(text: str) -> str:
    """Return a text as it is compared: without capitals, outer punctuation and white space, or a leading article."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    inside = [i for i, character in enumerate(plain) if unicodedata.category(character)[0] in "LNM"]
    inner = plain[inside[0] : inside[-1] + 1] if inside else plain
    return _ARTICLE.sub("", inner, count=1) if _ARTICLE.match(inner) else inner


def begins_with(text: str, object_: Wording) -> bool:
    """Return whether a text begins with an object: "Paris, the capital" does with "Paris", "Parish" does not."""
    ours, its = normalised(text), normalised(str(object_))
    return bool(its) and ours.startswith(its) and _whole(ours, 0, len(its))


def contains(text: str, object_: Wording) -> bool:
    """Return whether an object stands anywhere in a text, as whole words."""
    ours, its = normalised(text), normalised(str(object_))
    places = [match.start() for match in re.finditer(f"(?={re.escape(its)})", ours)] if its else []
    return any(_whole(ours, place, place + len(its)) for place in places)


def is_exactly(text: str, object_: Wording) -> bool:
    """Return whether a text is an object and nothing else."""
    ours = normalised(text)
    return bool(ours) and ours == normalised(str(object_))


def _whole(text: str, start: int, stop: int) -> bool:
    """Return whether what stands there is no part of longer words; scripts without capitals may join words."""
    before = start > 0 and _spaced(text[start - 1]) and _spaced(text[start])
    behind = stop < len(text) and _spaced(text[stop]) and _spaced(text[stop - 1])
    return not before and not behind


def _spaced(character: str) -> bool:
    """Return whether it is a letter of a script that puts spaces between words, or a digit."""
    return character.isdigit() or character.upper() != character.lower()
