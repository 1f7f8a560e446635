"""Texts that become something else: a line to look at, HTML, Python, LaTeX, a table for spreadsheets, a file's name.

Every text may come from a file, a model or a page, and may hold anything. Each function here returns what cannot be
taken for more than a text.
"""

from __future__ import annotations

import re
from html import escape
from math import isfinite
from numbers import Integral, Real
from unicodedata import category, normalize

from factlens.visible import line, visible, without_isolates

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_QUOTES = "\"'`´‘’‚‛“”„‟"
_FORMULA = "=+-@"
# Names that Windows keeps for devices, with any ending.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{i}" for port in ("COM", "LPT") for i in range(10))}
_LONGEST_NAME = 60
_LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "%_&#${}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        # Those that older installations have no letter for.
        "−": "$-$",
        "±": r"$\pm$",
        "→": r"$\rightarrow$",
        "·": r"$\cdot$",
        "×": r"$\times$",
        "²": "$^2$",
        "σ": r"$\sigma$",
        "≤": r"$\leq$",
        "⟨": r"$\langle$",
        "⟩": r"$\rangle$",
        "⏎": r"$\hookleftarrow$",
        "␣": r"\textvisiblespace{}",
        # Where a line of a table begins, it would be an argument of the end of the one before.
        "[": "{[}",
        "]": "{]}",
    }
)


def shown(text: str) -> str:
    """Return a text as one line that shows all of itself; see `factlens.visible.visible`.

    Characters that turn the direction of what stands behind them are marked, so they turn nothing any more.
    """
    return visible(text)


def html(text: str) -> str:
    """Return a text for HTML, SVG and XML, between tags and in attributes, as one line.

    Parts of it that `factlens.visible.isolated` has isolated stay isolated.
    """
    return escape(line(text))


def literal(value: object) -> str:
    """Return the Python source of a text, number, truth value, None, or tuple of such, on one line."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    # Numbers of numpy are numbers too, and would write themselves as calls. NaN and infinity have no literal.
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, Real):
        return repr(float(value)) if isfinite(value) else f"float({str(float(value))!r})"
    raise TypeError(f"There is no literal for {type(value).__name__}.")


def cell(text: str) -> str:
    """Return a text for a cell of a table: what a spreadsheet might take for a formula gets an apostrophe before it.

    Numbers stay as they are. Anything else that begins with ``=``, ``+``, ``-`` or ``@`` is marked, also where white
    space, quotes or invisible characters stand before it, or it is one of the wide or small forms of these signs.
    """
    if _NUMBER.fullmatch(text):
        return text
    bare = text.lstrip("".join({c for c in text if c in _QUOTES or category(c)[0] in "CZ"}))
    if text[:1] in ("\t", "\r") or (bare and normalize("NFKC", bare[0]) in tuple(_FORMULA)):
        return f"'{text}"
    return text


def mathless(text: str) -> str:
    """Return a text for matplotlib, in which dollar signs are no mathematics.

    Isolates go: most versions of matplotlib draw letter by letter, and what has no shape as a box.
    """
    return without_isolates(text).replace("$", r"\$")


def latex(text: str) -> str:
    """Return a text for LaTeX, as one line in which no sign is a command.

    Letters of other scripts stay as they are; they need XeLaTeX or LuaLaTeX, and a font that has them.
    """
    return visible(without_isolates(text)).translate(_LATEX)


def file_stem(text: str, otherwise: str) -> str:
    """Return a file's name for a text, without its ending, that any system takes: no dots, no device, not too long."""
    words = "".join(c if c.isascii() and c.isalnum() else "-" for c in text)[:_LONGEST_NAME].strip("-")
    return f"{otherwise}-{words}" if words.upper() in _DEVICES else words or otherwise
