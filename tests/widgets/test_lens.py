"""A lens without a browser: what it sends, what it accepts, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from traitlets import TraitError, dlink, link

import factlens as fl
from factlens.editing.taking import summary_of
from factlens.errors import FactlensWarning
from factlens.evaluation import Checks, Record
from factlens.tracing.estimate_quality import FACTS, RANK_CORRELATION
from factlens.widgets.bars import AnswerBars
from factlens.widgets.base import STATIC, Part
from factlens.widgets.gestures import Gestures, _follow_the_sender
from factlens.widgets.panels import MOST_PIECES, details_state
from factlens.widgets.wire import frame_of
from tests.support import small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")


@pytest.fixture
def lens() -> Iterator[fl.Lens]:
    lens = fl.Lens(small_model("gpt2"), FACT)
    yield lens
    lens.close()


def gesture(lens: fl.Lens, name: str, **payload: object) -> list[dict]:
    """Deliver a message as the browser would; return what is answered on the gestures' comm."""
    sent: list[dict] = []
    lens.gestures.send = lambda content, buffers=None: sent.append(content)
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 7, "name": name, **payload}, [])
    return sent


def undo(lens: fl.Lens) -> list[dict]:
    """Press the button, which names the newest edit that is listed."""
    return gesture(lens, "undo", key=lens.editor.state["edits"][-1]["key"])


def grid_of(frame: dict, name: str = "grid") -> np.ndarray:
    shape = (len(frame["kinds"]), len(frame["tokens"]), frame["layers"])
    return np.frombuffer(frame[name], "<f4").reshape(shape)


def test_every_part_belongs_to_the_lens_and_has_its_module(lens: fl.Lens) -> None:
    parts = [lens.gestures, lens.locate, lens.heatmap, lens.editor, lens.judge, lens.reader]
    assert len({part.lens for part in parts}) == 1
    assert parts[0].lens
    *above, columns, last = lens.children
    assert above == [*parts[:3], lens.profile]
    assert [list(column.children) for column in columns.children] == [[lens.editor, lens.bars], [lens.reader]]
    assert last is lens.judge
    for part in parts:
        assert "export" in str(part._esm)
        assert len(str(part._esm)) < 60_000
    assert {"gestures.js", "heatmap.js", "locate.js", "edit.js", "judge.js", "details.js"} <= {
        path.name for path in STATIC.iterdir()
    }


def test_a_traced_fact_reaches_the_heatmap_and_only_the_heatmap(lens: fl.Lens) -> None:
    assert lens.heatmap.frame == {}
    streamed: list[str] = []
    lens.gestures.send_state = lambda *_: streamed.append("state")  # type: ignore[method-assign]
    sent = gesture(lens, "trace", prompt=FACT.prompt, subject=FACT.subject)
    assert sent == [{"type": "ack", "id": 7}]
    assert lens.session.wait(30)
    frame = lens.heatmap.frame
    assert frame["complete"]
    np.testing.assert_array_equal(grid_of(frame), lens.trace.scores.values)
    assert [token["subject"] for token in frame["tokens"]] == list(lens.trace.samples["subject"].values)
    assert lens.heatmap.busy is False
    assert streamed == []
    json.dumps({key: value for key, value in frame.items() if not isinstance(value, bytes)})


def test_frames_of_a_growing_trace_mark_what_is_missing() -> None:
    model = small_model("gpt2")
    updates = fl.stream(model, FACT, samples=2, corruption=fl.Noise(level=0.3))
    first = frame_of(next(updates).trace, run=1)
    assert not first["complete"]
    assert np.isnan(grid_of(first)).any()
    assert np.isfinite(grid_of(first)).any(), "tokens left of the subject are known at once"
    frames = [frame_of(update.trace, run=1) for update in updates]
    missing = [int(np.isnan(grid_of(frame)).sum()) for frame in [first, *frames]]
    assert missing == sorted(missing, reverse=True)
    assert missing[-1] == 0


def test_estimates_travel_until_every_cell_is_exact() -> None:
    model = small_model("gpt2")
    frames, estimate = [], None
    for update in fl.stream(model, FACT, samples=2, corruption=fl.Noise(level=0.3)):
        frames.append(frame_of(update.trace))
        estimate = update.trace.estimate.values
    for frame in frames[:-1]:
        assert np.isnan(grid_of(frame)).any()
        np.testing.assert_array_equal(grid_of(frame, "estimate"), estimate)
        assert frame["quality"]["facts"] == FACTS
        assert list(frame["quality"]["rank_correlation"].values()) == list(RANK_CORRELATION.values())
        assert frame["suggested"] is None or np.isfinite(grid_of(frame)[1, frame["suggested"]["token"]]).all()
    assert (frames[-1]["complete"], frames[-1]["estimate"], frames[-1]["quality"]) == (True, None, None)


def test_no_estimates_where_none_is_asked_for_or_the_gradient_sees_nothing() -> None:
    model = small_model("gpt2")
    some = {"samples": 2, "corruption": fl.Noise(level=0.3)}
    first = frame_of(next(fl.stream(model, FACT, estimate=None, **some)).trace)
    assert (first["complete"], first["estimate"], first["quality"]) == (False, None, None)
    first = frame_of(next(fl.stream(model, FACT, kinds=("severed_mlp",), **some)).trace)
    assert (first["complete"], first["estimate"], first["quality"]) == (False, None, None)
    first = frame_of(next(fl.stream(model, FACT, kinds=("severed_mlp", "head.1"), **some)).trace)
    assert np.isnan(grid_of(first, "estimate")[0]).all()
    assert np.isfinite(grid_of(first, "estimate")[1]).all()


