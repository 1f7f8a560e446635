"""The heatmap's traits: pins, ranges, comparison; the layer profile beside it; what a page may say to it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import traitlets as t

import factlens as fl
from factlens.errors import FactError
from factlens.tracing import Comparison, Trace
from factlens.widgets.profile import LayerProfile, round_ticks
from factlens.widgets.wire import comparison_of, frame_of
from tests.support import small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")
CELL = {"kind": "mlp", "token": 4, "layer": 1}


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def trace(model: fl.Model) -> Trace:
    return fl.trace(model, FACT, samples=3, window=2)


@pytest.fixture
def heatmap(trace: Trace) -> Iterator[fl.Heatmap]:
    heatmap = fl.Heatmap(trace)
    yield heatmap
    heatmap.close()


def say(heatmap: fl.Heatmap, name: str, **payload: object) -> None:
    heatmap._received(heatmap, {"type": "gesture", "id": 1, "name": name, **payload}, [])


def test_pins_and_ranges_from_the_page_and_from_code_are_the_same(heatmap: fl.Heatmap) -> None:
    say(heatmap, "pins", cells=[CELL, CELL])
    say(heatmap, "range", layers=[1, 2], tokens=None)
    assert heatmap.pins == [CELL]  # once is enough
    assert (heatmap.layer_range, heatmap.token_range) == ((1, 2), None)
    heatmap.pins, heatmap.token_range = [{**CELL, "kind": "attn"}], (0, 3)
    assert heatmap.pins == [{**CELL, "kind": "attn"}]
    with pytest.raises(t.TraitError, match="no cell"):
        heatmap.pins = [{**CELL, "layer": 99}]
    with pytest.raises(t.TraitError, match="no range of layers"):
        heatmap.layer_range = (2, 99)
    with pytest.raises(t.TraitError, match="no range of tokens"):
        heatmap.token_range = (2, 1)
    with pytest.raises(t.TraitError, match="at most 4 pins"):
        heatmap.pins = [{**CELL, "token": i} for i in range(5)]
    assert heatmap.pins == [{**CELL, "kind": "attn"}]


def test_nonsense_from_the_page_changes_nothing(heatmap: fl.Heatmap) -> None:
    say(heatmap, "pins", cells=[CELL])
    say(heatmap, "range", layers=[0, 1], tokens=[1, 2])
    state = (heatmap.pins, heatmap.layer_range, heatmap.token_range, heatmap.selection)
    draw = random.Random(0)
    junk = [
        None,
        True,
        -1,
        3.5,
        "x",
        [],
        {},
        [1],
        [None, None],
        [True, 2],
        {"a": 1},
        "9" * 10_000,
        float("nan"),
        10**30,
    ]
    for name in ("pins", "range", "select"):
        for _ in range(200):
            parts = {part: draw.choice(junk) for part in ("cells", "layers", "tokens", "kind", "token", "layer")}
            if name == "range" and parts["layers"] is None and parts["tokens"] is None:
                continue  # which clears it
            if name == "pins" and parts["cells"] in ([], {}, ""):
                continue  # the same
            refused = heatmap.refused
            say(heatmap, name, **parts)
            assert heatmap.refused == refused + 1, (name, parts)
    assert (heatmap.pins, heatmap.layer_range, heatmap.token_range, heatmap.selection) == state
    refused = heatmap.refused
    say(heatmap, "format the disk")
    heatmap._received(heatmap, "not even a message", [])
    assert heatmap.refused == refused


def test_a_gesture_is_acknowledged_when_the_traits_say_what_came_of_it(
    heatmap: fl.Heatmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page passes the traits on to marimo at that moment (js/src/heatmap/alone.ts)."""
    told = []
    monkeypatch.setattr(heatmap, "send", lambda content: told.append((content, heatmap.selection, heatmap.refused)))
    say(heatmap, "select", **CELL)
    say(heatmap, "select", **{**CELL, "layer": 99})
    ack = {"type": "ack", "id": 1}
    assert told == [(ack, CELL, 0), (ack, CELL, 1)]


def test_pins_last_as_long_as_their_cells(heatmap: fl.Heatmap, model: fl.Model, trace: Trace) -> None:
    heatmap.pins, heatmap.layer_range = [CELL], (0, 1)
    heatmap.frame = frame_of(trace, run=2)
    assert heatmap.pins == [CELL]
    heatmap.frame = frame_of(fl.trace(model, fl.Fact("{} is", "Rome"), samples=2), run=3)
    assert heatmap.pins == []
    assert heatmap.layer_range is None


def test_a_comparison_holds_both_grids(model: fl.Model, trace: Trace) -> None:
    other = fl.trace(model, FACT, samples=3, window=2, seed=5)
    heatmap = fl.compare(trace, other, names=("seed 1", "seed 5"))
    found = heatmap.comparison
    assert found["names"] == ["seed 1", "seed 5"]
    for side, wanted in (("a", trace), ("b", other)):
        grid = np.frombuffer(found[side]["grid"], "<f4").reshape(wanted.scores.shape)
        np.testing.assert_array_equal(grid, wanted.scores.values.astype("f4"))
    heatmap.pins = [CELL]  # a comparison alone has cells as well
    heatmap.close()


