"""One table of sites: what each of them answers, and that nothing else in the package knows one by its name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import factlens
from factlens.errors import FactError
from factlens.tracing.cells import cells_of_row
from factlens.tracing.runs import SOURCES
from factlens.tracing.sites import KINDS, SITES, expand_kinds, find_site, read_kind, site_of

PACKAGE = Path(factlens.__file__).parent
NAMED = (*(name for name in SITES if name != "head"), "head.3")


@pytest.mark.parametrize("name", NAMED)
def test_a_site_answers_for_itself(name: str) -> None:
    site = site_of(name)
    assert site.name == name
    assert site.source is None or site.source in SOURCES
    assert site_of(site.family).windowed or site.family == "state"
    assert site.severed == name.startswith("severed")
    assert site.windowed == (name in ("mlp", "attn"))
    assert site.restores_state == (name == "state" or site.severed)
    assert read_kind(name) == name


def test_titles_families_and_heads() -> None:
    assert [site_of(name).title for name in NAMED] == [
        "Hidden state",
        "MLP",
        "Attention",
        "Hidden state, MLP severed",
        "Hidden state, attention severed",
        "Attention head 3",
    ]
    assert [site_of(name).family for name in NAMED] == ["state", "mlp", "attn", "mlp", "attn", "attn"]
    assert [site_of(name).head for name in NAMED] == [None] * 5 + [3]
    assert [name for name in NAMED if site_of(name).edited] == ["mlp"]


def test_which_cells_a_row_has() -> None:
    """Layers that are set, by the cell's layer, as the paper has them; window 2 of four layers."""
    rows = {name: {c.layer: (c.joins, list(c.layers)) for c in cells_of_row([name], 0, 2, 4)} for name in NAMED}
    assert rows["mlp"] == rows["attn"] == {0: (0, [0]), 1: (0, [0, 1]), 2: (1, [1, 2]), 3: (2, [2, 3])}
    assert rows["head.3"] == {layer: (layer, [layer]) for layer in range(4)}
    assert rows["state"] == {layer: (layer + 1, []) for layer in range(3)}
    assert rows["severed_mlp"] == rows["severed_attn"] == {0: (1, [1, 2, 3]), 1: (2, [2, 3]), 2: (3, [3])}


def test_heads_are_written_out_and_nothing_else_has_numbers() -> None:
    assert expand_kinds(["head", "mlp", "head.1"], 2) == ("head.0", "head.1", "mlp")
    for kind in ("mlp.1", "head.", "head.x", "head.-1", "heads.1", "", "state.head"):
        assert find_site(kind) is None
        with pytest.raises(FactError, match=r"kinds must be some of state, mlp, attn, severed_mlp, .*head, head\.0"):
            expand_kinds([kind], 2)
    with pytest.raises(ValueError, match="no kind of state"):
        read_kind("head")
    with pytest.raises(KeyError):
        site_of("neurons")


def test_sites_are_read_without_torch() -> None:
    code = "import sys, factlens.tracing.sites; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


#: Rooms that know the modules of a block, some of which have the names of sites, and no sites.
OTHERS = {"editing", "models"}
#: Strings elsewhere that look like a site's name, each with its reason.
REASONS = {
    "drawing/colours": {"attn", "mlp", "state"},  # colours by family
    "reproduce/fig2_summary": {"attn", "mlp", "state"},  # the sites that the figure is about; so the sweep's
    "reproduce/sweep_summary": {"mlp", "state"},
    "reproduce/layer_sweep": {"state"},  # a default; so below
    "tracing/averages": {"mlp"},
    "tracing/result": {"mlp"},
    "tracing/subject": {"mlp"},  # what edits change
    "tracing/cell_figure": {"head"},  # what a row of its table is of
    "tracing/estimate_quality": {"attn", "mlp", "state"},  # what was measured of some
    "widgets/profile": {"attn", "mlp"},  # the two sites that the paper speaks of, shown where nothing is pinned
    "widgets/wire": {"head"},  # a field's name
}


def names_in(source: str) -> Iterator[str]:
    """Strings in the code, docstrings aside, that are a site's name or begin like one."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    yield from (
        node.value
        for node in texts
        if id(node) not in docs and (node.value in SITES or re.match(r"head\.|severed", node.value))
    )


def test_nothing_else_knows_a_site_by_its_name() -> None:
    known = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).with_suffix("")
        if part.parts[0] not in OTHERS and (names := set(names_in(path.read_text("utf-8")))):
            known[part.as_posix()] = names
    assert known.pop("tracing/sites") >= {*KINDS, "severed_mlp"}
    assert known == REASONS, "ask factlens.tracing.sites, or give the reason here"


def test_the_page_knows_no_site_by_its_name() -> None:
    # "state" is also the name of a trait.
    pattern = re.compile(r"""["'`](mlp|attn|severed\w*|head\..*)["'`]|startsWith\(["'`](head|severed)""")
    sources = PACKAGE.parent / "js" / "src"
    lines = {
        f"{path.relative_to(sources)}: {line.strip()}"
        for path in sources.rglob("*.ts")
        for line in path.read_text("utf-8").splitlines()
        if pattern.search(line)
    }
    assert lines == set()
    assert pattern.search('if (kind === "severed_mlp") return "mlp";')
