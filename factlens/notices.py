"""What is said at a field of the page: of a mistake or of what may not be meant, with the ways out as buttons.

What a button writes, Python decides, and the page draws it. An error carries such a notice next to its message, which
says the same to who has a call in front of them and no field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from factlens.visible import as_label

_MOST = 60  # characters of a text that a sentence repeats


@dataclass(frozen=True)
class Offer:
    """Something else to write.

    Attributes
    ----------
    label
        The words of its button: ``"Use “Eiffel Tower”"``.
    changes
        What it writes, by field: ``{"subject": "Eiffel Tower"}``. What is in the other fields stays.
    """

    label: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Notice:
    """What is said at a field.

    Attributes
    ----------
    field
        ``"prompt"``, ``"subject"``, ``"target"`` or ``"layer"``.
    text
        What is wrong or may not be meant, and what to do.
    offers
        The ways out.
    """

    field: str
    text: str
    offers: tuple[Offer, ...] = ()


def using(field: str, texts: Iterable[str]) -> tuple[Offer, ...]:
    """Return an offer to write each of some texts into a field.

    Examples
    --------
    >>> [offer.label for offer in using("subject", ["Eiffel Tower"])]
    ['Use “Eiffel Tower”']
    """
    return tuple(Offer(f"Use {cited(text)}", {field: text}) for text in texts)


def cited(text: str) -> str:
    """Return a text in quotes, cut if it is long, with everything in it to be seen."""
    short = text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"
    return f"“{as_label(short)}”"


def ending(text: str) -> str:
    """Return the last words of a text in quotes, as what is changed at a prompt's end."""
    if len(text) <= _MOST // 2:
        return cited(text)
    return f"“… {as_label(text[-_MOST // 2 :].split(' ', 1)[-1])}”"
