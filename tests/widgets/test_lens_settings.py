"""The settings of a lens: keywords and traits in Python, fields of a drawer on the page, and one state behind both."""

from __future__ import annotations

import json
from typing import Any

import pytest
from traitlets import TraitError

import factlens as fl
from factlens.errors import ArgumentError
from factlens.session import SETTINGS, Session
from factlens.tracing.options import DEFAULTS
from factlens.widgets.settings import FIELDS, WATCHED, settings_state
from tests.editing.made import FACT
from tests.support import small_model
from tests.widgets.driving import gesture
from tests.widgets.test_panels import Watched

QUICK: dict[str, Any] = {"samples": 2, "kinds": ("mlp",), "corruption": fl.Noise(level=0.3)}
#: What a user finds by pressing Tab after `lens.`
TRAITS = {"checks", "details", "edits", "error", "fact", "judgement", "layer_range", "method", "pins", "progress"}
TRAITS |= {"selection", "status", "target", "token_range", "trace"}
PUBLIC = sorted({*TRAITS, *DEFAULTS, "close", "heatmap", "layout", "observe", "session", "start", "unobserve"})


def fields_of(lens: fl.Lens) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in lens.locate.settings["fields"]}


def put(lens: fl.Lens, name: str, value: object) -> dict[str, Any] | None:
    """Fill in a field as the page does; return how it stands there then."""
    gesture(lens, "setting", setting=name, value=value)
    return fields_of(lens).get(name)


def test_tab_offers_what_a_user_may_use(lens: fl.Lens) -> None:
    assert dir(lens) == PUBLIC
    assert all(hasattr(lens, name) for name in PUBLIC)

    class Mine(fl.Lens):
        def shout(self) -> None:
            """Be loud."""

    mine = Mine(small_model("gpt2"))
    assert set(dir(mine)) == {*PUBLIC, "shout"}
    mine.close()


def test_settings_are_keywords_of_a_lens() -> None:
    lens = fl.Lens(small_model("gpt2"), FACT, **QUICK)
    assert {name: getattr(lens, name) for name in QUICK} == QUICK
    assert {name: getattr(lens, name) for name in set(SETTINGS) - set(QUICK)} == {
        name: DEFAULTS[name] for name in set(SETTINGS) - set(QUICK)
    }
    lens.start()
    assert lens.session.wait(60)
    assert (lens.trace.kinds, lens.trace.samples.sizes["sample"]) == (("mlp",), 2)
    assert lens.trace.corruption == fl.Noise(level=0.3)
    assert lens.locate.settings["stale"] is False
    lens.close()
    with pytest.raises(ArgumentError, match="samples"):
        fl.Lens(small_model("gpt2"), FACT, samples="many")
    with pytest.raises(ArgumentError, match="A lens has no option 'preview'"):
        fl.Lens(small_model("gpt2"), FACT, preview=True)


def test_a_setting_is_observed_checked_and_waits_for_the_next_trace(lens: fl.Lens) -> None:
    for name, value in QUICK.items():
        setattr(lens, name, value)
    lens.start()
    assert lens.session.wait(60)
    first, seen = lens.trace, []
    lens.observe(lambda change: seen.append(change.new), "samples")
    lens.samples = 3
    assert seen == [3]
    assert lens.trace is first, "it takes a press of Trace"
    assert lens.status == "idle"
    assert lens.locate.settings["stale"] is True
    for bad in (None, 0, "many"):
        with pytest.raises(TraitError, match="samples must be"):
            lens.samples = bad
    assert (lens.samples, lens.session.samples, lens.error) == (3, 3, None)
    lens.start()
    assert lens.session.wait(60)
    assert lens.trace.samples.sizes["sample"] == 3
    assert lens.locate.settings["stale"] is False
    lens.corruption = None
    assert lens.session.corruption is None


def test_setting_the_fact_takes_the_settings(lens: fl.Lens) -> None:
    lens.samples, lens.kinds = 1, "attn"
    lens.fact = FACT.with_target("Rome")
    assert lens.session.wait(60)
    assert lens.trace.kinds == ("attn",)


def test_a_saved_trace_is_shown_as_made_otherwise(lens: fl.Lens) -> None:
    lens.trace = fl.trace(small_model("gpt2"), FACT, **QUICK)
    assert lens.locate.settings["stale"] is True
    assert lens.samples == 10


def test_a_closed_lens_can_be_read_and_not_set(lens: fl.Lens) -> None:
    lens.samples = 4
    lens.close()
    assert lens.samples == 4
    with pytest.raises(TraitError, match="closed"):
        lens.samples = 5


# The page -------------------------------------------------------------------------------------------------------------

#: What is written in a field, and the setting that comes of it.
FILLED = [
    ("kinds", ["state", "severed_mlp"], "kinds", ("state", "severed_mlp")),
    ("kinds", ["mlp", "state"], "kinds", ("state", "mlp")),
    ("heads", "0, 3", "kinds", ("state", "mlp", "attn", "head.0", "head.3")),
    ("heads", "ALL", "kinds", ("state", "mlp", "attn", "head")),
    ("window", "2", "window", 2),
    ("window_convention", "paper", "window_convention", "paper"),
    ("samples", " 4 ", "samples", 4),
    ("samples", "auto", "samples", "auto"),
    ("multiple", "2,5", "corruption", fl.Noise(multiple=2.5)),
    ("level", "0.1", "corruption", fl.Noise(level=0.1)),
    ("subjects", "Rome; The Louvre", "corruption", fl.Noise(subjects=("Rome", "The Louvre"))),
    ("shape", "uniform", "corruption", fl.Noise(shape="uniform")),
    ("replace", True, "corruption", fl.Noise(replace=True)),
    ("seed", "7", "seed", 7),
    ("metric", "log_probability", "metric", "log_probability"),
    ("answer", "Paris", "answer", "Paris"),
    ("estimate", "none", "estimate", None),
    ("memory", "16", "memory", 2**24),
]
#: What is refused, and what is said at the field.
REFUSED = [
    ("kinds", [], "none was given"),
    ("heads", "first", "heads must be numbers such as 0, 3, or all"),
    ("heads", "99", "There is no head 99"),
    ("window", "x", "window must be a whole number"),
    ("window_convention", "book", "must be one of code, paper"),
    ("samples", "many", "samples must be a whole number or 'auto'"),
    ("samples", "", "samples must be a whole number or 'auto'"),
    ("multiple", "-1", "multiple must be positive"),
    ("level", "0", "level must be positive"),
    ("seed", "1.5", "seed must be a whole number"),
    ("memory", "much", "memory must be"),
]


