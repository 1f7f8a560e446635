"""How an answer is spelled behind a prompt: the one rule for answers, contrasts, objects and targets.

A prompt and what follows it are one text. Its words are told apart by spaces, and to most tokenizers ``" Paris"`` and
``"Paris"`` are different tokens, so a space too many asks another question. The rule: an answer gets one leading space
where the text calls for one, and none

- behind white space, a line break included, and at the very beginning;
- behind an opening bracket or quote (``(``, ``"``, ``«``), a mark that sticks to what follows (``$``, ``#``, ``¿``),
  and a sign that has no space before it either (``2+2=``, but not ``2 + 2 =``);
- between characters of scripts that are written without spaces (Chinese, Japanese, Thai, ...), and behind their
  punctuation;
- if it begins with white space itself, or is a mark that sticks to what precedes it (``,``).

`Exactly` says what to append, without regard to this rule.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from factlens.arguments import a_text
from factlens.errors import FactError
from factlens.typed import BadField, record, text


@dataclass(frozen=True)
class Exactly:
    """An answer that is appended to the prompt just as it is written, without a space in front unless it has one.

    Parameters
    ----------
    exactly
        The text.

    Raises
    ------
    FactError
        If it is no text, or an empty one.

    Examples
    --------
    >>> continuation("2 + 2 =", "4"), continuation("2 + 2 =", Exactly("4"))
    (' 4', '4')
    """

    exactly: str

    def __post_init__(self) -> None:
        if a_text("exactly", self.exactly, empty=True) == "":
            raise FactError("exactly is empty. Write what follows the prompt, for example Exactly('Paris').")

    def __str__(self) -> str:
        return self.exactly

    def __repr__(self) -> str:
        return f"Exactly({self.exactly!r})"


Wording = str | Exactly
"""An answer as a user writes it: by the rule, or exactly."""

# Marks that are written without a space to what follows, in any place.
_STICKS_TO_NEXT = frozenset("$£€¥#@¿¡_\\")
# Signs that have a space behind them if they have one in front: "2 + 2 =", "2+2=", "either/", "Paris - ".
_AS_BEFORE = frozenset("=+-*/<>|~^&×÷±≤≥≠≈→–—‐‑")
_SIGNS = "".join(sorted(_AS_BEFORE))
# The same mark opens and closes.
_QUOTES = frozenset("\"'`*")
_STICKS_TO_LAST = frozenset(".,;:!?%…)]}»”")
# Scripts without spaces between words, and the wide punctuation that brings its own room.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u2fdf\u3005-\u3007"
    "\u3021-\u3029\u3031-\u3035\u3038-\u303b\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U000323af]"
)
_WIDE_MARKS = re.compile("[\u3000-\u3004\u3008-\u3020\u3030\u303d\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]")


def continuation(prompt: str, answer: Wording) -> str:
    r"""Return what is appended to a prompt to give an answer.

    Parameters
    ----------
    prompt
        The text in front.
    answer
        The answer; `Exactly` is taken as it is.

    Returns
    -------
    str
        The answer, with a leading space where the text calls for one.

    Examples
    --------
    >>> [continuation(prompt, "Paris") for prompt in ("It is in", 'It is in "', "城市：", "It is in\n")]
    [' Paris', 'Paris', 'Paris', 'Paris']
    """
    if isinstance(answer, Exactly):
        return answer.exactly
    return " " + answer if calls_for_space(prompt, answer) else answer


def calls_for_space(prompt: str, answer: str) -> bool:
    """Whether the text calls for a space between a prompt and an answer; see the rule above."""
    if not prompt or not answer or prompt[-1].isspace() or answer[0].isspace():
        return False
    # What is combined with a letter, and what is invisible, does not count.
    before, last = _seen(prompt), answer[0]
    if not before:
        return False
    if _WIDE_MARKS.match(before[-1]) or _WIDE_MARKS.match(last):
        return False
    if _UNSPACED.match(before[-1]) and _UNSPACED.match(last):
        return False
    if last in _STICKS_TO_LAST and not answer[1:2].isalnum():
        return False
    return not _opens(before)


def _opens(text: str) -> bool:
    """Whether the last character of a text holds on to what follows it."""
    mark = text[-1]
    category = unicodedata.category(mark)
    if mark in _STICKS_TO_NEXT or category in ("Ps", "Pi"):
        return True
    if mark in _AS_BEFORE and not text.endswith("**"):
        # "x =>" is a run of signs; what stands before the first of them tells.
        rest = text.rstrip(_SIGNS)
        return bool(rest) and not _is_free(rest)
    if mark in _QUOTES:
        rest = text.rstrip(mark)
        if _is_free(rest):
            return True
        # "the **best**" and "the dogs'" close; so does x="y", but x=" has nothing yet to be closed.
        return mark == '"' and rest[-1] in _AS_BEFORE and text.rpartition("\n")[2].count(mark) % 2 == 1
    return False


def _is_free(text: str) -> bool:
    """Whether what follows a text begins a word of its own: behind nothing, white space, or an opening bracket."""
    return not text or text[-1].isspace() or unicodedata.category(text[-1]) in ("Ps", "Pi")


def _seen(text: str) -> str:
    """Return a text up to the last character that is a letter or a mark of its own."""
    end = len(text)
    while end and (unicodedata.combining(text[end - 1]) or unicodedata.category(text[end - 1]) in ("Cf", "Mn", "Me")):
        end -= 1
    return text[:end]


def other_spelling(prompt: str, answer: Wording) -> str | None:
    """Return the continuation with the leading space that the answer lacks, or without the one that it has.

    None where there is no other: behind white space, and for an answer that is white space.
    """
    spelling = continuation(prompt, answer)
    if spelling.startswith(" "):
        return spelling[1:] if spelling[1:] and not spelling[1].isspace() else None
    if not prompt or prompt[-1].isspace() or spelling[0].isspace():
        return None
    return " " + spelling


def spelled(prompt: str, text: str) -> Wording:
    """Return the shortest wording that gives a continuation: a plain text where the rule makes just that of it.

    Examples
    --------
    >>> spelled("It is in", " Paris"), spelled("It is in", "Paris"), spelled('It is in "', "Paris")
    ('Paris', Exactly('Paris'), 'Paris')
    """
    for plain in (text.removeprefix(" "), text):
        if plain.strip() and continuation(prompt, plain) == text:
            return plain
    return Exactly(text)


def a_wording(name: str, value: Any, *, example: str | None = None) -> Wording:
    """Return the argument `name` if it is an answer: a text with something in it, or `Exactly`.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    return value if isinstance(value, Exactly) else a_text(name, value, example=example)


def read_wording(value: Any) -> Wording:
    """Return the wording that a file holds: a text, or ``{"exactly": "Paris"}``.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, str):
        return text(value)
    try:
        return Exactly(**_FIELDS(value))
    except FactError as error:
        raise BadField(f"makes no sense: {error}") from None


def plainly(value: Any) -> Any:
    """Return a wording as plain data that JSON can hold, and everything else as it is; `read_wording` reads it."""
    return {"exactly": value.exactly} if isinstance(value, Exactly) else value


_FIELDS = record({"exactly": text})
