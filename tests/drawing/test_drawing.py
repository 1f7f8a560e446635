"""The ways to draw, from a description alone: no model, no trace."""

from __future__ import annotations

import importlib.util
import pickle
import struct
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter

import factlens as fl
from factlens.drawing import colours, numbers
from factlens.drawing.figure import new_figure
from factlens.drawing.grid import GridPicture, Panel, Row
from factlens.drawing.grid_figure import grid_figure
from factlens.drawing.grid_svg import grid_svg
from factlens.drawing.html import table
from factlens.drawing.svg import fit, length
from factlens.drawing.text import grid_text
from factlens.errors import FactlensError
from tests import saved
from tests.drawing.read_svg import cells, notes, texts

NAN = float("nan")
PICTURE = GridPicture(
    title="The tower is",
    ending=" → tall",
    subtitle="by hand",
    alt="a picture",
    rows=(Row("The", faint=True), Row("tower", strong=True), Row("東")),
    panels=(Panel("MLP", "MLP, window of 2 layers", "mlp"), Panel("novelty", "novelty", "something else")),
    values=np.array([[[0, 1], [0.25, 0.5], [NAN, NAN]], [[1, 1], [1, 1], [1, 1]]]),
    low=0.0,
    high=1.0,
    scale="p(tall)",
    estimates=np.array([[[1, 1], [1, 1], [0.75, NAN]], [[0, 0], [0, 0], [0, 0]]]),
    complete=False,
)


def test_every_way_to_draw_shows_the_same() -> None:
    svg = grid_svg(PICTURE)
    mlp, novelty = cells(svg)
    assert mlp[0, 0] == ("#ffffff", "1")
    assert mlp[0, 1] == ("#006837", "1")
    assert mlp[1, 1] == (colours.shade((0, 104, 55), 0.5), "1")
    assert mlp[2, 0] == (colours.shade((0, 104, 55), 0.75), "0.4")
    assert mlp[2, 1] == (colours.LINE, "1")
    assert set(novelty.values()) == {("#08306b", "1")}
    assert notes(svg)[3:6] == [
        "tower*, layer 1, MLP, window of 2 layers: 0.5",
        "東, layer 0, MLP, window of 2 layers: not computed, estimated as 0.75",
        "東, layer 1, MLP, window of 2 layers: not computed",
    ]
    figure = grid_figure("Drawing", PICTURE, 3, 2, beside=1)
    images = [axes.get_images()[0] for axes in figure.axes[:2]]
    np.testing.assert_array_equal(images[0].get_array().filled(NAN), PICTURE.values[0])
    assert [image.get_cmap().name for image in images] == ["Greens", "Blues"]
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_offsets(), [[0, 2]])
    assert not len(figure.axes[1].collections[0].get_offsets())
    assert grid_text(PICTURE).splitlines() == [
        "         MLP    nove",
        "  The      ██   ████",
        "tower*   ░░▒▒   ████",
        "   東           ████",
        "         0 1    0 1 ",
    ]


def test_rows_that_matter_are_bold_and_those_that_do_not_are_faint() -> None:
    elements = {element.text: element for element in ElementTree.fromstring(grid_svg(PICTURE)).findall(".//{*}text")}
    look = {
        row.label: (elements[row.label].get("font-weight"), elements[row.label].get("fill")) for row in PICTURE.rows
    }
    assert look == {"The": ("400", colours.FAINT), "tower*": ("600", colours.INK), "東": ("400", colours.INK)}


def test_a_scale_may_run_down_or_be_a_point() -> None:
    down = replace(PICTURE, low=1.0, high=0.0)
    np.testing.assert_array_equal(down.shares(np.array([1.0, 0.25, 0.0])), [0, 0.75, 1])
    assert grid_figure("Drawing", down, 3, 2, beside=1).axes[0].get_images()[0].get_cmap().name == "Greens_r"
    assert set(replace(PICTURE, high=0.0).shares(PICTURE.values)[1].flat) == {0.0}