def test_intervals_travel_with_grids_that_grow_no_more() -> None:
    model = small_model("gpt2")
    updates = list(fl.stream(model, FACT, samples=3, corruption=fl.Noise(level=0.3)))
    trace = updates[-1].trace
    frame = frame_of(trace)
    bounds = trace.interval()
    np.testing.assert_allclose(
        grid_of(frame) - frame["low"] + grid_of(frame, "half"), bounds.sel(bound="upper"), atol=1e-6
    )
    trace.samples.values[0, 3] = np.nan
    assert frame_of(trace)["half"] is None
    stopped = frame_of(trace, stopped=True)
    assert np.isnan(grid_of(stopped, "half")[0, 3]).all()
    assert np.isfinite(grid_of(stopped, "estimate")[0, 3]).all(), "a stopped trace keeps its estimates"
    assert frame_of(fl.trace(model, FACT, corruption=fl.Replacement("river")))["half"] is None, "one sample has none"


def test_frames_of_other_metrics_and_windows() -> None:
    trace = fl.trace(
        small_model("gpt2"),
        FACT,
        kinds=("severed_attn", "head.2"),
        metric="logit_difference",
        contrast=" Paris",
        window=4,
        window_convention="paper",
        samples=2,
    )
    frame = frame_of(trace)
    assert frame["kinds"] == ["severed_attn", "head.2"]
    assert (frame["metric"]["label"], frame["contrast"]) == ("logit difference", " Paris")
    assert (frame["window"], frame["window_convention"]) == (4, "paper")
    assert frame["suggested"] is None, "no MLP was traced"
    assert (frame["low"], frame["high"]) == (trace.low, trace.high)


def test_a_layer_is_suggested_where_corruption_raised_the_metric() -> None:
    trace = fl.trace(small_model("gpt2"), FACT, samples=2, metric="log_probability")
    token, mlp = trace.subject_range[1] - 1, trace.kinds.index("mlp")
    trace.high, trace.low_samples[:] = -3.0, -1.0
    trace.samples.values[:] = -1.0
    trace.samples.values[mlp, token, 2] = -2.5
    trace.samples.values[mlp, token, 0] = -0.2
    assert frame_of(trace)["suggested"] == {"kind": "mlp", "token": token, "layer": 2}
    trace.high = trace.low
    assert frame_of(trace)["suggested"] is None, "nothing was lost, so nothing comes back"


def test_a_layer_is_suggested_only_where_there_is_an_effect() -> None:
    trace = fl.trace(small_model("gpt2"), FACT, samples=2, corruption=fl.Noise(level=0.3))
    token, mlp = trace.subject_range[1] - 1, trace.kinds.index("mlp")
    trace.high, trace.low_samples[:] = 0.9, 0.1
    trace.samples.values[:] = 0.1
    assert frame_of(trace)["suggested"] is None
    trace.samples.values[mlp, token, 3] = 0.15
    assert frame_of(trace)["suggested"] is None, "a twentieth of the total effect"
    trace.samples.values[mlp, token, 3] = 0.5
    assert frame_of(trace)["suggested"] == {"kind": "mlp", "token": token, "layer": 3}
    trace.samples.values[mlp, token, 0] = np.nan
    assert frame_of(trace)["suggested"] is None, "the row is not known yet"


def test_select_is_a_trait_both_ways(lens: fl.Lens) -> None:
    lens.start()
    lens.session.wait(30)
    seen = []
    lens.observe(lambda change: seen.append(change.new), "selection")
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    cell = {"kind": "mlp", "token": 4, "layer": 3}
    assert lens.selection == lens.heatmap.selection == seen[-1] == cell
    assert lens.editor.state["layer"] == 3
    lens.selection = {"kind": "attn", "token": 1, "layer": 0}
    assert lens.heatmap.selection == {"kind": "attn", "token": 1, "layer": 0}
    assert lens.editor.state["layer"] == 0


def test_a_refused_cell_is_taken_back_on_the_page(lens: fl.Lens) -> None:
    lens.start()
    lens.session.wait(30)
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    assert lens.heatmap.refused == 0
    gesture(lens, "select", kind="head.0", token=4, layer=3)
    assert lens.heatmap.refused == 1
    gesture(lens, "select", kind="mlp", token=99, layer=3)
    assert lens.heatmap.refused == 2
    assert lens.selection == {"kind": "mlp", "token": 4, "layer": 3}


def test_the_selected_cell_is_read_and_shown(lens: fl.Lens) -> None:
    assert lens.reader.state["traced"] is False
    lens.start()
    lens.session.wait(30)
    assert (lens.reader.state["traced"], lens.reader.state["cell"]) == (True, None)
    states = []
    lens.reader.observe(lambda change: states.append(change.new), "state")
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    assert lens.session.wait(30)
    assert lens.error is None
    assert [state["reading"] for state in states] == [True, False]
    site = {"label": "MLP", "family": "mlp", "windowed": True, "edited": True, "head": None}
    cell = {"kind": "mlp", "site": site, "token": 4, "layer": 3, "piece": lens.trace.tokens[4], "last": False}
    assert all(state["cell"] == cell for state in states)
    assert states[-1]["details"] == lens.details
    assert lens.details["neurons"]
    assert not states[-1]["outdated"]
    json.dumps(states, allow_nan=False)
    lens.selection = None
    assert (lens.details, lens.reader.state["cell"]) == (None, None)


def test_a_pinned_cell_is_read_and_its_layer_not_selected(lens: fl.Lens) -> None:
    lens.start()
    lens.session.wait(30)
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    first, second = {"kind": "attn", "token": 1, "layer": 2}, {"kind": "state", "token": 2, "layer": 0}
    for cells in ([first], [first, second]):
        gesture(lens, "pins", cells=cells)
        assert lens.session.wait(30)
        shown = lens.reader.state["cell"]
        assert {name: shown[name] for name in first} == cells[-1]
        assert (lens.details["kind"], lens.details["token"], lens.details["layer"]) == tuple(cells[-1].values())
    gesture(lens, "pins", cells=[first])
    assert lens.session.wait(30)
    assert lens.details["kind"] == "state", "unpinning reads nothing"
    assert lens.selection == {"kind": "mlp", "token": 4, "layer": 3}
    lens.selection = None
    assert lens.details is None


