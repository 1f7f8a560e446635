"""The picture of the house in docs/architecture.md is that of the imports, and its walks climb no stairs.

``FACTLENS_GOLDEN=write pytest tests/test_architecture.py`` draws the picture anew.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.test_layering import LEVEL, STOREYS, imported, modules, part_of

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by tests/test_architecture.py -->\n", "<!-- end -->\n"
GROUND = "ground"


def room_of(part: str) -> str:
    """The room that a part of the package is drawn in: the small modules that everything stands on are one."""
    return GROUND if LEVEL[part] == 0 else part


def rooms() -> dict[str, int]:
    """Every room that is there, and its storey; the package's front door is none."""
    parts = {part_of(module) for module in modules()[0]} - {"__init__", "__main__"}
    return {room_of(part): LEVEL[part] for part in sorted(parts, key=lambda part: (-LEVEL[part], part))}


def arrows() -> set[tuple[str, str]]:
    """Which room imports from which, also where only a type is named."""
    sources, packages = modules()
    found = set()
    for module, source in sources.items():
        for _, name, _types in imported(source, module, is_package=module in packages):
            if name.startswith("factlens.") and part_of(module) not in ("__init__", "__main__"):
                other = part_of(name)
                if other in LEVEL and other != "__init__":
                    found.add((room_of(part_of(module)), room_of(other)))
    return {(a, b) for a, b in found if a != b}


def needed(all_arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows without those that a longer way implies."""
    below: dict[str, set[str]] = {}

    def under(room: str) -> set[str]:
        if room not in below:
            straight = {b for a, b in all_arrows if a == room}
            below[room] = straight.union(*map(under, straight)) if straight else set()
        return below[room]

    return {(a, b) for a, b in all_arrows if not any(b in under(other) for start, other in all_arrows if start == a)}


def picture() -> str:
    """The house as a Mermaid flowchart, from the top down."""
    storeys: dict[int, list[str]] = {}
    for room, level in rooms().items():
        storeys.setdefault(level, []).append(room)
    lines = ["```mermaid", "flowchart TB"]
    for level, names in storeys.items():
        lines += [f"  subgraph storey{level}[ ]", "    direction LR", *(f"    {name}" for name in names), "  end"]
    lines += [f"  {a} --> {b}" for a, b in sorted(needed(arrows()), key=lambda arrow: (-rooms()[arrow[0]], arrow))]
    return "\n".join([*lines, "```", ""])


def test_the_picture_is_that_of_the_imports() -> None:
    text = PAGE.read_text("utf-8")
    before, rest = text.split(BEGIN)
    drawn, after = rest.split(END)
    if os.environ.get("FACTLENS_GOLDEN") == "write":
        PAGE.write_text(before + BEGIN + picture() + END + after, "utf-8")
    else:
        assert drawn == picture()


def test_no_arrow_goes_up() -> None:
    storey = rooms()
    assert len(storey) > 8
    assert [(a, b) for a, b in arrows() if storey[a] < storey[b]] == []
    assert (GROUND, "models") not in arrows()


def test_the_page_names_every_room() -> None:
    text = PAGE.read_text("utf-8")
    for room in rooms():
        assert re.search(rf"^\| `?{room}`? \|", text, re.MULTILINE), f"{room} has no line in the table of rooms"


def walks() -> dict[str, list[str]]:
    """The numbered steps of each walk: the names of what is called, in the order of the calls."""
    sections = re.split(r"^### ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {
        section.splitlines()[0]: re.findall(r"^\d+\. `(factlens[\w.]*)`", section, re.MULTILINE) for section in sections
    }


@pytest.mark.parametrize("walk", ["A trace", "An edit", "A judgement", "A click"])
def test_a_walk_climbs_no_stairs(walk: str) -> None:
    steps = walks()[walk]
    assert len(steps) >= 5
    storeys = []
    for step in steps:
        parts, known = step.split("."), modules()[0]
        module = next(".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in known)
        thing = import_module(module)
        for name in parts[module.count(".") + 1 :]:
            thing = getattr(thing, name)
        storeys.append(LEVEL[part_of(module)])
    assert storeys == sorted(storeys, reverse=True), list(zip(steps, storeys, strict=True))


def test_a_shortcut_is_left_out() -> None:
    assert needed({("a", "b"), ("b", "c"), ("a", "c")}) == {("a", "b"), ("b", "c")}


def test_the_storeys_have_no_empty_room() -> None:
    parts = {part_of(module) for module in modules()[0]}
    assert {part for storey in STOREYS for part in storey} <= parts | {"__main__", "__init__"}
