"""Figures and tables for a paper that the page asks a lens for, and a heatmap by itself."""

from __future__ import annotations

from typing import Any

import pytest

import factlens as fl
from tests.tracing.made import made_trace
from tests.widgets.driving import gesture

LOOK = {"width_mm": 88, "font_size": 7, "palette": "grey", "letters": True}


def files(lens: fl.Lens, name: str, **payload: Any) -> list[tuple[str, bytes]]:
    """The files that come back for a gesture."""
    sent: list[tuple[str, bytes]] = []
    lens.gestures.send = lambda content, buffers=None: buffers and sent.append((content["name"], bytes(buffers[0])))
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 7, "name": name, **payload}, [])
    return sent


# The small model's answers are any tokens, control characters among them, for which the font has no letters.
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_figure_of_what_is_shown(lens: fl.Lens) -> None:
    assert files(lens, "figure", what="trace", form="pdf", look=LOOK) == []
    assert lens.locate.state["error"]["title"] == "The figure was not drawn"
    assert "There is nothing yet" in lens.error["text"]
    lens.start()
    assert lens.session.wait(30)
    for form, begin in (("pdf", b"%PDF-"), ("svg", b"<?xml"), ("png", b"\x89PNG")):
        ((name, data),) = files(lens, "figure", what="trace", form=form, look={**LOOK, "effects": True})
        assert (name, data[: len(begin)]) == (f"factlens-trace.{form}", begin)
    ((name, data),) = files(lens, "figure", what="answers", form="svg", look=LOOK)
    assert b"original weights" in data


def test_what_the_page_asks_for_is_checked(lens: fl.Lens) -> None:
    lens.start()
    assert lens.session.wait(30)
    for payload, words in (
        ({"what": "trace", "form": "pdf", "look": {**LOOK, "width_mm": 0}}, "width_mm must be"),
        ({"what": "trace", "form": "pdf", "look": {"width": 3}}, "no option 'width'"),
        ({"what": "trace", "form": "eps", "look": LOOK}, "kind must be one of pdf, svg, png"),
        ({"what": "<img>", "form": "pdf", "look": LOOK}, "what must be one of"),
        ({"what": "comparison", "form": "pdf", "look": LOOK}, "There is nothing yet of which the comparison"),
        ({"what": "trace", "form": "pdf", "look": [1]}, "look must be named options"),
        ({"what": 3, "form": "pdf"}, "what must be text"),
    ):
        assert files(lens, "figure", **payload) == []
        assert words in lens.error["text"]


def test_tables_of_a_cell_and_of_a_judgement(lens: fl.Lens) -> None:
    assert files(lens, "table", what="judgement", form="csv") == []
    assert lens.judge.state["error"]["title"] == "There is no such table"
    lens.start()
    assert lens.session.wait(30)
    gesture(lens, "select", kind="mlp", token=2, layer=1)
    assert lens.session.wait(30)
    ((name, data),) = files(lens, "table", what="details", form="csv")
    assert (name, data[:4]) == ("factlens-details.csv", b"what")
    assert lens.details["lens"]["clean"][0]["text"] in data.decode()
    ((name, data),) = files(lens, "table", what="details", form="latex")
    assert name == "factlens-details.tex"
    assert rb"\toprule" in data
    assert fl.CellDetails.from_dict(lens.details).to_dict() == lens.details


def test_a_heatmap_by_itself_sends_its_figure_itself() -> None:
    heatmap = fl.compare(made_trace(), made_trace(low=0.2), names=("a", "b"))
    sent: list[tuple[dict, Any]] = []
    heatmap.send = lambda content, buffers=None: sent.append((content, buffers))
    asked = {"type": "gesture", "id": 1, "name": "figure", "what": "comparison", "form": "svg"}
    heatmap._received(None, {**asked, "look": {**LOOK, "kind": "mlp"}}, [])
    heatmap._received(None, {**asked, "look": {"palette": "pink"}}, [])
    heatmap._received(None, {**asked, "what": "trace"}, [])
    (file, buffers), _, failed, _, nothing, _ = sent
    assert file == {"type": "file", "name": "factlens-comparison.svg"}
    assert b"difference" in buffers[0]
    assert failed[0]["type"] == nothing[0]["type"] == "failed"
    assert "palette must be one of kind, safe, grey" in failed[0]["text"]
    assert heatmap.result.names == ("a", "b")
    assert fl.Heatmap(made_trace()).result.n_layers == 8
    assert fl.Heatmap().result is None
