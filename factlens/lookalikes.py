"""Texts that look the same and are not: which characters differ, by their names.

One can write é as one character or as two, a space that breaks no line, an apostrophe as on paper or as on a keyboard,
and an invisible mark between. To a tokenizer these are different texts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from difflib import SequenceMatcher

_SAME = dict.fromkeys("’‘‛ʼ′`´＇", "'") | dict.fromkeys("“”„‟″＂«»", '"') | dict.fromkeys("‐‑‒–—―−﹣－", "-")
_MOST = 4  # differences that are named


def look_alike(sought: str, text: str) -> str | None:
    """Return the part of a text that looks like another one and is written otherwise; None if there is none.

    Parameters
    ----------
    sought
        What was looked for, and is not in the text.
    text
        Where.

    Returns
    -------
    str or None
        The part, just as it stands in `text`.
    """
    folded = list(_folded(text))
    letters = "".join(letter for letter, _ in folded)
    looked_for = "".join(letter for letter, _ in _folded(sought)).strip()
    start = letters.find(looked_for) if looked_for else -1
    if start < 0:
        return None
    first = folded[start][1]
    last = folded[start + len(looked_for) - 1][1] + 1
    # What is combined with the last character, and what is invisible, belongs to it.
    while last < len(text) and (unicodedata.combining(text[last]) or unicodedata.category(text[last]) == "Cf"):
        last += 1
    return text[first:last]


def differences(sought: str, text: str) -> str:
    """Say in which characters two texts differ, by code point and name.

    Returns
    -------
    str
        ``"U+00E9 LATIN SMALL LETTER E WITH ACUTE where the prompt has U+0065 ..., U+0301 ..."``, several apart by a
        semicolon.
    """
    parts = []
    changes = SequenceMatcher(None, sought, text, autojunk=False).get_opcodes()
    for what, a, b, c, d in changes:
        if what != "equal":
            parts.append(f"{_named(sought[a:b])} where the prompt has {_named(text[c:d])}")
    more = [f"and {len(parts) - _MOST} more"] if len(parts) > _MOST else []
    return "; ".join([*parts[:_MOST], *more])


def _folded(text: str) -> Iterator[tuple[str, int]]:
    """Yield each letter as it looks, with its place: composed and decomposed, plain and typographic alike."""
    for place, c in enumerate(text):
        for letter in unicodedata.normalize("NFKD", c):
            if unicodedata.category(letter) == "Cf":
                continue
            yield (" " if letter.isspace() else _SAME.get(letter, letter)), place


def _named(characters: str) -> str:
    return ", ".join(f"U+{ord(c):04X} {unicodedata.name(c, 'without a name')}" for c in characters) or "nothing"
