"""Any text as something to look at: nothing in it is invisible, and nothing reaches beyond it.

Characters that have no shape stand as their code points between angle brackets, as bytes that are no character do
(`factlens.models.pieces`); a combining mark with nothing before it sits on a dotted circle; texts written from right to
left are isolated, so that what stands beside them stays where it is. What belongs together is cut together.

``js/src/shared/visible.ts`` does the same in the browser. ``js/test/texts/visible.json`` holds the two to each other,
which is why both go by ranges that are written out: a browser and Python know different editions of Unicode.
"""

from __future__ import annotations

import re
from unicodedata import category, east_asian_width

FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"
LONGEST_CLUSTER = 24
"""Characters in what is never cut apart; families of emoji have a dozen, and texts made to do harm have thousands."""

_DOTTED_CIRCLE, _JOINER, _NON_JOINER, _BLACK_FLAG = "◌", "\u200d", "\u200c", "\U0001f3f4"
_PLAIN = {"\n": "⏎", "\t": "⇥", "\x7f": "␡"}
# What has no shape: fillers, joiners, marks and controls of direction, selectors, tags, halves of characters, private
# letters. Signs of category Cf that are seen, such as the Arabic number sign, are not among them.
_SHAPELESS = re.compile(
    "[\u0080-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
# From right to left: Hebrew to Arabic, their presentation forms, and the ancient and African scripts.
_FROM_THE_RIGHT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
# Scripts in which a joiner, or a non-joiner, between two letters changes how they look: Arabic to Sinhala, and others.
_SHAPING = re.compile("[\u0600-\u0dff\u1000-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc]")
_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_EMOJI_STYLE = re.compile("[\ufe0e\ufe0f]")
_SELECTOR = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")
_TAGS = re.compile("[\U000e0020-\U000e007e]+\U000e007f")
_REGION = re.compile("[\U0001f1e6-\U0001f1ff]")
_MARK = re.compile(r"⟨(?:U\+[0-9A-F]{4,6}|[0-9A-F]{2}(?: [0-9A-F]{2})*)⟩")
_ISOLATED = re.compile(f"{FIRST_STRONG_ISOLATE}([^\u2066-\u2069]*){POP_ISOLATE}")


def visible(text: str) -> str:
    """Return a text as one line in which everything can be seen.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        Line breaks as ``⏎``, tabs as ``⇥``, other control characters as their pictures, spaces of any width as spaces;
        what has no shape as its code point, ``⟨U+200B⟩``, but where it shapes what stands around it: within emoji and
        flags, and between letters of scripts that join. A combining mark with nothing to sit on gets ``◌``.
    """
    parts: list[str] = []
    base = ""  # what a combining mark, a selector or a joiner would belong to
    i = 0
    while i < len(text):
        c = text[i]
        if c == _BLACK_FLAG and (tags := _TAGS.match(text, i + 1)):
            parts.append(text[i : tags.end()])
            base, i = c, tags.end()
            continue
        i += 1
        if c < " " or c in _PLAIN:
            parts.append(_PLAIN.get(c) or chr(0x2400 + ord(c)))
            base = ""
        elif category(c) == "Zs":
            parts.append(" ")
            base = ""
        elif _has_no_shape(c):
            shaping = _shapes(c, base, text[i : i + 1])
            parts.append(c if shaping else f"⟨U+{ord(c):04X}⟩")
            base = c if shaping else ""
        else:
            parts.append(_DOTTED_CIRCLE + c if not base and category(c)[0] == "M" else c)
            base = c
    return "".join(parts)


def line(text: str) -> str:
    """Return `visible` of a text put together from others, some of which `isolated` has isolated: they stay so."""
    parts, at = [], 0
    for match in _ISOLATED.finditer(text):
        inner = match[1]
        if _FROM_THE_RIGHT.search(inner) and visible(inner) == inner:
            parts += [visible(text[at : match.start()]), match[0]]
            at = match.end()
    return "".join((*parts, visible(text[at:])))


def isolated(text: str) -> str:
    """Return `visible` of a text that stands among others: if it is written from right to left, in an isolate.

    Without it, a Hebrew token would take the arrow and the number behind it for a part of its own line.
    """
    text = visible(text)
    return f"{FIRST_STRONG_ISOLATE}{text}{POP_ISOLATE}" if _FROM_THE_RIGHT.search(text) else text


def arrowed(text: str) -> str:
    """Return ``subject → object`` with each side isolated, so that the arrow goes from the one to the other."""
    return " → ".join(map(isolated, text.split(" → ")))


def closed(text: str) -> str:
    """Return a part of a line, in which an isolate may have lost one of its ends, with all of them closed."""
    balanced, inside = "", False
    for c in text:
        if c == POP_ISOLATE and not inside:
            continue
        inside = c == FIRST_STRONG_ISOLATE or (inside and c != POP_ISOLATE)
        balanced += c
    return balanced + POP_ISOLATE if inside else balanced


def trimmed(text: str) -> str:
    """Return `visible` of a text without the space around it; ``␣`` where nothing else is in it."""
    return visible(text).strip() or "␣"


def as_label(text: str) -> str:
    """Return a token or an answer as a picture can show it among others: `trimmed`, and isolated."""
    return isolated(trimmed(text))


def quoted(text: str) -> str:
    """Return ``repr(text)`` for a line that names it among other things: Python's own marks, and isolated."""
    return isolated(repr(text))


def without_isolates(text: str) -> str:
    """Return a text for what knows nothing of directions, and would draw the marks of an isolate as boxes."""
    return text.replace(FIRST_STRONG_ISOLATE, "").replace(POP_ISOLATE, "")


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for wide letters, none for what combines or is hidden."""
    return sum(0 if category(c) in ("Mn", "Me", "Cf") else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def clusters(text: str) -> list[str]:
    """Return the parts of a text that cannot be cut: characters with their marks, emoji, flags, syllables of Hangul.

    The marks of bytes and code points are such parts as well.
    """
    parts: list[str] = []
    i = 0
    while i < len(text):
        mark = _MARK.match(text, i) if text[i] == "⟨" else None
        end = mark.end() if mark else i + 1
        while not mark and end < len(text) and end - i < LONGEST_CLUSTER and _belongs(text[i:end], text[end]):
            end += 1
        parts.append(text[i:end])
        i = end
    return parts


def clipped(text: str, most: int) -> str:
    """Return the beginning of a text of more than `most` characters, with an ellipsis, cut where it can be cut."""
    if len(text) <= most:
        return text
    parts, length = [], 0
    for part in clusters(text):
        length += len(part)
        if length > most - 1:
            break
        parts.append(part)
    return "".join(parts) + "…"


def _has_no_shape(c: str) -> bool:
    return _SHAPELESS.match(c) is not None or ord(c) & 0xFFFE == 0xFFFE


def _shapes(c: str, base: str, after: str) -> bool:
    """Say whether something without a shape shapes what stands before it, and at once after it."""
    if not base or _SELECTOR.match(base):
        # A selector belongs to a joiner behind it, as in a heart on fire.
        return c == _JOINER and base == "\ufe0f" and _is_picture(after)
    if _SELECTOR.match(c):
        if _IDEOGRAPH.match(base):
            return True
        # Of letters there is no emoji but one; anywhere else a selector would be invisible.
        return _EMOJI_STYLE.match(c) is not None and (category(base)[0] not in "LM" or base == "ℹ")
    if c in (_JOINER, _NON_JOINER) and _SHAPING.match(base) and _SHAPING.match(after):
        return True
    return c == _JOINER and (_is_picture(base) or _SKIN.match(base) is not None) and _is_picture(after)


def _is_picture(c: str) -> bool:
    # The arrow to both sides, of a head that shakes, is a sign of mathematics.
    return bool(c) and (category(c) == "So" or c == "↔")


def _belongs(cluster: str, c: str) -> bool:
    """Say whether a character belongs to the cluster before it."""
    last = cluster[-1]
    if category(c)[0] == "M" or c in (_JOINER, _NON_JOINER) or _SELECTOR.match(c) or _SKIN.match(c):
        return True
    if last == _JOINER and _is_picture(c):
        return True
    if "\U000e0020" <= c <= "\U000e007f":
        return cluster[0] == _BLACK_FLAG
    if _REGION.match(c):
        return len(cluster) == 1 and _REGION.match(last) is not None
    return _one_syllable(last, c)


def _one_syllable(before: str, c: str) -> bool:
    """Say whether two letters of Hangul are of one syllable: leading consonants, vowels, trailing consonants."""
    first, second = _hangul(before), _hangul(c)
    return (first, second) in {("L", "L"), ("L", "V"), ("L", "S"), ("V", "V"), ("V", "T"), ("S", "T"), ("T", "T")} or (
        (first, second) == ("S", "V") and (ord(before) - 0xAC00) % 28 == 0
    )


def _hangul(c: str) -> str:
    for kind, first, last in (
        ("L", "\u1100", "\u115f"),
        ("L", "\ua960", "\ua97c"),
        ("V", "\u1160", "\u11a7"),
        ("V", "\ud7b0", "\ud7c6"),
        ("T", "\u11a8", "\u11ff"),
        ("T", "\ud7cb", "\ud7fb"),
        ("S", "\uac00", "\ud7a3"),
    ):
        if first <= c <= last:
            return kind
    return ""
