"""Pictures of a trace: shades, titles, what was measured, and nothing that sticks out or is markup."""

from __future__ import annotations

import dataclasses
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import factlens as fl
from factlens.tracing import Trace
from tests.drawing.read_svg import cells, drawn, notes, texts
from tests.tracing.made import NOISE, made_trace


def test_a_cell_has_the_shade_of_its_share() -> None:
    trace = made_trace(layers=3)
    trace.samples.values[0, 0] = np.array([0.1, 0.5, 0.9])[:, None]
    trace.samples.values[1, 5] = np.array([-3, 0.3, 7])[:, None]
    state, mlp, attn = cells(trace._svg())
    assert [state[0, layer] for layer in range(3)] == [("#ffffff", "1"), ("#aa93c7", "1"), ("#54278f", "1")]
    assert [mlp[5, layer] for layer in range(3)] == [("#ffffff", "1"), ("#bfd9cd", "1"), ("#006837", "1")]
    assert set(attn) == {(token, layer) for token in range(6) for layer in range(3)}
    said = notes(trace._svg())
    assert "Space*, layer 2, hidden state: " in "\n".join(said)
    assert "downtown, layer 2, MLP, window of 3 layers: 7" in said
    assert "downtown, layer 0, MLP, window of 3 layers: −3" in said
    assert texts(trace._svg())[:2] == [
        "The Space Needle is in downtown → Seattle",
        "p(Seattle): clean 90%, subject corrupted 10% · 3 noise samples, seed 1 · made up",
    ]


def test_colours_run_from_corrupted_to_clean_also_where_clean_is_lower() -> None:
    trace = made_trace(layers=3, high=0.2, low=0.6, kinds=("state",))
    trace.samples.values[0, 0] = np.array([0.6, 0.4, 0.2])[:, None]
    (panel,) = cells(trace._svg())
    assert [panel[0, layer][0] for layer in range(3)] == ["#ffffff", "#aa93c7", "#54278f"]
    shown = texts(trace._svg())
    assert shown[shown.index("0.6") + 1] == "0.2"
    figure = trace.plot()
    figure.canvas.draw()
    image = figure.axes[0].get_images()[0]
    shades = image.to_rgba(np.array([0.6, 0.4, 0.2])).sum(-1)
    assert shades[0] > shades[1] > shades[2], "dark is clean"
    assert trace.plot(effects=True).axes[0].get_images()[0].get_clim() == pytest.approx((-0.4, 0))


def test_a_fact_without_a_total_effect_is_drawn_pale() -> None:
    trace = made_trace(high=0.5, low=0.5)
    trace.low_samples[:] = 0.5
    assert {colour for panel in cells(trace._svg()) for colour, _ in panel.values()} == {"#ffffff"}
    trace.plot().canvas.draw()


