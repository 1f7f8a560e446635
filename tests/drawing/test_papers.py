"""Figures for papers: exact sizes, letters that are letters, nothing that overlaps, the same bytes every time."""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest

import factlens as fl
from factlens.drawing.exporting import figure_file
from factlens.drawing.look import PAPER, Look, letters_from
from factlens.errors import ArgumentError
from tests.drawing.figures import FIGURES, RESULTS, answers, collisions, comparison, report, texts_of
from tests.tracing.made import made_trace

SMALL = made_trace(kinds=("mlp",), layers=4)
MM = 25.4


def chunks(png: bytes) -> dict[bytes, bytes]:
    parts, at = {}, 8
    while at < len(png):
        size, name = struct.unpack(">I4s", png[at : at + 8])
        parts[name] = png[at + 8 : at + 8 + size]
        at += 12 + size
    return parts


@pytest.mark.parametrize(("width", "height"), [(88, None), (180, 60.5), (57.3, 44)])
def test_sizes_are_exact_in_every_file(width: float, height: float | None, tmp_path: Path) -> None:
    size = {"width_mm": width, "height_mm": height}
    down = SMALL.plot(**{**PAPER, **size}).get_figheight() * MM if height is None else height
    pdf = SMALL.save_figure(tmp_path / "a.pdf", **size).read_bytes()
    (box,) = re.findall(rb"/MediaBox \[ *([^\]]*)\]", pdf)
    assert [float(end) * MM / 72 for end in box.split()] == pytest.approx([0, 0, width, down], abs=0.05)
    svg = ElementTree.fromstring(SMALL.save_figure(tmp_path / "a.svg", **size).read_text())
    sides = [str(svg.get(side)) for side in ("width", "height")]
    assert [float(side.removesuffix("pt")) * MM / 72 for side in sides] == pytest.approx([width, down], abs=0.05)
    png = chunks(SMALL.save_figure(tmp_path / "a.png", dpi=300, **size).read_bytes())
    assert struct.unpack(">II", png[b"IHDR"][:8]) == (round(width / MM * 300), round(down / MM * 300))
    assert struct.unpack(">IIB", png[b"pHYs"]) == (11811, 11811, 1)


def test_letters_are_letters_in_fonts_that_come_along(tmp_path: Path) -> None:
    pdf = SMALL.save_figure(tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf, "TrueType, embedded"
    assert b"/Subtype /Type3" not in pdf
    assert re.search(rb"/FontName /[\w+]*DejaVuSans", pdf)
    svg = ElementTree.fromstring(SMALL.save_figure(tmp_path / "a.svg", font_size=6).read_text())
    words = {"".join(text.itertext()): text.get("style", "") for text in svg.iter() if text.tag.endswith("}text")}
    assert {"Space*", "downtown", "layer", "p(Seattle)"} <= set(words)
    assert "DejaVu Sans" in words["layer"]
    assert re.search(r"\b6px", words["layer"])


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    for ending in ("pdf", "svg", "png"):
        first = SMALL.save_figure(tmp_path / f"a.{ending}").read_bytes()
        assert SMALL.save_figure(tmp_path / f"b.{ending}").read_bytes() == first
        assert b"CreationDate" not in first
        assert b"dc:date" not in first
    assert SMALL.caption().encode() in (tmp_path / "a.svg").read_bytes()
    assert SMALL.caption().encode() in chunks((tmp_path / "a.png").read_bytes())[b"iTXt"]


def test_files_are_as_asked_whatever_matplotlib_is_set_to(tmp_path: Path) -> None:
    plain = SMALL.save_figure(tmp_path / "a.svg").read_bytes()
    ours = {"savefig.bbox": "tight", "svg.fonttype": "path", "savefig.transparent": True, "font.size": 20}
    with matplotlib.rc_context(ours):
        assert SMALL.save_figure(tmp_path / "b.svg").read_bytes() == plain
        assert {name: matplotlib.rcParams[name] for name in ours} == ours, "and the user's settings stay"


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_overlaps_in_one_column(name: str) -> None:
    figure = FIGURES[name](width_mm=88, font="DejaVu Sans", font_size=7, palette="safe", letters=True)
    assert figure.get_figwidth() * MM == pytest.approx(88)
    assert collisions(figure) == []
    texts = texts_of(figure)
    assert min(text.size for text in texts) >= 5, "journals ask for at least five points"
    letters = [text.words for text in texts if re.fullmatch("[a-z]", text.words) and text.size > 7]
    assert letters == letters_from(True, len(letters))


@pytest.mark.parametrize("name", ["trace", "deep trace", "lines", "comparison", "heads", "sequential"])
def test_nothing_overlaps_across_a_page_in_grey(name: str) -> None:
    figure = FIGURES[name](width_mm=180, font="DejaVu Sans", font_size=7, palette="grey", letters="A")
    assert collisions(figure) == []
    assert "A" in [text.words for text in texts_of(figure)]


def test_long_names_and_other_scripts_fit() -> None:
    tokens = ("東京", "$x_1$", " Donaudampfschiff", " of", " 𝒜" * 3, "\u05d0\u05d1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of letters that the font lacks
        assert collisions(made_trace(tokens=tokens).plot(width_mm=88, font_size=7)) == []


def test_a_plot_is_matplotlibs_and_looks_as_it_did_without_options() -> None:
    figure = SMALL.plot()
    panel, bar = figure.axes
    assert (panel.get_xlabel(), bar.get_ylabel()) == ("layer", "p(Seattle)")
    assert panel.get_images()[0].get_cmap().name == "Greens"
    assert SMALL.plot(palette="safe").axes[0].get_images()[0].get_cmap().name == "factlens safe"
    assert SMALL.plot(width_mm=88).get_supxlabel() == "", "what the caption says does not stand in the figure"


def test_rows_need_room() -> None:
    with pytest.raises(ArgumentError, match=r"height_mm must be at least \d+ for 1 row of panels with letters of 7 p"):
        SMALL.plot(width_mm=88, height_mm=20, font_size=7)
    assert Look(height_mm=50).inches(4, 2) == pytest.approx((100 / MM, 50 / MM))
    assert Look(width_mm=180).inches(4, 4, most=2) == pytest.approx((180 / MM, 2))
    assert letters_from("Y", 3) == ["Y", "Z", "Z2"]


def test_a_font_that_is_not_there_is_refused_with_others(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"font must be one that matplotlib can load, not 'Dejavu Sanz'\. .*DejaVu"):
        SMALL.plot(font="Dejavu Sanz")
    with pytest.raises(ArgumentError, match=r"path must be a file that ends in \.pdf, \.svg or \.png, not '.*a\.eps'"):
        SMALL.save_figure(tmp_path / "a.eps")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_is_a_file(name: str) -> None:
    assert figure_file(RESULTS[name], "pdf", {"font_size": 6}).startswith(b"%PDF-1.")


def test_results_have_their_own_options() -> None:
    assert len(comparison().plot("mlp").axes) == 6
    with pytest.raises(fl.FactlensError, match="no kind 'head' in both traces"):
        comparison().plot("head")
    (axes,) = report().plot(["rewrite_magnitude"], palette="grey", width_mm=88).axes
    assert [bar.get_hatch() or "" for bar in axes.patches] == ["", "", "///", "..."]
    bars = answers().plot().axes[0].containers
    assert [[bar.get_width() for bar in one] for one in bars] == [[0.93, 0.001, 0.02, 0.01], [0.01, 0.97, 0.005, 0.01]]
