"""Pictures of an average: heatmaps on one scale, and lines with their confidence bands."""

from __future__ import annotations

import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

import factlens as fl
from factlens.tracing import ROLES, Skipped
from tests.drawing.read_svg import cells
from tests.tracing.averaged import MIDDLE, facts_about, made


def test_heatmaps_have_one_scale_from_zero(average: fl.Average) -> None:
    figure = average.plot()
    panels = [axes for axes in figure.axes if axes.get_images() and axes.get_xlabel() == "layer"]
    assert [panel.get_title() for panel in panels] == ["hidden state", "MLP, window of 3 layers"]
    for panel, kind, colours in zip(panels, average.kinds, ("Purples", "Greens"), strict=True):
        (image,) = panel.get_images()
        np.testing.assert_allclose(image.get_array(), average.effects.sel(kind=kind).values)
        assert image.get_clim() == (0, float(average.effects.max()))
        assert image.get_cmap().name == colours
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels == [role.capitalize() for role in ROLES]
    assert figure.get_suptitle().startswith("Average indirect effects over 3 facts\nmade by hand, ATE 0.600 [0.103, ")


def test_lines_have_confidence_bands(average: fl.Average) -> None:
    figure = average.plot_lines(0.5)
    assert len(figure.axes) == 2
    bounds = average.interval(0.5)
    for panel, kind in zip(figure.axes, average.kinds, strict=True):
        lines = panel.get_lines()[1:]  # the first is the zero line
        assert [line.get_label() for line in lines] == [role.capitalize() for role in ROLES]
        for role, line, band in zip(ROLES, lines, panel.collections, strict=True):
            np.testing.assert_allclose(line.get_ydata(), average.effects.sel(kind=kind, role=role).values)
            expected = bounds.sel(kind=kind, role=role).values
            heights = [path.vertices[:, 1] for path in band.get_paths()]
            if np.isnan(expected).any():
                assert heights == []
            else:
                assert (heights[0].min(), heights[0].max()) == pytest.approx((expected.min(), expected.max()))
    assert "50% intervals" in figure.axes[0].get_ylabel()
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_many_kinds_fill_several_rows(model: fl.Model) -> None:
    found = fl.average_over(model, facts_about("Paris", "Seattle"), samples=2, kinds=("state", "severed_mlp", "head"))
    assert len(found.kinds) == 6
    assert len(found.plot_lines().axes) == 6
    panels = [axes for axes in found.plot().axes if axes.get_xlabel() == "layer"]
    assert [panel.get_title() for panel in panels][-1] == "attention head 3"
    assert all(panel.xaxis.get_tick_params()["labelbottom"] for panel in panels)
    assert "attention head 3" in found._svg()
    four = fl.average_over(model, facts_about("Paris"), samples=2, kinds=("head",)).plot_lines()
    assert len(four.axes) == 4


def test_negative_effects_have_no_shade() -> None:
    found = fl.average([made((0, 1), 0.9, 0.1, [-0.05, -0.02])])
    assert found.plot().axes[0].get_images()[0].get_clim()[0] == 0
    assert {colour for panel in cells(found._svg()) for colour, _ in panel.values()} == {"#ffffff", "#dfe3e8"}


def test_the_picture_is_xml_and_nothing_in_it_is_markup(average: fl.Average) -> None:
    nasty = "<img src=x onerror='alert(1)'> \x00\u202e & $x^$"
    found = replace(average, model=nasty, skipped=(Skipped(average.facts[0], nasty * 9),))
    svg = found._svg()
    root = ElementTree.fromstring(svg)
    assert {element.tag.rsplit("}")[-1] for element in root.iter()} == {*("svg", "g", "path", "rect", "text", "title")}
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    titles = [element.text for element in root.iter() if element.tag.endswith("}title")]
    assert len(titles) == 2 * 6 * 2
    assert titles[2] == f"{MIDDLE}, layer 0, hidden state: 0.500 [-2.888, 3.888]"
    assert any("1 left out: <img" in (element.text or "") for element in root.iter())
    # Nor is anything in the figure mathematics.
    replace(average, model="$x^$").plot().savefig(io.BytesIO())
