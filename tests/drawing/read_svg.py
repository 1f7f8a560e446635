"""What a picture in SVG shows."""

from __future__ import annotations

from xml.etree import ElementTree


def drawn(svg: str) -> dict[str, list[ElementTree.Element]]:
    """The elements of a picture by name."""
    found: dict[str, list[ElementTree.Element]] = {}
    for element in ElementTree.fromstring(svg).iter():
        found.setdefault(element.tag.rsplit("}")[-1], []).append(element)
    return found


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in drawn(svg)["text"]]


def notes(svg: str) -> list[str]:
    """What the mouse finds."""
    return [element.text or "" for element in drawn(svg)["title"]]


def cells(svg: str) -> list[dict[tuple[int, int], tuple[str, str]]]:
    """The colour and thickness of the cells of each panel, by token and layer; the last one drawn counts."""
    panels = []
    for group in drawn(svg)["g"]:
        if not str(group.get("transform")).startswith("translate(0 "):
            continue
        panel = {}
        for path in group:
            for stroke in str(path.get("d"))[1:].split("M"):
                begin, (row, length) = int(stroke.split()[0]), map(int, stroke.split()[1].split("h"))
                for layer in range(begin, begin + length):
                    panel[row, layer] = (str(path.get("stroke")), str(path.get("stroke-width")))
        panels.append(panel)
    return panels