@pytest.mark.parametrize(("field", "value", "setting", "becomes"), FILLED)
def test_a_field_sets_what_it_stands_for(
    lens: fl.Lens, field: str, value: object, setting: str, becomes: object
) -> None:
    shown = put(lens, field, value)
    assert getattr(lens, setting) == becomes
    assert shown is not None
    assert shown["error"] is None
    assert put(lens, field, shown["value"])["error"] is None
    assert getattr(lens, setting) == becomes, "a field means what it shows"
    assert len(lens.locate.settings["changed"]) == 1
    gesture(lens, "reset_settings")
    assert {name: getattr(lens, name) for name in SETTINGS} == DEFAULTS
    assert lens.locate.settings["changed"] == []


@pytest.mark.parametrize(("field", "value", "words"), REFUSED)
def test_what_cannot_be_is_said_at_its_field(lens: fl.Lens, field: str, value: object, words: str) -> None:
    before = {name: getattr(lens, name) for name in SETTINGS}
    shown = put(lens, field, value)
    assert shown is not None
    assert words in shown["error"]
    assert shown["value"] == value, "what was written stays"
    assert {name: getattr(lens, name) for name in SETTINGS} == before
    assert lens.error is None
    gesture(lens, "trace", prompt=FACT.prompt, subject=FACT.subject)
    assert lens.status == "idle"
    assert lens.locate.state["error"]["title"] == "This fact cannot be traced"
    assert words in lens.locate.state["error"]["text"], "nothing is traced in its place"
    gesture(lens, "reset_settings")
    assert fields_of(lens)[field]["error"] is None


def test_nonsense_from_the_page_is_an_error_and_nothing_else(lens: fl.Lens) -> None:
    for payload in ({"setting": "nonsense", "value": "1"}, {"setting": "seed", "value": {"a": 1}}, {"setting": 3}, {}):
        gesture(lens, "setting", **payload)
        assert lens.error is not None
    assert {name: getattr(lens, name) for name in SETTINGS} == DEFAULTS


def test_another_subject_is_offered_with_as_many_tokens() -> None:
    lens = fl.Lens(fl.load("atlas"), fl.Fact("{} is in downtown", "The Space Needle"))
    assert "subject" not in fields_of(lens)
    put(lens, "corruption", "replacement")
    shown = fields_of(lens)
    assert lens.corruption == fl.Replacement(shown["subject"]["suggested"][0])
    assert not {"samples", "seed", "level", "multiple"} & set(shown), "they are of noise"
    other = shown["subject"]["suggested"][1]
    assert put(lens, "subject", other)["value"] == other
    assert lens.corruption == fl.Replacement(other)
    assert put(lens, "subject", " ")["error"]
    put(lens, "corruption", "noise")
    assert lens.corruption is None
    assert "subject" not in fields_of(lens)
    lens.close()
    empty = fl.Lens(small_model("gpt2"))
    assert "Write down a fact first" in put(empty, "corruption", "replacement")["error"]
    assert empty.locate.settings["code"] is None
    empty.close()


def test_a_metric_that_compares_asks_for_a_contrast(lens: fl.Lens) -> None:
    assert "contrast" not in fields_of(lens)
    put(lens, "metric", "logit_difference")
    assert fields_of(lens)["contrast"]["error"] == "This metric needs an answer to compare with."
    put(lens, "contrast", "Seattle")
    assert fields_of(lens)["contrast"]["error"] is None
    assert lens.contrast == "Seattle"
    lens.contrast = fl.Exactly("Seattle")
    put(lens, "contrast", "Seattle")
    assert lens.contrast == fl.Exactly("Seattle"), "what was not touched is what it was"
    put(lens, "contrast", "")
    assert lens.contrast is None


def test_python_and_the_page_see_the_same(lens: fl.Lens) -> None:
    put(lens, "samples", "many")
    lens.samples = 6
    assert fields_of(lens)["samples"]["value"] == "6"
    assert fields_of(lens)["samples"]["error"] is None
    assert lens.locate.settings["changed"] == ["samples: 6"]
    assert "samples=6" in lens.locate.settings["code"]
    json.dumps(lens.locate.settings)


def test_every_setting_has_a_field_with_its_meaning_in_one_line() -> None:
    assert {field.setting for field in FIELDS} == set(SETTINGS)
    assert len({field.name for field in FIELDS}) == len(FIELDS)
    assert all(field.help.endswith(".") and len(field.help) < 90 for field in FIELDS)


def test_the_drawer_watches_all_that_it_is_made_of_and_is_not_sent_while_a_trace_grows() -> None:
    session = Watched(small_model("gpt2"), FACT)
    session.read.clear()
    settings_state(session)
    assert session.read <= set(WATCHED) <= set(Session.class_trait_names())
    assert not {"frame", "progress", "message", "status"} & set(WATCHED)
    session.close()
