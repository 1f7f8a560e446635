"""An edit as a small table for notebooks: HTML text without scripts, styles or outside files, every word escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from factlens.editing.record import Edit

_SHOWN = 10


def edit_html(edit: Edit) -> str:
    """Return the facts of an edit and how it was made, as two tables; of many facts, the first ten."""
    facts = [(fact.prompt, fact.subject, fact.object or "–", fact.target or "–") for fact in edit.facts[:_SHOWN]]
    if len(edit.facts) > _SHOWN:
        facts.append((f"and {len(edit.facts) - _SHOWN} more", "", "", ""))
    made = [
        ("method", edit.method),
        ("layers", ", ".join(map(str, edit.layers))),
        ("size", size_of(edit)),
        ("C", edit.moment or "not used"),
        ("made for", f"{edit.model} ({edit.fingerprint})"),
    ]
    columns = ("prompt", "subject", "object", "new object")
    return f"<div>{_table(columns, facts)}{_table(('edit', edit.label), made)}</div>"


def size_of(edit: Edit) -> str:
    """Write the size of an edit for a glance: ``2.1 kB``."""
    size = float(edit.nbytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_safe(name)}</th>" for name in columns)
    body = "".join(
        f"<tr><th>{_safe(row[0])}</th>" + "".join(f"<td>{_safe(text)}</td>" for text in row[1:]) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _safe(text: str) -> str:
    """Escape for HTML; control characters, which could turn the text around, become a replacement mark."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))