def test_what_was_not_computed_is_grey_and_an_estimate_is_no_full_cell() -> None:
    bare = made_trace(computed=0.5)
    (panel, *_), svg = cells(bare._svg()), bare._svg()
    assert {panel[token, 0] for token in (3, 4, 5)} == {("#dfe3e8", "1")}
    assert ("#dfe3e8", "1") not in {panel[token, 0] for token in (0, 1, 2)}
    assert "in, layer 7, hidden state: not computed" in notes(svg)
    assert "incomplete: grey cells were not computed" in texts(svg)

    guessed = made_trace(computed=0.5, estimated=True, kinds=("state", "severed_mlp"))
    guessed.estimate.values[1] = np.nan
    guessed.estimate.values[0, 3, 0] = 0.9
    svg = guessed._svg()
    state, severed = cells(svg)
    assert state[3, 0] == ("#54278f", "0.4")
    assert {thickness for (token, _), (_, thickness) in state.items() if token >= 3} == {"0.4"}
    assert {thickness for (token, _), (_, thickness) in state.items() if token < 3} == {"1"}
    assert severed[3, 0] == ("#dfe3e8", "1")
    assert "is, layer 0, hidden state: not computed, estimated as 0.9" in notes(svg)
    assert "is, layer 0, hidden state, MLP severed: not computed" in notes(svg)
    assert "incomplete: grey cells were not computed; a stripe is an estimate from gradients" in texts(svg)

    whole = made_trace(estimated=True)
    assert "stripe" not in whole._svg()
    assert "incomplete" not in whole._svg()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"high": 0.9, "low": 0.004}, "p(Seattle): clean 90%, subject corrupted 0.4% · "),
        ({"high": 0.9, "low": 0.0004}, "p(Seattle): clean 90%, subject corrupted <0.1% · "),
        (
            {"metric": "log_probability", "high": -0.1, "low": -9.0},
            "log p(Seattle): clean −0.10, subject corrupted −9.00",
        ),
        (
            {"metric": "logit_difference", "contrast": " Paris", "contrast_ids": (3,), "high": 4.0, "low": -1.5},
            "logit difference, Seattle − Paris: clean 4.00, subject corrupted −1.50",
        ),
        ({"corruption": fl.Replacement("Louvre"), "noise_level": None}, "· subject replaced by Louvre · made up"),
        ({"samples": 1}, "· 1 noise sample, seed 1 · made up"),
        ({"edits": ("one", "two")}, "made up, edited 2 ×"),
    ],
)
def test_a_picture_says_what_was_measured_and_how(fields: dict[str, Any], expected: str) -> None:
    trace = made_trace(**fields)
    trace.low_samples[:] = fields.get("low", 0.1)
    assert expected in texts(trace._svg())[1]
    if trace.metric != "probability":
        assert "%" not in "".join(texts(trace._svg())).replace("95 %", "")
    label = next(axes.get_ylabel() for axes in trace.plot().axes if axes.get_ylabel())
    assert label.replace("\n", ", ") == trace.measured


def test_every_kind_has_a_title_and_a_colour(model: fl.Model) -> None:
    kinds = ("state", "mlp", "attn", "severed_mlp", "severed_attn", "head.0", "head.11")
    names = [
        "hidden state",
        "MLP, window of 3 layers",
        "attention, window of 3 layers",
        "hidden state, MLP severed",
        "hidden state, attention severed",
        "attention head 0",
        "attention head 11",
    ]
    trace = made_trace(kinds=kinds, high=1.0, low=0.0)
    trace.samples.values[:, 0, 0], trace.low_samples[:] = 1, 0
    svg = trace._svg()
    assert [text for text in texts(svg) if text in names] == names
    purple, green, red = "#54278f", "#006837", "#a50f15"
    assert [panel[0, 0][0] for panel in cells(svg)] == [purple, green, red, green, red, red, red]
    figure = trace.plot()
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.get_xlabel() == "layer"]
    assert [panel.get_title() for panel in panels] == names
    colours = ["Purples", "Greens", "Reds", "Greens", "Reds", "Reds", "Reds"]
    assert [panel.get_images()[0].get_cmap().name for panel in panels] == colours


def test_many_kinds_fill_several_rows() -> None:
    trace = made_trace(kinds=[f"head.{i}" for i in range(12)], layers=12)
    root = ElementTree.fromstring(trace._svg())
    assert float(root.get("width")) < 1300
    places = [group.get("transform") for group in root.iter() if str(group.get("transform")).startswith("translate(")]
    places = [place for place in places if "scale" not in place]
    assert len(set(places)) == 12
    assert len({place.split()[0] for place in places}) < 12, "several in a column"
    # The rows of each line of panels are labelled, and the one scale is drawn once.
    lines = len({place.split()[1] for place in places})
    assert texts(trace._svg()).count("Needle*") == lines > 1
    assert len([text for text in texts(trace._svg()) if text == "0.9"]) == 1
    figure = trace.plot()
    figure.canvas.draw()
    assert figure.get_figwidth() < 16
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("layers", [1, 2, 5, 48, 100])
def test_nothing_sticks_out_of_the_picture(layers: int) -> None:
    trace = made_trace(layers=layers, tokens=["A very, very long subject token", " 東京", "\n", "", " x"])
    root = ElementTree.fromstring(trace._svg())
    width, height = map(float, str(root.get("viewBox")).split()[2:])
    for element in root.findall(".//{*}text"):
        x, y, size = (float(str(element.get(name))) for name in ("x", "y", "font-size"))
        # Half the size is about the mean width of a character.
        length = 0.5 * size * len(element.text or "")
        left = {"start": x, "middle": x - length / 2, "end": x - length}[str(element.get("text-anchor"))]
        assert left >= 0
        assert left + length <= width, element.text
        assert 0 <= y <= height
    assert {"A very, very long subject token", "東京*", "⏎*", "␣", "x"} <= set(texts(trace._svg()))


