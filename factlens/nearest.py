"""The part of a prompt that a subject may mean: the one nearest to what was written, or a name."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_WORD = re.compile(r"\w+(?:[^\w\s]+\w+)*")
_ALIKE = 0.75
"""How alike two texts are, from 0 to 1, of which one may be the other misspelt."""
_MOST = 200  # words of a prompt that are looked at, and characters of a subject
# Words that begin a sentence, or stand in a question, and belong to no name.
_NO_NAMES = {
    *("a", "an", "at", "by", "for", "from", "how", "i", "in", "is", "it", "of", "on", "the", "to", "was"),
    *("what", "when", "where", "which", "who", "whose", "why"),
}


def nearest(sought: str, text: str) -> str | None:
    """Return the words of a text that are most like others, in any case of letters; None if none are.

    Examples
    --------
    >>> nearest("eifel tower,", "The Eiffel Tower is in")
    'Eiffel Tower'
    """
    words = [match.span() for match in _WORD.finditer(text)][:_MOST]
    count = len(_WORD.findall(sought))
    if not count or len(sought) > _MOST:
        return None
    best, part = _ALIKE, None
    matcher = SequenceMatcher(None, b=sought.casefold(), autojunk=False)
    for size in (count, count + 1, count - 1):
        for first in range(len(words) - size + 1) if size else ():
            span = text[words[first][0] : words[first + size - 1][1]]
            matcher.set_seq1(span.casefold())
            if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and matcher.ratio() > best:
                best, part = matcher.ratio(), span
    return part


def proper_name(text: str) -> str | None:
    """Return the longest run of words with capital letters, which may be what a text is about; None without one.

    Examples
    --------
    >>> proper_name("In Paris, the Eiffel Tower is near")
    'Eiffel Tower'
    """
    runs: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        if not match[0][0].isupper() or match[0].casefold() in _NO_NAMES:
            continue
        if runs and text[runs[-1][1] : match.start()] == " ":
            runs[-1] = (runs[-1][0], match.end())
        else:
            runs.append(match.span())
    best = max(runs, key=lambda run: run[1] - run[0], default=None)
    return None if best is None else text[slice(*best)]
