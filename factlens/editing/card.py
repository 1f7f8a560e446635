"""An edit as a small table for notebooks: HTML text without scripts, styles or outside files, every word escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factlens.drawing.html import paragraph, table
from factlens.editing.taking import Took, shown_share
from factlens.visible import arrowed

if TYPE_CHECKING:
    from factlens.editing.record import Edit

_SHOWN = 10
_COLUMNS = ("prompt", "subject", "object", "new object", "p before", "with v*", "after", "took")


def edit_html(edit: Edit) -> str:
    """Return the facts of an edit and how it was made, as two tables; of many facts, the first ten."""
    unknown = [None] * len(edit.facts)
    facts: list[tuple[str, ...]] = [
        (fact.prompt, fact.subject, str(fact.object or "–"), str(fact.target or "–"), *_shares(took))
        for fact, took in list(zip(edit.facts, edit.taken or unknown, strict=False))[:_SHOWN]
    ]
    if len(edit.facts) > _SHOWN:
        facts.append((f"and {len(edit.facts) - _SHOWN} more", *[""] * (len(_COLUMNS) - 1)))
    made = [
        ("method", edit.method),
        ("layers", ", ".join(map(str, edit.layers))),
        ("id", edit.id),
        ("size", size_of(edit)),
        ("C", edit.moment or "not used"),
        ("what was left open", edit.defaults or "not known"),
        ("made for", f"{edit.model} ({edit.fingerprint})"),
    ]
    warned = "".join(map(paragraph, edit.warning.splitlines()))
    return f"<div>{table(_COLUMNS, facts)}{warned}{table(('edit', arrowed(edit.label)), made)}</div>"


def _shares(took: Took | None) -> tuple[str, str, str, str]:
    """Return p(new object) before, with v* and after, and whether the edit took."""
    if took is None:
        return ("–", "–", "–", "not known")
    between = "–" if took.with_value is None else shown_share(took.with_value)
    failed = {None: "yes", "value": "no: the value failed", "weights": "no: the weights failed"}[took.failed]
    return (shown_share(took.before), between, shown_share(took.after), failed)


def size_of(edit: Edit) -> str:
    """Write the size of an edit for a glance: ``2.1 kB``."""
    size = float(edit.nbytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