def test_a_long_prompt_is_cut_and_the_answer_is_not() -> None:
    fact = fl.Fact("word " * 100 + "{} is", "Space Needle")
    title = texts(made_trace(fact=fact)._svg())[0]
    assert title.startswith("word word")
    assert "…" in title
    assert title.endswith("Space Needle is → Seattle")
    assert len(title) < 150


def test_the_picture_of_a_large_model_is_small() -> None:
    # Random grids: no two neighbours alike, which is the worst case.
    trace = made_trace(tokens=[f" token{i}" for i in range(20)], layers=48, computed=0.5, estimated=True)
    svg = trace._svg()
    assert len(svg.encode()) < 100_000
    assert "token3, MLP, window of 3 layers: most at layer " in "\n".join(notes(svg))
    assert "token13, MLP, window of 3 layers: not computed" in notes(svg)
    best = int(trace.scores.sel(kind="mlp").values[3].argmax())
    assert f"token3, MLP, window of 3 layers: most at layer {best}: " in "\n".join(notes(svg))


def test_the_picture_is_xml_and_nothing_in_it_is_markup(model: fl.Model) -> None:
    nasty = "<img src=x onerror='alert(1)'> \x00\u202e & ]]> --> \" $x_{$ "
    fact = fl.Fact(nasty + "{} is", "Eiffel Tower")
    trace = fl.trace(model, fact, samples=2, corruption=NOISE)
    trace = dataclasses.replace(
        trace, model=nasty, answer=nasty, metric="logit_difference", contrast=nasty, corruption=fl.Replacement(nasty)
    )
    svg = trace._svg()
    assert set(drawn(svg)) == {"svg", "g", "path", "rect", "text", "title"}
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert {name for elements in drawn(svg).values() for element in elements for name in element.attrib} == {
        *("viewBox", "width", "height", "style", "role", "aria-label", "font-family", "font-size", "font-weight"),
        *("x", "y", "d", "fill", "stroke", "stroke-width", "transform", "text-anchor"),
    }
    assert "url(" not in svg
    # In matplotlib, nothing is mathematics either.
    trace.plot().savefig("/dev/null", format="svg")


def test_plot(trace: Trace) -> None:
    figure = trace.plot()
    panels = [axes for axes in figure.axes if axes.get_images() and axes.get_xlabel() == "layer"]
    assert len(panels) == 3
    none = trace.within_noise.sel(kind="mlp").values
    assert 0 < none.mean() < 1
    shown = np.where(none, trace.low, trace.scores.sel(kind="mlp").values)
    np.testing.assert_allclose(panels[1].get_images()[0].get_array(), shown)
    # The total effect of this model lies within the noise, which the scale spans then.
    lower, upper = trace.total_interval()
    assert trace.total_within_noise
    end = trace.low + np.sign(trace.total_effect) * (upper - lower) / 2
    assert panels[1].get_images()[0].get_clim() == pytest.approx((trace.low, end))
    np.testing.assert_allclose(
        trace.plot(effects=True).axes[1].get_images()[0].get_array(),
        np.where(none, 0, trace.effects.sel(kind="mlp").values),
    )
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [
        trace.label(i) for i in range(len(trace.tokens))
    ]


@pytest.mark.parametrize("effects", [False, True])
def test_plot_shows_estimates_as_small_marks(effects: bool) -> None:
    trace = made_trace(computed=0.5, estimated=True)
    figure = trace.plot(effects=effects)
    assert "small squares: estimated" in figure.get_supxlabel()
    (marks,) = figure.axes[0].collections
    np.testing.assert_array_equal(marks.get_offsets(), [(layer, token) for token in (3, 4, 5) for layer in range(8)])
    guess = trace.estimate.values[0, 3:].ravel() - (trace.low if effects else 0)
    np.testing.assert_allclose(marks.get_array(), guess)
    assert marks.get_clim() == figure.axes[0].get_images()[0].get_clim()
    assert "small squares" not in made_trace(computed=0.5).plot().get_supxlabel()
    assert "incomplete" not in made_trace(estimated=True).plot().get_supxlabel()
