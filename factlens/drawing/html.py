"""HTML for notebooks and pages: no script, no outside file, every text escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from factlens.escaping import html

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; background: #fff; max-width: 900px; margin: 2rem auto;
  padding: 0 1rem; }
figure { margin: 1.5rem 0; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #e3e7ec; }
.changed { color: #2563c4; font-weight: 600; }
footer { color: #5f6b7a; font-size: 13px; margin-top: 2rem; }
"""


def as_image(svg: str, alt: str) -> str:
    """Return an SVG as an HTML image that holds it: sanitizers of untrusted notebooks drop SVG elements, not images."""
    data = b64encode(svg.encode("utf-8", "replace")).decode()
    return f'<img alt="{html(alt)}" style="max-width: 100%" src="data:image/svg+xml;base64,{data}">'


def paragraph(text: str) -> str:
    """Return a text as a paragraph."""
    return f"<p>{html(text)}</p>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, under: str = "", left: bool = False) -> str:
    """Return a table whose first column holds the names of its rows.

    Parameters
    ----------
    columns, rows
        Names of the columns, and the texts of each row.
    under
        What stands under the name of every column but the first.
    left
        Whether the names of the rows begin at the left, and not in the notebook's way.
    """
    below = f"<br>{html(under)}" if under else ""
    head = "".join(f"<th>{html(name)}{below if i else ''}</th>" for i, name in enumerate(columns))
    begin = "<th style='text-align:left'>" if left else "<th>"
    body = "".join(
        f"<tr>{begin}{html(row[0])}</th>" + "".join(f"<td>{html(text)}</td>" for text in row[1:]) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def page(title: str, body: str) -> str:
    """Return a page of its own around a body that is HTML already."""
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html(title)}</title>
<style>{_STYLE}</style>
{body}
</html>
"""
