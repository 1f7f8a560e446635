"""In which encodings a line could be that is not in the expected one, and how it would read in each of them.

Nothing is decided here: a byte that means ü in one encoding means ь in another, and only the person who has the file
can say which. What is shown is put in an order, the most sensible reading first, so that one look is enough.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

# What Windows, macOS and Linux have written in most of the world, with the first bytes of the common ones among the
# characters of two bytes: nearly every pair of bytes means something in these, but seldom something common.
_ENCODINGS: dict[str, tuple[int, int] | None] = {
    "utf-8": None,
    "cp1252": None,
    "cp1250": None,
    "cp1251": None,
    "cp1253": None,
    "cp1254": None,
    "koi8_r": None,
    "mac_roman": None,
    "cp850": None,
    "cp932": (0x81, 0x97),
    "cp949": (0xA1, 0xC8),
    "gb18030": (0xA1, 0xD7),
    "euc_jp": (0xA1, 0xCF),
    "big5": (0xA1, 0xC6),
}
_USUAL = "cp1252"
_SHOWN = 3
_SAMPLE, _EXCERPT = 1 << 14, 60
_MARKS = frozenset("‘’‚“”„–—…€«»°§·¿¡、。「」『』《》，：；！？（）・ー\u3000\xa0")
_RARE = frozenset("þÞðÐ")
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "HIRAGANA", "KATAKANA", "CJK", "HANGUL")
_JAPANESE = frozenset(("HIRAGANA", "KATAKANA", "CJK"))


def readings(data: bytes, place: int, refused: str) -> list[tuple[str, str]]:
    """Return names of encodings, the likeliest first, each with how the text around a byte reads in it.

    Parameters
    ----------
    data
        Bytes of the file around the one that was refused.
    place
        Where in `data` that is.
    refused
        The encoding that did not take it.
    """
    start = max(data.rfind(b"\n", 0, place), data.rfind(b"\r", 0, place)) + 1
    ends = [end for end in (data.find(b"\n", place), data.find(b"\r", place)) if end >= 0]
    line = data[start : min(ends, default=len(data))]
    candidates: list[tuple[float, str, str]] = []
    for name, common in _ENCODINGS.items():
        if name == refused:
            continue
        if (sample := _decoded(data[start : start + _SAMPLE], name)) and (around := _around(line, place - start, name)):
            candidates.append((_sense(sample, name, common), name, around))
    candidates.sort(key=lambda one: -one[0])
    chosen: list[tuple[str, str]] = []
    for sense, name, around in candidates:
        if (sense > 0 or name == _USUAL) and all(around != other for _, other in chosen):
            chosen.append((name, around))
    # What most files are in is shown also where something else makes more sense.
    last = [one for one in chosen[_SHOWN:] if one[0] == _USUAL]
    return chosen[: _SHOWN - len(last)] + last


def _decoded(data: bytes, name: str) -> str | None:
    """Return what the bytes say, without the characters of several bytes that are cut at either end."""
    longest = 1 if name != "utf-8" and _ENCODINGS[name] is None else 4
    for start in range(longest):
        for cut in range(longest):
            try:
                return data[start : len(data) - cut].decode(name)
            except UnicodeDecodeError:
                continue
    return None


def _around(line: bytes, place: int, name: str) -> str | None:
    """Return what stands around a byte of a line."""
    try:
        before = line[:place].decode(name)
    except UnicodeDecodeError:  # the byte is in the middle of a character
        before = line[:place].decode(name, "ignore")
    whole = _decoded(line, name)
    if whole is None:
        return None
    first = max(0, len(before) - _EXCERPT // 2)
    excerpt = whole[first : first + _EXCERPT]
    return ("…" if first else "") + excerpt + ("…" if first + _EXCERPT < len(whole) else "")


def _sense(text: str, name: str, common: tuple[int, int] | None) -> float:
    """Return how much sense the characters beyond ASCII make, from -1 or less to 1."""
    marks = list(_each(text, name, common))
    return sum(marks) / len(marks) if marks else 0.0


def _each(text: str, name: str, common: tuple[int, int] | None) -> Iterator[float]:
    for i, character in enumerate(text):
        if character.isascii():
            continue
        if not unicodedata.category(character).startswith("L"):
            yield 0.5 if character in _MARKS else -1.0
            continue
        mark, script = 1.0, _script(character)
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        for beside in (before, after):
            if beside.isalpha() and not _together(script, _script(beside)):
                mark -= 1
        if script == "LATIN" and all(beside.isalpha() and not beside.isascii() for beside in (before, after)):
            mark -= 1.5  # letters with accents seldom stand in a row
        if character.isupper() and (before.islower() or (before.isalpha() and after.islower())):
            mark -= 1
        if script in ("HIRAGANA", "KATAKANA") and name in ("cp949", "gb18030", "big5"):
            mark -= 1
        if character in _RARE or script == "" or "\uff61" <= character <= "\uff9f":
            mark -= 1
        if common is not None and not common[0] <= character.encode(name)[0] <= common[1]:
            mark -= 1.5
        yield mark


def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    return next((script for script in _SCRIPTS if name.startswith(script)), "")


def _together(one: str, other: str) -> bool:
    return one == other or {one, other} <= _JAPANESE
