"""Numbers as people read them: at a glance, beside each other, or in a table."""

from __future__ import annotations

from math import isnan


def brief(value: float, percent: bool) -> str:
    """Write a number for a glance: a probability in percent, anything else with two decimals."""
    if not percent:
        return f"{value:.2f}".replace("-", "−")
    if 0 < value < 0.001:
        return "<0.1%"
    return f"{value:.1%}" if 0 < value < 0.01 else f"{value:.0%}"


def precise(value: float) -> str:
    """Write a number for comparing cells."""
    return f"{value:.3g}".replace("-", "−")


def fixed(value: float | None) -> str:
    """Write a number with three decimals; a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def signed(value: float) -> str:
    """Write what something adds, with its sign."""
    return f"{value:+.3f}"


def tabular(value: float, percent: bool) -> str:
    """Write a number for a column: a share in percent without the sign, anything else in three digits or so."""
    if isnan(value):
        return "–"
    return f"{100 * value:.1f}" if percent else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def counted(count: int, what: str) -> str:
    """Write a number of things: ``"1 fact"``, ``"3 facts"``."""
    return f"{count} {what}{'' if count == 1 else 's'}"