def test_a_cell_that_cannot_be_read_says_so_in_its_panel(lens: fl.Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    lens.start()
    lens.session.wait(30)

    def fail(*_args: object, **_options: object) -> None:
        raise fl.FactlensError("It is too dark in here.")

    monkeypatch.setattr("factlens.session.locating.read_details", fail)
    gesture(lens, "select", kind="mlp", token=4, layer=3)
    assert lens.session.wait(30)
    assert lens.reader.state["error"] == {"title": "This cell could not be read", "text": "It is too dark in here."}
    assert lens.locate.state["error"] is None
    assert lens.editor.state["error"] is None
    assert lens.heatmap.selection == {"kind": "mlp", "token": 4, "layer": 3}


def test_numbers_that_json_cannot_carry_become_null(lens: fl.Lens) -> None:
    lens.session.details = {"a": [1.0, float("nan"), (float("inf"), "text")], "b": {"c": float("-inf"), "d": None}}
    assert details_state(lens.session)["details"] == {"a": [1.0, None, [None, "text"]], "b": {"c": None, "d": None}}


def test_apply_and_undo(lens: fl.Lens) -> None:
    gesture(lens, "apply", target="Rome", layer=2)
    assert lens.session.wait(60)
    assert lens.error is None
    assert [edit.label for edit in lens.edits] == ["Eiffel Tower → Rome"]
    assert lens.locate.state["edits"] == 1
    (shown,) = lens.editor.state["edits"]
    assert shown == {
        "key": lens.edits[0].id,
        "label": "Eiffel Tower → Rome",
        "method": "rome",
        "layers": [2],
        "took": False,
        "shares": summary_of(lens.edits[0].facts, lens.edits[0].taken),
        "origin": "here",
    }
    assert "Rome" in repr(lens)
    before, after = np.array(list(lens.bars.values.values())).T
    assert not np.allclose(before, after)
    assert lens.editor.state["answer"] == lens.session.model.answers(FACT.prompt)[0].text  # now, not when traced
    undo(lens)
    assert lens.session.wait(30)
    assert lens.edits == ()
    assert "unedited" in repr(lens)
    assert lens.editor.state["warning"] is None
    before, after = np.array(list(lens.bars.values.values())).T
    np.testing.assert_array_equal(before, after)


def test_an_edit_that_did_not_take_is_said_and_is_listed_all_the_same(lens: fl.Lens) -> None:
    """As a notice with advice: no error, and no Python warning on a thread that nobody hears."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FactlensWarning)
        gesture(lens, "method", method="ft_l")
        gesture(lens, "apply", target="Rome", layer=2, settings={"limit": 1e-9, "steps": 2})
        assert lens.session.wait(60)
    (edit,) = lens.edits
    assert lens.error is None
    warning = lens.editor.state["warning"]
    assert warning["title"] == "The edit did not take."
    assert warning["text"].startswith("Eiffel Tower → Rome: p(Rome) ")
    assert "The target gained nothing. Weights reached the limit. Try a larger limit (now 1e-09)" in warning["text"]
    assert warning["text"].endswith("\nIt is in force all the same; Undo takes it back.")
    (shown,) = lens.editor.state["edits"]
    assert (shown["took"], shown["shares"]) == (False, summary_of(edit.facts, edit.taken))
    json.dumps(lens.editor.state)
    undo(lens)
    assert lens.session.wait(30)
    assert lens.editor.state["warning"] is None


@pytest.mark.parametrize("took", [True, None])
def test_of_an_edit_that_took_or_may_have_the_page_is_not_warned(lens: fl.Lens, took: bool | None) -> None:
    edit = quick_edit(lens.session.model, "Rome")
    taken = (replace(edit.taken[0], leads=True, advice=""),) if took else ()
    lens.session.model.apply(replace(edit, taken=taken))
    assert lens.session.wait(30)
    (shown,) = lens.editor.state["edits"]
    assert shown["took"] is took
    assert shown["shares"].startswith("took 1 of 1: p(Rome) ") if took else shown["shares"] == ""
    assert lens.editor.state["warning"] is None


def test_a_new_object_is_spelt_while_it_is_written(lens: fl.Lens) -> None:
    assert lens.editor.state["target_tokens"]["text"] == "Seattle"  # the one proposed
    gesture(lens, "spell", target="an object that nobody has written about before")
    found = lens.editor.state["target_tokens"]
    _, ids = lens.session.model.encode_option(FACT.prompt, found["text"])
    assert found["count"] == len(ids) > len(found["pieces"]) == MOST_PIECES
    assert found["pieces"] == [lens.session.model.token(i) for i in ids[:MOST_PIECES]]
    assert lens.target == "Seattle"  # writing is not applying
    gesture(lens, "spell", target="  ")
    assert lens.editor.state["target_tokens"] == {"text": "  ", "pieces": [], "count": 0, "exactly": False, "why": ""}
    lens.target = "Rome"
    assert lens.editor.state["target_tokens"]["text"] == "Rome"
    assert lens.error is None


def test_what_else_changed(lens: fl.Lens) -> None:
    gesture(lens, "judge")
    assert "edit a fact first" in lens.error["text"]
    assert lens.judge.state["error"]["text"] == lens.error["text"]
    lens.method = "ft"
    prompts = ["Rome is", "<img src=x onerror=alert(1)>"]
    for prompt in prompts:
        gesture(lens, "add_prompt", prompt=prompt)
    assert lens.judge.state["own"] == prompts
    gesture(lens, "add_prompt", prompt="Rome is")
    assert "already" in lens.judge.state["error"]["text"]
    gesture(lens, "apply", target="Oslo", layer=2, settings={"steps": 12, "learning_rate": 0.02})
    assert lens.session.wait(60)
    gesture(lens, "judge")
    assert lens.session.wait(60)
    assert lens.error is None
    rows, texts = lens.judgement["rows"], lens.judgement["texts"]
    assert [(row["role"], row["prompt"]) for row in rows] == [("rewrite", FACT.prompt), *(("own", p) for p in prompts)]
    model = lens.session.model
    for row in rows:
        assert row["after"]["top"] == model.answers(row["prompt"], k=1)[0].text
        with model.unedited():
            assert row["before"]["top"] == model.answers(row["prompt"], k=1)[0].text
    assert rows[0]["held"] == [False, True]
    assert rows[0]["new"] == "Oslo"
    assert rows[0]["after"]["new"] > rows[0]["before"]["new"]
    assert [one["prompt"] for one in texts] == [FACT.prompt, FACT.subject]
    assert texts[0]["after"].startswith(" Oslo")
    assert json.loads(json.dumps(lens.judge.state))["judgement"] == lens.judgement
    assert not lens.judge.state["outdated"]
    undo(lens)
    assert lens.session.wait(30)
    assert lens.judge.state["outdated"]
    gesture(lens, "remove_prompt", prompt="Rome is")
    assert lens.judge.state["own"] == prompts[1:]
    gesture(lens, "trace", prompt="Everyone knows Rome is", subject="Rome")
    assert lens.session.wait(60)
    assert lens.judgement is None


def test_checks_of_a_record(lens: fl.Lens) -> None:
    model = lens.session.model
    checks = Checks.of(
        FACT,
        "Paris",
        paraphrases=["{} stands near"],
        neighbours=[("The Louvre is near", "Paris")],
        portability=[("The tower's country is", "France", "America")],
    )
    record = Record(FACT, checks, "case 1")
    second = fl.Lens(model, record)
    try:
        assert (second.fact, second.checks) == (FACT, checks)
        second.method = "ft"
        rows = []
        for target in ("Seattle", "Rome"):
            gesture(second, "apply", target=target, layer=1, settings=QUICK)
            assert second.session.wait(60)
            gesture(second, "judge")
            assert second.session.wait(60)
            assert second.error is None
            rows.append([(row["role"], row["prompt"], row["old"], row["new"]) for row in second.judgement["rows"]])
            undo(second)
            assert second.session.wait(60)
        assert rows[0] == [(probe.role, probe.prompt, probe.old, probe.new) for probe in checks.probes]
        expected = [(probe.role, probe.prompt, probe.old, "Rome") for probe in checks.probes[:3]]
        assert rows[1] == expected, "another new object, of which nothing is known to follow"
        second.checks = None
        gesture(second, "apply", target="Oslo", layer=1, settings=QUICK)
        assert second.session.wait(60)
        gesture(second, "judge")
        assert second.session.wait(60)
        assert [row["role"] for row in second.judgement["rows"]] == ["rewrite"]
        undo(second)
        assert second.session.wait(60)
    finally:
        second.close()


def test_prompts_of_ones_own_that_cannot_be_asked(lens: fl.Lens) -> None:
    for prompt, words in ((" ", "empty"), ("word " * 2000, "tokens")):
        gesture(lens, "add_prompt", prompt=prompt)
        assert words in lens.judge.state["error"]["text"]
    for i in range(21):
        gesture(lens, "add_prompt", prompt=f"number {i}")
    assert "take one out" in lens.judge.state["error"]["text"]
    assert len(lens.judge.state["own"]) == 20


QUICK = {"steps": 2, "learning_rate": 0.001}


def test_the_stack_from_the_page(lens: fl.Lens, tmp_path: Path) -> None:
    gesture(lens, "method", method="ft")
    assert lens.method == "ft"
    assert [knob["name"] for knob in lens.editor.state["knobs"]] == ["steps", "learning_rate"]
    weights = {name: value.clone() for name, value in lens.session.model.model.state_dict().items()}
    for target, layer in (("Rome", 1), ("Oslo", 3)):
        gesture(lens, "apply", target=target, layer=layer, settings=QUICK)
        assert lens.session.wait(60)
        assert lens.error is None
    assert [edit.hparams["steps"] for edit in lens.edits] == [2, 2]
    first, second = lens.editor.state["edits"]
    assert [first["layers"], second["layers"]] == [[1], [3]]

    sent: list[tuple[dict, object]] = []
    lens.gestures.send = lambda content, buffers=None: sent.append((content, buffers))
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 1, "name": "save", "key": first["key"]}, [])
    (_, _), (content, (data,)) = sent
    assert content == {"type": "file", "name": "Eiffel-Tower---Rome.safetensors"}
    (tmp_path / "e.safetensors").write_bytes(data)
    assert str(fl.Edit.load(tmp_path / "e.safetensors")) == str(lens.edits[0])

    gesture(lens, "drop", key=first["key"])
    assert lens.session.wait(30)
    assert [edit["key"] for edit in lens.editor.state["edits"]] == [second["key"]]
    undo(lens)
    assert lens.session.wait(30)
    assert lens.editor.state["redo"] == {"key": second["key"], "label": "Eiffel Tower → Oslo"}
    assert all(torch.equal(value, weights[name]) for name, value in lens.session.model.model.state_dict().items())
    gesture(lens, "redo", key=lens.editor.state["redo"]["key"])
    assert lens.session.wait(30)
    assert [edit.label for edit in lens.edits] == ["Eiffel Tower → Oslo"]
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 2, "name": "load"}, [memoryview(data)])
    assert lens.session.wait(30)
    assert lens.error is None
    assert [edit.label for edit in lens.edits] == ["Eiffel Tower → Oslo", "Eiffel Tower → Rome"]
    # What came from the file is the edit that was dropped, so its name is that of the first.
    assert [edit["key"] for edit in lens.editor.state["edits"]] == [second["key"], first["key"]]
    gesture(lens, "drop", key=first["key"])
    assert lens.session.wait(30)
    gesture(lens, "drop", key=first["key"])
    assert "this lens has undone it" in lens.error["text"]
    assert [edit.label for edit in lens.edits] == ["Eiffel Tower → Oslo"]


def test_a_method_that_spreads_over_layers_ends_at_the_chosen_one(lens: fl.Lens) -> None:
    lens.method = "memit"
    count = len(lens.session.layers_up_to(4))
    assert lens.editor.state["edit_layers"] == list(lens.session.edit_layers)
    assert lens.session.layers_up_to(4) == tuple(range(5 - count, 5))
    lens.method = "rome"
    assert lens.session.layers_up_to(4) == (4,)
    with pytest.raises(TraitError, match="rome"):
        lens.method = "romme"
    assert lens.method == "rome"


def test_the_heatmap_says_what_the_chosen_method_would_edit() -> None:
    lens = fl.Lens(fl.load("atlas"), fl.Fact("{} is in downtown", "The Space Needle"))
    lens.start()
    assert lens.session.wait(60)
    gesture(lens, "select", kind="attn", token=2, layer=4)
    assert lens.heatmap.edit == {"method": "ROME", "layers": [4]}
    gesture(lens, "method", method="memit")
    assert lens.heatmap.edit == {"method": "MEMIT", "layers": [2, 3, 4]}
    gesture(lens, "select", kind="mlp", token=2, layer=1)
    assert lens.heatmap.edit == {"method": "MEMIT", "layers": [0, 1]}
    lens.close()


@pytest.mark.parametrize("data", [b"", b"not a file", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "another model's"])
def test_a_file_that_is_no_edit_for_this_model(lens: fl.Lens, data: bytes | str, tmp_path: Path) -> None:
    if isinstance(data, str):
        other = small_model("llama")
        fact = fl.Fact("{} is in", "Rome", target="Oslo")
        data = fl.edit(other, fact, method="ft", layers=1, steps=1).save(tmp_path / "o").read_bytes()
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 2, "name": "load"}, [memoryview(data)])
    assert lens.session.wait(30)
    assert lens.error is not None
    assert lens.error["place"] == "edit"
    assert "/tmp" not in lens.error["text"]
    assert lens.edits == ()


def sent_by(lens: fl.Lens, name: str, data: bytes = b"") -> list[tuple[dict, object]]:
    """Deliver a gesture with a file; return messages and files that are sent back."""
    sent: list[tuple[dict, object]] = []
    lens.gestures.send = lambda content, buffers=None: sent.append((content, buffers))
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 3, "name": name}, [memoryview(data)] if data else [])
    return sent[1:]


def test_a_trace_is_saved_and_opened_from_the_page(lens: fl.Lens, tmp_path: Path) -> None:
    assert lens.locate.state["traced"] is False
    lens.start()
    assert lens.session.wait(30)
    assert lens.locate.state["traced"] is True
    ((content, (data,)),) = sent_by(lens, "save_trace")
    assert content == {"type": "file", "name": "In-Paris--the-Eiffel-Tower-is-near.safetensors"}
    (tmp_path / "t.safetensors").write_bytes(data)
    np.testing.assert_array_equal(fl.Trace.load(tmp_path / "t.safetensors").samples, lens.trace.samples)

    second = fl.Lens(lens.session.model)
    try:
        assert sent_by(second, "open", data) == []
        assert second.error is None
        assert second.fact == FACT
        np.testing.assert_array_equal(grid_of(second.heatmap.frame), grid_of(lens.heatmap.frame))
        assert second.locate.state["prompt"] == FACT.prompt
    finally:
        second.close()


def tampered(trace: fl.Trace, tmp_path: Path, **changes: object) -> bytes:
    for name, value in changes.items():
        setattr(trace, name, value)
    return trace.save(tmp_path / "tampered").read_bytes()


@pytest.mark.parametrize("what", ["nothing", "junk", "an edit", "another model's", "other tokens", "cut off", "huge"])
def test_a_file_that_is_no_trace_of_this_model(
    lens: fl.Lens, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lens.start()
    assert lens.session.wait(30)
    before, model = lens.trace, lens.session.model
    other = fl.trace(model, FACT, samples=1)
    if what == "huge":
        monkeypatch.setattr("factlens.session.received.LARGEST_FILE", 1000)
    edit = fl.edit(model, FACT, method="ft", layers=1, steps=1, apply=False)
    data, words = {
        "nothing": lambda: (b"", "The file"),
        "junk": lambda: (b"<img src=x onerror=alert(1)>" * 9, "The file"),
        "an edit": lambda: (edit.save(tmp_path / "e").read_bytes(), "The file"),
        "another model's": lambda: (
            fl.trace(small_model("llama"), FACT, samples=1).save(tmp_path / "t").read_bytes(),
            "not to 'small gpt2'",
        ),
        "other tokens": lambda: (
            tampered(other, tmp_path, token_ids=(9, *other.token_ids[1:])),
            "splits the prompt differently",
        ),
        "cut off": lambda: (other.save(tmp_path / "t").read_bytes()[:-100], "The file"),
        "huge": lambda: (other.save(tmp_path / "t").read_bytes(), "at most"),
    }[what]()
    assert sent_by(lens, "open", data) == []
    assert lens.locate.state["error"]["title"] == "The file was not opened"
    assert words in lens.error["text"]
    assert str(tmp_path) not in lens.error["text"]
    assert lens.trace is before


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("trace", {}),
        ("trace", {"prompt": 3, "subject": "Rome"}),
        ("trace", {"prompt": "x" * 100_000, "subject": "x"}),
        ("trace", {"prompt": "<img src=x onerror=alert(1)> {}", "subject": ""}),
        ("select", {"kind": "mlp", "token": 0, "layer": 0}),
        ("select", {"kind": ["mlp"], "token": None}),
        ("apply", {"target": None}),
        ("apply", {"target": "Rome", "layer": {"a": 1}}),
        ("apply", {"target": "Rome", "layer": 10**30}),
        ("apply", {"target": "Rome", "settings": []}),
        ("apply", {"target": "Rome", "settings": {"steps": "many"}}),
        ("apply", {"target": "Rome", "settings": {"stps": 3}}),
        ("apply", {"target": "Rome", "settings": {"clamp": -1}}),
        ("method", {"method": "romme"}),
        ("method", {}),
        ("spell", {}),
        ("spell", {"target": "z" * 1_000_000}),
        ("undo", {"extra": "words"}),
        ("undo", {"key": "0"}),
        ("undo", {"key": ["0"]}),
        ("redo", {}),
        ("redo", {"key": "\ud800"}),
        ("keep", {}),
        ("revert", {"key": "0"}),
        ("drop", {"key": "0"}),
        ("drop", {}),
        ("save", {"key": "../../etc"}),
        ("load", {}),
        ("open", {}),
        ("save_trace", {}),
        ("judge", {}),
        ("add_prompt", {"prompt": 3}),
        ("trace", {"prompt": "The \ud800 Needle", "subject": "Needle"}),
        ("trace", {"prompt": "x" * 1_000_000, "subject": "x"}),
        ("trace", {"prompt": "<img src=x onerror=alert(1)> " * 900, "subject": "Needle"}),
        ("apply", {"target": "\udc80", "layer": None}),
        ("apply", {"target": "Paris", "layer": 10**30}),
        ("apply", {"target": "Paris", "layer": None, "settings": {"steps": float("nan")}}),
        ("add_prompt", {"prompt": "y" * 1_000_000}),
        ("save", {"key": "\x00\u202e" * 10}),
        ("remove_prompt", {}),
        ("__init__", {}),
        ("close", {}),
    ],
)
def test_nonsense_from_the_page_is_an_error_and_nothing_else(lens: fl.Lens, name: str, payload: dict) -> None:
    assert gesture(lens, name, **payload) == [{"type": "ack", "id": 7}]
    assert lens.session.wait(10)
    assert lens.error is not None
    assert 0 < len(lens.error["text"]) <= 1001
    assert lens.error["text"].isprintable()
    json.dumps([lens.error, lens.locate.state, lens.editor.state, lens.judge.state], allow_nan=False).encode()
    assert lens.session.model.edits == ()
    assert lens.trace is None
    place = lens.error["place"]
    shown = {"locate": lens.locate, "edit": lens.editor, "judge": lens.judge}[place].state["error"]
    assert shown["text"] == lens.error["text"]


def test_a_flood_of_gestures_leaves_the_lens_as_it_was(lens: fl.Lens) -> None:
    """Ten thousand gestures in no order, from a page that has gone mad."""
    lens.start()
    assert lens.session.wait(30)
    trace, draw = lens.trace, random.Random(1)
    say = [
        ("select", {"kind": "mlp", "token": 1, "layer": 1}),
        ("select", {"kind": "mlp", "token": 10**9, "layer": -1}),
        ("pins", {"cells": [{"kind": "mlp", "token": 1, "layer": 1}] * 50}),
        ("range", {"layers": [3, 1], "tokens": "all"}),
        ("stop", {}),
        ("resume", {}),
        ("add_prompt", {"prompt": "Is it?"}),
        ("remove_prompt", {"prompt": "Is it?"}),
        ("undo", {"key": "0"}),
        ("load", {}),
        ("trace", {"prompt": "", "subject": ""}),
    ]
    for _ in range(10_000):
        name, payload = draw.choice(say)
        lens._gesture(name, payload)
    assert lens.session.wait(60)
    assert lens.trace is trace
    assert lens.status == "idle"
    assert lens.session.model.edits == ()
    assert len(lens.session.worker._jobs) < 10
    lens._gesture("select", {"kind": "attn", "token": 2, "layer": 0})
    assert lens.selection == {"kind": "attn", "token": 2, "layer": 0}


@pytest.mark.parametrize("content", [None, [], "text", {}, {"type": "gesture"}, {"type": 3}])
def test_malformed_messages_do_not_raise(lens: fl.Lens, content: object) -> None:
    lens.gestures._handle_custom_msg(content, [])
    assert lens.session.wait(5)
    assert lens.session.model.edits == ()


def test_hello_is_answered(lens: fl.Lens) -> None:
    sent: list[dict] = []
    lens.gestures.send = lambda content, buffers=None: sent.append(content)
    lens.gestures._handle_custom_msg({"type": "hello"}, [])
    assert sent == [{"type": "pong"}]


def test_the_workaround_for_one_kernel_is_guarded() -> None:
    class Plain:
        pass

    class Routing:
        def _reply_subshell_for(self, _data, _default):
            return "the shell that last sent"

    plain, routing = Plain(), Routing()
    _follow_the_sender(plain)
    assert vars(plain) == {}
    _follow_the_sender(routing)
    assert routing._reply_subshell_for({}, "the shell that asked") == "the shell that asked"


def test_a_heatmap_stands_alone() -> None:
    trace = fl.trace(small_model("gpt2"), FACT, samples=2, corruption=fl.Noise(level=0.3))
    heatmap = fl.Heatmap(trace)
    heatmap._handle_custom_msg(
        {"type": "gesture", "id": 1, "name": "select", "kind": "mlp", "token": 1, "layer": 2}, []
    )
    assert heatmap.selection == {"kind": "mlp", "token": 1, "layer": 2}
    heatmap._handle_custom_msg(
        {"type": "gesture", "id": 2, "name": "select", "kind": "mlp", "token": 1, "layer": 99}, []
    )
    assert heatmap.selection == {"kind": "mlp", "token": 1, "layer": 2}
    assert heatmap.refused == 1
    with pytest.raises(Exception, match="no cell"):
        heatmap.selection = {"kind": "mlp", "token": -1, "layer": 0}
    assert len(repr(heatmap)) < 100


def test_misspelt_traits_are_refused() -> None:
    with pytest.raises(TypeError, match="selektion"):
        fl.Heatmap(selektion=None)
    with pytest.raises(TypeError, match=r"factlens.load"):
        fl.Lens("gpt2", FACT)
    with pytest.raises(TypeError):
        Gestures(lambda *_: None, lense="x")


def test_the_bundle_is_text_and_a_view_only(lens: fl.Lens) -> None:
    assert set(lens._repr_mimebundle_()) <= {"text/plain", "application/vnd.jupyter.widget-view+json"}


def test_marimo_is_given_the_parts_that_it_can_show(lens: fl.Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not marimo's own: outside its kernel that would take over the comms of all widgets made later in this process.
    monkeypatch.setattr("marimo.vstack", list)
    shown = lens._display_()
    assert shown == [lens.gestures, lens.locate, lens.heatmap, lens.editor, lens.judge, lens.reader]
    assert all(isinstance(part, Part) for part in shown)


def test_bars_of_answers_that_read_the_same_stay_apart() -> None:
    bars = AnswerBars()
    bars.show([(" Paris", 0.5, 0.1), ("Paris", 0.2, 0.3), ("\n", 0.1, 0.0), (" ", 0.0, 0.1)])
    assert bars.values == {
        "Paris (1)": (0.5, 0.1),
        "Paris (2)": (0.2, 0.3),
        "⏎": (0.1, 0.0),
        "␣": (0.0, 0.1),
    }
    bars.show([(" " + "a" * 99, 0.5, 0.1), (" " + "a" * 98, 0.4, 0.2)])
    assert list(bars.values) == ["a" * 15 + "… (1)", "a" * 15 + "… (2)"]
    bars.show([])
    assert bars.values == {}


def test_closing_leaves_no_thread_and_no_widget(lens: fl.Lens) -> None:
    lens.start()
    worker = lens.session.worker.thread
    lens.close()
    worker.join(10)
    assert not worker.is_alive()
    assert lens.comm is None
    assert lens.heatmap.comm is None


def test_edits_set_in_code_are_those_in_force(lens: fl.Lens) -> None:
    model = lens.session.model
    weights = {name: value.clone() for name, value in model.model.state_dict().items()}
    rome, oslo = (
        fl.edit(model, FACT.with_target(t), method="ft", layers=1, steps=2, apply=False) for t in ("Rome", "Oslo")
    )
    seen = []
    lens.observe(lambda change: seen.append(change.new), "edits")
    lens.edits = (rome, oslo)
    assert lens.session.wait(30)
    assert lens.edits == model.edits == (rome, oslo)
    assert seen == [(rome, oslo)], "the trait says what is in force, once it is"
    assert [shown["label"] for shown in lens.editor.state["edits"]] == ["Eiffel Tower → Rome", "Eiffel Tower → Oslo"]
    lens.edits = (oslo, rome)
    assert lens.session.wait(30)
    assert model.edits == (oslo, rome)
    lens.edits = ()
    assert lens.session.wait(30)
    assert model.edits == lens.edits == ()
    assert all(torch.equal(value, weights[name]) for name, value in model.model.state_dict().items())


def test_what_is_refused_in_code_raises_and_is_shown(lens: fl.Lens) -> None:
    model, other = lens.session.model, small_model("llama")
    lens.start()
    assert lens.session.wait(30)
    trace, cell = lens.trace, {"kind": "mlp", "token": 1, "layer": 1}
    lens.selection = cell
    with pytest.raises(TraitError, match="no kind 'mpl'"):
        lens.selection = {**cell, "kind": "mpl"}
    assert lens.locate.state["error"]["title"] == "This cell cannot be selected"
    with pytest.raises(TraitError, match="not to 'small gpt2'"):
        lens.trace = fl.trace(other, FACT, samples=1)
    with pytest.raises(TraitError, match="replaced, not taken away"):
        lens.trace = None
    with pytest.raises(TraitError, match="what factlens"):
        lens.edits = ("Paris",)
    assert lens.editor.state["error"]["title"] == "The edits in force were not changed"
    with pytest.raises(TraitError, match="lone surrogate"):
        lens.target = "\ud800"
    with pytest.raises(TraitError, match="reads at most 64"):
        lens.fact = fl.Fact("{} " + "is " * 80, "Eiffel Tower")
    assert (lens.trace, lens.selection, lens.edits, lens.fact) == (trace, cell, (), FACT)
    # An edit of another model fits only when it is tried, so it is the widget that says so.
    lens.edits = (fl.edit(other, FACT, method="ft", layers=1, steps=1, apply=False),)
    assert lens.session.wait(30)
    assert "not to" in lens.error["text"]
    assert lens.edits == model.edits == ()


def test_linked_lenses_follow_each_other(lens: fl.Lens) -> None:
    second = fl.Lens(lens.session.model)
    other = fl.Fact("In Paris, the {} is in", "Eiffel Tower")
    try:
        for name in ("fact", "selection", "target", "method"):
            link((lens, name), (second, name))
        assert second.session.wait(30)
        assert second.fact == FACT
        assert second.trace.complete, "it was given the fact of the first"
        second.fact = other
        assert second.session.wait(30)
        assert lens.session.wait(30)
        assert lens.fact == second.fact == other
        assert lens.trace.complete
        lens.selection = {"kind": "attn", "token": 1, "layer": 2}
        assert second.selection == second.heatmap.selection == lens.selection
        second.target, second.method = "Oslo", "ft"
        assert (lens.editor.state["target"], lens.editor.state["method"]) == ("Oslo", "ft")
        assert lens.error is second.error is None
    finally:
        second.close()


def test_linked_lenses_do_not_wait_for_each_other_for_ever(lens: fl.Lens) -> None:
    second = fl.Lens(lens.session.model, FACT)
    try:
        for one in (lens, second):
            one.start()
            assert one.session.wait(30)
        # Both would stand here at once, each with its own state in hand and about to reach for the other's.
        both = threading.Barrier(2)

        def meet(_change: object) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.5)

        for one in (lens, second):
            one.observe(meet, "selection")
        dlink((lens, "selection"), (second, "selection"))
        dlink((second, "selection"), (lens, "selection"))
        threads = [
            threading.Thread(target=one.session.select, args=("mlp", token, 1), daemon=True)
            for token, one in enumerate((lens, second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
        lens.selection = {"kind": "attn", "token": 0, "layer": 0}
        assert second.selection == lens.selection
    finally:
        second.close()


def test_an_observer_may_set_another_trait(lens: fl.Lens) -> None:
    cell = {"kind": "mlp", "token": 1, "layer": 1}
    lens.observe(lambda change: change.new == "idle" and setattr(lens, "selection", cell), "status")
    lens.start()
    assert lens.session.wait(30)
    assert lens.error is None
    assert lens.heatmap.selection == lens.session.selection == cell


@pytest.mark.parametrize("name", ["status", "trace", "progress", "edits", "target"])
def test_an_observer_that_fails_ends_nothing(lens: fl.Lens, name: str) -> None:
    def fail(_change: object) -> None:
        raise RuntimeError("somebody else's fault")

    lens.observe(fail, name)
    lens.start()
    assert lens.session.wait(30)
    assert lens.trace.complete
    gesture(lens, "apply", target="Rome", layer=2, settings=QUICK)
    assert lens.session.wait(60)
    assert len(lens.session.model.edits) == 1
    undo(lens)
    assert lens.session.wait(60)
    assert (lens.session.model.edits, lens.status) == ((), "idle")
    assert "somebody else's fault" in str(lens.session.last_error)


def test_an_observer_of_the_session_that_fails_leaves_a_session_that_works(lens: fl.Lens) -> None:
    def fail(_change: object) -> None:
        raise RuntimeError("somebody else's fault")

    lens.session.observe(fail, "status")
    lens.start()
    assert lens.session.wait(30)
    lens.session.unobserve(fail, "status")
    lens.start()
    assert lens.session.wait(30)
    assert lens.trace.complete
    assert (lens.status, lens.error) == ("idle", None)


# What others do to the model ----------------------------------------------------------------------------------------


def quick_edit(model: fl.Model, target: str, layer: int = 1) -> fl.Edit:
    options = {"method": "ft", "layers": layer, "steps": 2, "learning_rate": 0.01, "apply": False}
    return fl.edit(model, FACT.with_target(target), **options)


def test_the_page_says_where_edits_are_from_and_what_is_of_other_weights(lens: fl.Lens) -> None:
    model = lens.session.model
    second = fl.Lens(fl.wrap(model.model, model.tokenizer), FACT)
    lens.start()
    assert lens.session.wait(30)
    assert "weights now" in lens.bars.pieces[0].value
    lens.method = second.method = "ft"
    gesture(lens, "apply", target="Rome", layer=1, settings=QUICK)
    assert lens.session.wait(60)
    gesture(second, "apply", target="Oslo", layer=1, settings=QUICK)
    assert second.session.wait(60)
    assert lens.session.wait(60)
    with model.exclusive():
        model.apply(quick_edit(model, "Cairo"))
        # At once, and before anything is computed.
        assert [entry["origin"] for entry in lens.editor.state["edits"]] == ["here", "lens", "python"]
        assert [entry["origin"] for entry in second.editor.state["edits"]] == ["lens", "here", "python"]
        assert lens.edits == second.edits == model.edits
        assert lens.locate.state["edits"] == 3
        assert lens.locate.state["outdated"]
        assert not second.locate.state["outdated"], "nothing was traced there"
        assert lens.editor.state["answer"] is None
        assert "before the last change" in lens.bars.pieces[0].value
    for one in (lens, second):
        assert one.session.wait(60)
        assert one.editor.state["answer"] == model.answers(FACT.prompt)[0].text
        assert "weights now" in one.bars.pieces[0].value
        assert one.error is None
    assert lens.bars.values == second.bars.values
    model.clear()
    assert not lens.locate.state["outdated"]
    second.close()


@pytest.mark.parametrize("way", ["keep", "revert"])
def test_a_foreign_change_is_on_the_page_with_two_ways_on(lens: fl.Lens, way: str) -> None:
    model = lens.session.model
    edit = quick_edit(model, "Rome")
    model.apply(edit)
    assert lens.session.wait(60)
    gesture(lens, way)
    assert "That is settled" in lens.editor.state["error"]["text"]
    weight = model.down_projection(1).weight
    ours = weight.detach().clone()
    weight.data.mul_(2)
    lens.start()
    assert lens.session.wait(60)
    assert lens.error["place"] == "locate"
    assert lens.editor.state["foreign"] == lens.locate.state["error"]["text"]
    undo(lens)
    assert lens.session.wait(60)
    assert lens.error["place"] == "edit"
    assert lens.editor.state["error"] is None, "it is said once, with the two buttons"
    assert "model.revert_changes()" in lens.editor.state["foreign"]
    gesture(lens, way)
    assert lens.session.wait(60)
    assert (lens.error, lens.editor.state["foreign"]) == (None, None)
    assert torch.equal(weight, ours) == (way == "revert")
    assert lens.edits == (() if way == "keep" else (edit,))
    lens.start()
    assert lens.session.wait(60)
    assert lens.trace.complete


def test_linked_edits_follow_a_cell_and_take_nothing_back(lens: fl.Lens) -> None:
    model = lens.session.model
    second = fl.Lens(model, FACT)
    link((lens, "edits"), (second, "edits"))
    made = [quick_edit(model, target) for target in ("Rome", "Oslo", "Cairo")]
    with model.exclusive():
        for edit in made:
            model.apply(edit)
            assert lens.edits == second.edits == model.edits
        assert (lens.status, second.status) == ("idle", "idle"), "neither asks the model for what it has"
    for one in (lens, second):
        assert one.session.wait(60)
        assert one.error is None
    assert model.edits == tuple(made)
    second.edits = made[:1]
    for one in (second, lens):
        assert one.session.wait(60)
    assert lens.edits == second.edits == model.edits == (made[0],)
    second.close()


def test_edits_by_hand_are_listed_by_what_they_are(lens: fl.Lens) -> None:
    class ByHand:
        def __init__(self, edit: fl.Edit) -> None:
            self.updates = edit.updates

    lens.session.model.apply(ByHand(quick_edit(lens.session.model, "Rome")))
    (shown,) = lens.editor.state["edits"]
    assert (shown["label"], shown["method"], shown["layers"]) == ("an edit (ByHand)", "", [])
    json.dumps(lens.editor.state)
    undo(lens)
    assert lens.session.wait(30)
    assert lens.error is None
    assert lens.edits == ()


def test_a_lens_computes_with_the_original_weights_where_no_cell_meets_them(lens: fl.Lens) -> None:
    """Whoever calls the model in a cell, while a lens reads the answers again, gets those of the weights in force."""
    model = lens.session.model
    lens.start()
    assert lens.session.wait(30)
    model.apply(quick_edit(model, "Rome"))
    assert lens.session.wait(30)
    weight = model.down_projection(1).weight
    version = weight._version
    lens.session._weights_changed()
    assert lens.session.wait(30)
    gesture(lens, "judge")
    assert lens.session.wait(60)
    assert lens.judgement
    assert weight._version == version, "nothing was written"