def test_other_prompts_are_compared_by_role(model: fl.Model) -> None:
    trace = fl.trace(model, fl.Fact("So the {} is near", "Eiffel Tower of Paris"), samples=2, window=2)
    other = fl.trace(model, fl.Fact("{} is a city of", "Space Needle and Rome"), samples=2, window=2)
    found = comparison_of(Comparison(trace, other))
    rows = [row["text"] for row in found["a"]["tokens"]]
    assert rows == [row["text"] for row in found["b"]["tokens"]]
    assert rows[0] == "first subject token"
    assert rows[-1] == "last token"
    # Each row is the mean over the tokens that play its role, spelled out for one of them.
    start, stop = other.subject_range
    middle = rows.index("middle subject tokens") if "middle subject tokens" in rows else None
    assert middle is not None
    grid = np.frombuffer(found["b"]["grid"], "<f4").reshape(len(other.kinds), len(rows), other.n_layers)
    wanted = other.scores.values[:, start + 1 : stop - 1].mean(1)
    np.testing.assert_allclose(grid[:, middle], wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ("head",)}, "no kind in common"),
        ({"metric": "log_probability"}, "measure different things"),
    ],
)
def test_what_cannot_be_compared(model: fl.Model, trace: Trace, options: dict, message: str) -> None:
    with pytest.raises(FactError, match=message):
        fl.compare(trace, fl.trace(model, FACT, samples=2, **options))
    with pytest.raises(FactError, match="shows no trace"):
        fl.Heatmap().compare(trace)


def test_the_profile_draws_the_rows_of_the_pins(trace: Trace) -> None:
    told: list[tuple[int, int] | None] = []
    profile = LayerProfile(told.append)
    profile.show(None)
    assert profile.children == ()
    profile.show(trace)  # without pins: the two sites of the paper
    last = trace.subject_range[1] - 1
    np.testing.assert_allclose(profile.values[1], trace.scores.sel(kind="mlp").values[last])
    np.testing.assert_allclose(profile.values[2], trace.scores.sel(kind="attn").values[-1])
    profile.show(trace, [{"kind": "state", "token": 2, "layer": 0}, {"kind": "state", "token": 2, "layer": 3}])
    assert list(profile.values) == [1]  # two cells of one row are one line
    np.testing.assert_allclose(profile.values[1], trace.scores.sel(kind="state").values[2])
    cells = [("state", 2, 0), ("state", 2, 3), ("mlp", 1, 1)]
    profile.show(trace, [dict(zip(("kind", "token", "layer"), cell, strict=True)) for cell in cells])
    assert list(profile.values) == [1, 3]  # and the third pin keeps its number
    np.testing.assert_allclose(profile.values[3], trace.scores.sel(kind="mlp").values[1])
    assert "3 ┈┈" in profile._legend.value
    assert "*" not in profile._legend.value
    # The brush covers the layers whose middles lie in it.
    profile._brush.selected = np.array([0.6, 2.4])
    assert told == [(1, 2)]
    profile.mark((0, 1))
    assert list(profile._brush.selected) == [-0.5, 1.5]
    assert told == [(1, 2)]  # what came from elsewhere is not told again
    profile._brush.selected = None
    assert told == [(1, 2), None]
    profile.close()


def test_the_profile_is_there_before_its_lines(trace: Trace) -> None:
    profile = LayerProfile(lambda _: None)
    profile.show(trace, growing=True)
    assert profile.values == {}
    assert profile.figure in profile.children
    assert "drawn when the trace is done" in profile._legend.value
    profile.show(trace)
    assert list(profile.values) == [1, 2]
    profile.close()


@pytest.mark.parametrize(
    ("values", "ticks", "shape"),
    [
        ([0.27, 0.999], [0.2, 0.4, 0.6, 0.8, 1.0], ".1f"),
        ([0.00103, 0.00111], [0.00102, 0.00104, 0.00106, 0.00108, 0.0011, 0.00112], ".5f"),
        ([-3.2, 1.4], [-4, -2, 0, 2], ".0f"),
        ([1e-9, 4e-9], None, None),
        ([0.5, 0.5], None, None),
        ([float("nan"), 0.1, 0.9], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], ".1f"),
        ([], [0.0, 0.5, 1.0], ".1f"),
    ],
)
def test_ticks_are_round_and_enclose_the_values(values: list[float], ticks: list[float] | None, shape: str) -> None:
    found, written = round_ticks(values)
    known = [value for value in values if value == value] or [0, 1]
    assert found[0] <= min(known) + 1e-12
    assert found[-1] >= max(known) - 1e-12
    assert 2 <= len(found) <= 7
    if ticks is not None:
        np.testing.assert_allclose(found, ticks, atol=1e-12)
        assert written == shape


def test_token_text_in_the_profile_is_never_html(model: fl.Model) -> None:
    evil = fl.trace(model, fl.Fact("In {} is near", "<img src=x onerror=alert(1)>"), samples=2)
    profile = LayerProfile(lambda _: None)
    for token in range(len(evil.tokens)):
        profile.show(evil, [{"kind": "mlp", "token": token, "layer": 0}])
        assert "<img" not in profile._legend.value
        assert "<im" not in profile._legend.value.replace("<b style", "")
    profile.close()