def test_intervals_are_told_where_there_are_any() -> None:
    bounds = np.stack([PICTURE.values - 0.125, PICTURE.values + 0.125])
    bounds[:, 0, 0, 1] = NAN
    averaged = replace(PICTURE, bounds=bounds, number=numbers.fixed, missing="no such token", estimates=None)
    assert averaged.said_of(0, 1, 0) == "0.250 [0.125, 0.375]"
    assert averaged.said_of(0, 0, 1) == "1.000"
    assert averaged.said_of(0, 2, 0) == "no such token"


def test_a_roomy_picture_is_as_wide_as_it_must_be() -> None:
    wide = replace(
        PICTURE,
        panels=PICTURE.panels[:1],
        values=np.tile(PICTURE.values[:1, :, :1], 300),
        estimates=None,
        footnotes=("the first", "the second"),
        complete=True,
    )
    close, roomy = (ElementTree.fromstring(grid_svg(one)) for one in (wide, replace(wide, roomy=True)))
    assert float(str(close.get("width"))) < 1700
    assert float(str(roomy.get("width"))) > 300 * 22
    assert len(notes(grid_svg(wide))) == 3
    assert len(notes(grid_svg(replace(wide, roomy=True)))) == 900
    assert texts(grid_svg(wide))[-2:] == ["the first", "the second"]


def test_numbers() -> None:
    assert [numbers.brief(value, True) for value in (0, 0.0004, 0.004, 0.9)] == ["0%", "<0.1%", "0.4%", "90%"]
    assert numbers.brief(-1.5, False) == "−1.50"
    assert [numbers.precise(value) for value in (-0.12345, 1234.5)] == ["−0.123", "1.23e+03"]
    assert [numbers.fixed(value) for value in (None, 0.5)] == ["–", "0.500"]
    assert [numbers.signed(value) for value in (0.5, -0.5)] == ["+0.500", "-0.500"]
    assert [numbers.tabular(value, False) for value in (NAN, 1.2345, 12.345)] == ["–", "1.23", "12.3"]
    assert numbers.tabular(0.1234, True) == "12.3"


def test_shades_run_from_white_to_the_darkest_and_no_further() -> None:
    dark = colours.family("state").dark
    assert [colours.shade(dark, share) for share in (-1, 0, 1, 2)] == ["#ffffff", "#ffffff", "#54278f", "#54278f"]
    assert colours.shade(dark, NAN) == colours.LINE


def test_a_text_is_cut_in_its_middle() -> None:
    words = "a rather long line of words"
    assert fit(words, 10, length(words, 10)) == words
    cut = fit(words, 10, 80)
    assert cut.startswith("a rath")
    assert cut.endswith("words")
    assert length(cut, 10) <= 80


def test_a_table_escapes_its_cells() -> None:
    assert table(("<", "a"), [("b", "&")], under="then → now", left=True) == (
        "<table><thead><tr><th>&lt;</th><th>a<br>then → now</th></tr></thead>"
        "<tbody><tr><th style='text-align:left'>b</th><td>&amp;</td></tr></tbody></table>"
    )


def test_figures_without_matplotlib_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr("factlens.extras.find_spec", lambda name: None if name == "matplotlib" else there(name))
    made = saved.made_average()
    one = fl.Report(saved.report().outcomes[:2], 2, {})
    for draw in (lambda: new_figure("Drawing", 1, 1), saved.trace().plot, made.plot, made.plot_lines, one.plot):
        with pytest.raises(FactlensError, match=r"^Drawing.* needs matplotlib: pip install 'factlens\[plot\]'\.$"):
            draw()


def test_a_notebook_shows_a_figure_that_pyplot_has_never_heard_of() -> None:
    latin = replace(PICTURE, rows=(Row("The"), Row("tower"), Row("is")))
    figure = grid_figure("Drawing", latin, 3, 2, beside=1)
    data, metadata = DisplayFormatter().format(figure)
    width, height = figure.get_size_inches() * figure.dpi
    assert metadata["image/png"] == {"width": round(width), "height": round(height)}
    assert struct.unpack(">II", data["image/png"][16:24]) == (round(2 * width), round(2 * height))
    again = pickle.loads(pickle.dumps(figure))
    assert again._repr_png_()[0][:8] == b"\x89PNG\r\n\x1a\n"
