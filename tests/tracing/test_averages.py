"""Averages over facts: roles, means and intervals worked out by hand, what is skipped, files, pictures."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import ttest_1samp

import factlens as fl
from factlens.errors import FactError, FileFormatError, Interrupted
from factlens.files import read_record, write_record
from factlens.models.atlas.knowledge import load_knowledge
from factlens.tracing import ROLES, Skipped
from factlens.tracing.averages import tokens_of_roles
from factlens.tracing.many import NOT_KNOWN
from factlens.tracing.result import label_samples
from tests.drawing.read_svg import cells
from tests.support import small_model

FIRST, MIDDLE, LAST, AFTER, FURTHER, END = ROLES
#: Effects of layer 0 by token: subjects of four, three and one tokens, one and two tokens before them, of which the
#: hidden ones have no effect.
CASES = (
    ((1, 5), 0.9, 0.1, [0.0, 0.1, 0.2, 0.4, 0.5, 0.05, 0.6]),
    ((1, 4), 0.8, 0.2, [0.0, 0.3, 0.9, 0.1, 0.2, 0.5]),
    ((2, 3), 0.7, 0.3, [0.0, 0.0, 0.3, 0.1, 0.2, 0.3, 0.4]),
)


def made(subject_range: tuple[int, int], high: float, low: float, effects: list[float], **changes: object) -> fl.Trace:
    """A trace with these effects in layer 0; twice as large in layer 1, half as large for the MLP."""
    each = np.array([1.0, 2.0])[None, None, :] * np.array([1.0, 0.5])[:, None, None] * np.array(effects)[None, :, None]
    # Two noise samples, whose means are the numbers asked for.
    low_samples = np.array([low - 0.05, low + 0.05], np.float32)
    samples = (low + each[..., None] + np.array([0.02, -0.02])).astype(np.float32)
    tokens = tuple(f" t{i}" for i in range(len(effects)))
    start, stop = subject_range
    settings = {
        "fact": fl.Fact("".join(tokens).strip(), "".join(tokens[start:stop]).strip()),
        "model": "made by hand",
        "fingerprint": "0123456789abcdef",
        "tokens": tokens,
        "token_ids": tuple(range(len(effects))),
        "subject_range": subject_range,
        "answer": " yes",
        "answer_ids": (7,),
        "high": high,
        "low_samples": low_samples,
        "samples": label_samples(samples, ("state", "mlp"), tokens, subject_range),
        "noise_level": 0.3,
        "seed": 1,
        "window": 3,
        **changes,
    }
    return fl.Trace(**settings)


@pytest.fixture(scope="module")
def average() -> fl.Average:
    return fl.average(made(*case) for case in CASES)


# Roles ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "subject_range", "roles"),
    [
        (9, (1, 5), [[1], [2, 3], [4], [5], [6, 7], [8]]),
        (6, (1, 3), [[1], [], [2], [3], [4], [5]]),
        # The only token of a subject is its first and its last.
        (5, (0, 1), [[0], [], [0], [1], [2, 3], [4]]),
        # A single token after the subject is the first subsequent token and the last.
        (4, (1, 3), [[1], [], [2], [3], [], [3]]),
        (5, (1, 3), [[1], [], [2], [3], [], [4]]),
        # Nothing after the subject: its last token is the last token.
        (4, (1, 4), [[1], [2], [3], [], [], [3]]),
        (1, (0, 1), [[0], [], [0], [], [], [0]]),
    ],
)
def test_roles(tokens: int, subject_range: tuple[int, int], roles: list[list[int]]) -> None:
    assert [list(found) for found in tokens_of_roles(tokens, subject_range)] == roles


# Means and intervals -------------------------------------------------------------------------------------------------


def test_total_effects_by_hand(average: fl.Average) -> None:
    # Total effects 0.8, 0.6, 0.4: mean 0.6, standard deviation 0.2; t(0.975; 2) = 4.30265, over √3.
    assert average.n == 3
    assert average.high == pytest.approx(0.8)
    assert average.low == pytest.approx(0.2)
    assert average.total_effect == pytest.approx(0.6)
    assert average.total_interval() == pytest.approx((0.6 - 0.496827, 0.6 + 0.496827), abs=1e-5)
    # t(0.75; 2) = 0.816497
    assert average.total_interval(0.5) == pytest.approx((0.6 - 0.094281, 0.6 + 0.094281), abs=1e-5)


def test_indirect_effects_by_hand(average: fl.Average) -> None:
    assert average.effects.dims == ("kind", "role", "layer")
    state = average.effects.sel(kind="state", layer=0)
    expected = {
        FIRST: (0.1 + 0.3 + 0.3) / 3,
        MIDDLE: (0.2 + 0.4 + 0.9) / 3,  # two tokens of the first fact, one of the second, none of the third
        LAST: (0.5 + 0.1 + 0.3) / 3,
        AFTER: (0.05 + 0.2 + 0.1) / 3,
        FURTHER: (0.2 + 0.3) / 2,  # only the third fact has any
        END: (0.6 + 0.5 + 0.4) / 3,
    }
    assert {str(role): float(state.sel(role=role)) for role in state["role"].values} == pytest.approx(
        expected, abs=1e-6
    )
    np.testing.assert_allclose(average.effects.sel(kind="state", layer=1), 2 * state, atol=1e-6)
    np.testing.assert_allclose(average.effects.sel(kind="mlp", layer=0), state / 2, atol=1e-6)
    assert average.count.values.tolist() == [3, 3, 3, 3, 2, 3]
    assert average.facts_counted.values.tolist() == [3, 2, 3, 3, 1, 3]
    np.testing.assert_allclose(average.each["effect"].sel(fact=0, kind="state", role=MIDDLE), [0.3, 0.6], atol=1e-6)
    assert average.peak("state") == pytest.approx((END, 1, 1.0), abs=1e-6)
    # The largest cells are 1.2, 1.8 and 0.8, all in layer 1.
    assert average.best.values.tolist() == pytest.approx([3.8 / 3, 1.9 / 3], abs=1e-6)


def test_intervals_by_hand(average: fl.Average) -> None:
    bounds = average.interval()
    assert bounds.dims == ("bound", "kind", "role", "layer")
    assert bounds["bound"].values.tolist() == ["lower", "upper"]

    def half(role: str, level: float = 0.95) -> list[float]:
        lower, upper = average.interval(level).sel(kind="state", layer=0, role=role).values
        mean = float(average.effects.sel(kind="state", layer=0, role=role))
        return [mean - lower, upper - mean]

    # One token in each fact, 0.5, 0.1, 0.3: standard deviation 0.2.
    assert half(LAST) == pytest.approx([0.496827] * 2, abs=1e-5)
    # Sums 0.6 and 0.9 over 2 and 1 tokens, ratio 0.5; residuals -0.4 and 0.4, so the variance is 2/1 · 0.32 / 3²;
    # t(0.975; 1) = 12.7062, t(0.75; 1) = 1.
    assert half(MIDDLE) == pytest.approx([12.7062 * 0.266667] * 2, abs=1e-4)
    assert half(MIDDLE, 0.5) == pytest.approx([0.266667] * 2, abs=1e-5)
    # Two tokens, but of one fact: they say nothing about other facts.
    assert np.isnan(half(FURTHER)).all()


def test_the_interval_is_students_where_every_fact_has_one_token(average: fl.Average) -> None:
    bounds = average.interval(0.9).sel(kind="mlp", layer=1)
    for role in (FIRST, LAST, AFTER, END):
        values = average.each["effect"].sel(kind="mlp", layer=1, role=role).values.astype(float)
        expected = ttest_1samp(values, 0).confidence_interval(0.9)
        np.testing.assert_allclose(bounds.sel(role=role), expected, atol=1e-6)


def test_the_scatter_between_facts_is_what_the_interval_covers() -> None:
    # Facts with an effect of their own and unequal numbers of middle tokens; the true mean is 0.4 for each token.
    random = np.random.default_rng(0)
    covered, rounds = 0, 120
    for _ in range(rounds):
        traces = []
        for _ in range(12):
            middle, mean = random.integers(1, 6), random.normal(0.4, 0.2)
            effects = [0.0, *random.normal(mean, 0.05, middle), 0.0, 0.0]
            traces.append(made((0, len(effects) - 1), 0.9, 0.1, effects))
        lower, upper = fl.average(traces).interval(0.8).sel(kind="state", role=MIDDLE, layer=0).values
        covered += lower < 0.4 < upper
    # Two standard errors are 0.073. Taking every token for an independent observation would cover half of the time.
    assert covered / rounds == pytest.approx(0.8, abs=0.08)


def test_scores_give_what_the_published_notebook_subtracts(average: fl.Average) -> None:
    # There: all scores of a role in one heap, their mean less the mean of low over all facts.
    heap = []
    for case in CASES:
        trace = made(*case)
        start, stop = trace.subject_range
        heap.append(trace.scores.sel(kind="state").values[start + 1 : stop - 1])
    published = np.concatenate(heap).mean(0) - np.mean([low for _, _, low, _ in CASES])
    np.testing.assert_allclose(average.scores.sel(kind="state", role=MIDDLE) - average.low, published, atol=1e-6)
    assert published[0] != pytest.approx(float(average.effects.sel(kind="state", role=MIDDLE, layer=0)), abs=1e-3)
    np.testing.assert_allclose((average.scores - average.low).sel(role=LAST), average.effects.sel(role=LAST), atol=1e-6)


def test_one_fact_has_no_interval() -> None:
    single = fl.average([made(*CASES[0])])
    assert np.isnan(single.interval().values).all()
    assert np.isnan(single.total_interval()).all()
    assert "over 1 fact on" in repr(single)
    assert "nan" not in repr(single) + single._svg()
    single.plot()
    single.plot_lines()


def test_a_role_that_no_token_plays() -> None:
    single = fl.average([made((0, 1), 0.9, 0.1, [0.5, 0.2]), made((0, 1), 0.8, 0.1, [0.4, 0.1])])
    assert np.isnan(single.effects.sel(role=[MIDDLE, FURTHER])).all()
    assert not np.isnan(single.effects.sel(role=[FIRST, LAST, AFTER, END])).any()
    assert single.count.sel(role=MIDDLE) == single.facts_counted.sel(role=MIDDLE) == 0
    assert "no such token" in single._svg()
    assert single.plot().axes[0].get_images()[0].get_array().mask[1].all()
    lines = single.plot_lines().legends[0].get_texts()
    assert [line.get_text() for line in lines] == [role.capitalize() for role in (FIRST, LAST, AFTER, END)]
    assert single.peak("mlp").role == FIRST


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_is_a_share(average: fl.Average, level: float) -> None:
    for ask in (average.interval, average.total_interval, average.plot_lines):
        with pytest.raises(FactError, match="between 0 and 1"):
            ask(level)


def test_peak_of_a_kind_that_was_not_traced(average: fl.Average) -> None:
    with pytest.raises(FactError, match="'attn' was not traced; there are state, mlp"):
        average.peak("attn")


def test_dataframe_has_a_row_per_kind_role_and_layer(average: fl.Average) -> None:
    frame = average.to_dataframe()
    assert list(frame.columns) == ["kind", "role", "layer", "effect", "lower", "upper", "facts", "tokens"]
    assert len(frame) == 2 * 6 * 2
    assert list(frame.role[:12:2]) == list(ROLES)
    row = frame[(frame.kind == "state") & (frame.role == MIDDLE) & (frame.layer == 0)].iloc[0]
    assert (row.effect, row.facts, row.tokens) == pytest.approx((0.5, 2, 3), abs=1e-6)
    assert row.upper == pytest.approx(0.5 + 12.7062 * 0.266667, abs=1e-4)


# What may be averaged ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("metric", {"metric": "log_probability"}),
        ("window", {"window": 5}),
        ("window_convention", {"window_convention": "paper"}),
        ("corruption", {"corruption": fl.Noise(level=0.5)}),
        ("corruption", {"corruption": fl.Replacement("t9")}),
    ],
)
def test_traces_made_differently_are_refused(name: str, changes: dict) -> None:
    with pytest.raises(FactError, match=f"the {name} is .* for 't0 t1 t2 t3 t4 t5 t6', but "):
        fl.average([made(*CASES[0]), made(*CASES[1], **changes)])


def test_other_kinds_and_layers_are_refused() -> None:
    first, second = (made(*case) for case in CASES[:2])
    with pytest.raises(FactError, match="the list of kinds is"):
        fl.average([first, replace(second, samples=second.samples.sel(kind=["mlp"]))])
    with pytest.raises(FactError, match=r"the number of layers is 2 .* but 1 for"):
        fl.average([first, replace(second, samples=second.samples.isel(layer=[0]))])


def test_traces_of_one_model_under_two_names_are_one_models() -> None:
    assert fl.average([made(*CASES[0]), made(*CASES[1], model="another name")]).model == "made by hand"


def test_each_subject_may_have_a_replacement_of_its_own() -> None:
    traces = [made(*case, corruption=fl.Replacement(name)) for case, name in zip(CASES, "abc", strict=True)]
    found = fl.average(traces)
    assert found.n == 3
    assert found.corruption is None


def test_incomplete_traces_are_refused() -> None:
    trace = made(*CASES[0])
    trace.samples[0, 3, 1, 0] = np.nan
    with pytest.raises(FactError, match="incomplete"):
        fl.average([trace])


def test_nothing_to_average() -> None:
    with pytest.raises(FactError, match="no trace was given"):
        fl.average([])
    with pytest.raises(FactError, match="not Fact"):
        fl.average([fl.Fact("{} is", "t1")])


def test_skipped_facts_are_counted_with_their_reasons() -> None:
    fact = fl.Fact("{} is in", "Rome")
    left_out = [Skipped(fact, "too long"), Skipped(fact, NOT_KNOWN, " Gaul"), Skipped(fact, NOT_KNOWN)]
    found = fl.average([left_out[0], made(*CASES[0]), *left_out[1:]])
    assert found.n == 1
    assert found.skipped == tuple(left_out)
    assert list(found.skipped_reasons().items()) == [(NOT_KNOWN, 2), ("too long", 1)]
    assert "(3 left out)" in repr(found)
    assert "2 left out: The model answers otherwise." in found._svg()
    with pytest.raises(FactError, match=r"None of 3 facts could be traced:\n  2 × The model .*\n  1 × too long"):
        fl.average(left_out)


# Many facts ----------------------------------------------------------------------------------------------------------

PLACES = ("Paris", "Eiffel Tower", "Seattle", "Space Needle")


@pytest.fixture(scope="module")
def model() -> fl.Model:
    return small_model("gpt2")


def facts_about(*names: str) -> list[fl.Fact]:
    return [fl.Fact("In France, the {} is near", name) for name in names]


def test_one_call_is_the_average_of_the_traces(model: fl.Model) -> None:
    facts = facts_about(*PLACES[:3])
    noise = fl.Noise(subjects=PLACES[:3])
    told = []
    found = fl.average_over(model, facts, samples=2, kinds=("mlp",), progress=lambda *counts: told.append(counts))
    traces = [fl.trace(model, fact, samples=2, kinds=("mlp",), corruption=noise) for fact in facts]
    assert found.facts == tuple(facts)
    assert found.answers == tuple(trace.answer for trace in traces)
    last = np.mean([trace.effects.values[0, trace.subject_range[1] - 1] for trace in traces], axis=0)
    np.testing.assert_allclose(found.effects.sel(kind="mlp", role=LAST), last, atol=1e-6)
    assert found.total_effect == pytest.approx(np.mean([trace.total_effect for trace in traces]))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_by_default_the_noise_is_that_of_all_the_subjects(model: fl.Model) -> None:
    unknown = fl.Fact("In France, the {} is near", "Space Needle", object="river")
    outcomes = list(fl.trace_many(model, [unknown, *facts_about(*PLACES[:2])], samples=2, kinds=("mlp",)))
    assert isinstance(outcomes[0], Skipped)
    names = ("Space Needle", "Paris", "Eiffel Tower")  # skipped ones too, so that skipping changes no number
    ids = [i for name in names for i in model.tokenizer(name)["input_ids"]]
    level = 3 * float(model.embedding.weight.detach()[ids].std())
    assert [trace.noise_level for trace in outcomes[1:]] == pytest.approx([level] * 2, rel=1e-6)
    assert outcomes[1].corruption.subjects == names
    given = fl.trace_many(model, facts_about("Paris"), samples=2, kinds=("mlp",), corruption=fl.Noise(level=0.125))
    assert next(given).noise_level == 0.125
    # Several σ where each subject is to have its own, as for a single trace.
    own = list(fl.trace_many(model, facts_about(*PLACES[:2]), samples=2, kinds=("mlp",), corruption=fl.Noise()))
    assert own[0].noise_level == fl.trace(model, facts_about("Paris")[0], samples=2, kinds=("mlp",)).noise_level
    assert own[0].noise_level != own[1].noise_level


def test_facts_that_cannot_be_used_are_skipped(model: fl.Model) -> None:
    long = fl.Fact("near " * 80 + "{} is", "Paris")
    found = fl.average_over(model, [long, *facts_about("Paris")], samples=2, kinds=("mlp",))
    assert found.n == 1
    assert found.skipped[0].fact is long
    assert found.skipped[0].answer is None
    assert "reads at most 64" in found.skipped[0].reason
    same = fl.Replacement("Paris")
    found = fl.average_over(model, facts_about("Paris", "Seattle"), kinds=("mlp",), corruption=same)
    assert found.n == 1
    assert "replaced by itself" in found.skipped[0].reason


def test_a_contrast_is_the_facts_target(model: fl.Model) -> None:
    facts = [fact.with_target("river") for fact in facts_about(*PLACES[:2])]
    traces = list(fl.trace_many(model, facts, samples=2, kinds=("mlp",), metric="logit_difference"))
    assert [trace.contrast for trace in traces] == ["river"] * 2
    traces = list(fl.trace_many(model, facts, samples=2, kinds=("mlp",), metric="logit_difference", contrast="city"))
    assert [trace.contrast for trace in traces] == ["city"] * 2
    assert fl.average(traces).metric == "logit_difference"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer": "Paris"}, "give each fact its own"),
        ({"metric": "probabilty"}, "metric must be one of"),
        ({"contrast": "river"}, "logit_difference"),
        ({"kinds": ["ffn"]}, "kinds must be"),
        ({"samples": 0}, "samples"),
        ({"window": 0}, "window"),
        ({"corruption": "noise"}, "corruption"),
    ],
)
def test_an_option_that_makes_no_sense_is_no_reason_to_skip(model: fl.Model, options: dict, message: str) -> None:
    # Before any fact is asked for, so that no generator hides it.
    with pytest.raises(FactError, match=message):
        fl.trace_many(model, facts_about(*PLACES), **options)


def test_facts_must_be_facts(model: fl.Model) -> None:
    with pytest.raises(FactError, match="not str"):
        fl.trace_many(model, ["The Space Needle is in downtown"])
    with pytest.raises(FactError, match="no trace was given"):
        fl.average_over(model, [])


def test_stopping_keeps_the_average_so_far(model: fl.Model) -> None:
    stop = threading.Event()

    def progress(done: int, _total: int) -> None:
        if done == 2:
            stop.set()

    with pytest.raises(Interrupted, match="after 2 facts") as caught:
        fl.average_over(model, facts_about(*PLACES), samples=2, kinds=("mlp",), stop=stop, progress=progress)
    assert isinstance(caught.value.partial, fl.Average)
    assert caught.value.partial.facts == tuple(facts_about(*PLACES[:2]))
    with pytest.raises(Interrupted) as caught:
        fl.average_over(model, facts_about(*PLACES), samples=2, stop=stop)
    assert caught.value.partial is None
    # Also where every fact is skipped, and no trace looks at the event.
    with pytest.raises(Interrupted):
        next(fl.trace_many(model, [fl.Fact("near " * 80 + "{} is", "Paris")], stop=stop))


def test_stopping_does_not_wait_for_the_end_of_a_fact(model: fl.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from factlens.tracing import engine

    real, stop, finished = engine.sweep, threading.Event(), []

    def stopped_in_the_second_fact(*args):
        if finished:
            stop.set()
        return real(*args)

    def progress(done: int, _total: int) -> None:
        finished.append(done)

    monkeypatch.setattr(engine, "sweep", stopped_in_the_second_fact)
    with pytest.raises(Interrupted) as caught:
        fl.average_over(model, facts_about(*PLACES), samples=2, kinds=("mlp",), stop=stop, progress=progress)
    assert caught.value.partial.facts == tuple(facts_about(*PLACES[:1]))


def test_the_kernels_interrupt_leaves_out_the_unfinished_fact(model: fl.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from factlens.tracing import engine, many

    real, calls = engine.sweep, []

    def interrupted(*args):
        calls.append(1)
        raise KeyboardInterrupt

    def watched(model, fact, **options):
        if fact.subject == PLACES[2]:
            monkeypatch.setattr(engine, "sweep", interrupted)
        return engine.trace(model, fact, **options)

    monkeypatch.setattr(many, "trace", watched)
    with pytest.raises(KeyboardInterrupt) as caught:
        fl.average_over(model, facts_about(*PLACES), samples=2, kinds=("mlp",))
    assert calls == [1]
    assert engine.sweep is not real
    assert [fact.subject for fact in caught.value.partial.facts] == list(PLACES[:2])


# Files ---------------------------------------------------------------------------------------------------------------


def test_saved_and_loaded(average: fl.Average, tmp_path: Path) -> None:
    fact = fl.Fact("{} is in", "Rome", target="Gaul", object="Italy")
    saved = replace(average, skipped=(Skipped(fact, NOT_KNOWN, " Gaul"),), corruption=fl.Noise(subjects=("a", "b")))
    loaded = fl.Average.load(saved.save(tmp_path / "average.safetensors"))
    assert loaded.each.identical(saved.each)
    for name in (
        "facts",
        "answers",
        "model",
        "fingerprint",
        "edits",
        "edit_ids",
        "metric",
        "window",
        "window_convention",
        "corruption",
        "skipped",
    ):
        assert getattr(loaded, name) == getattr(saved, name), name
    assert repr(loaded) == repr(saved)
    np.testing.assert_array_equal(loaded.interval().values, saved.interval().values)
    none = fl.Average.load(replace(average, corruption=None).save(tmp_path / "average.safetensors"))
    assert none.corruption is None


def test_files_that_are_no_average(average: fl.Average, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    made(*CASES[0]).save(path)
    with pytest.raises(FileFormatError, match="holds no average"):
        fl.Average.load(path)
    average.save(path)
    with pytest.raises(FileFormatError, match="holds no trace"):
        fl.Trace.load(path)
    average.save(path)
    kind, schema = "factlens.average", 3
    record, arrays = read_record(path, kind, schema)
    entries = {name: value for name, value in record.items() if name not in ("format", "schema")}
    for changed, stored in (
        (entries, {name: array for name, array in arrays.items() if name != "low"}),
        (entries, {**arrays, "tokens": arrays["tokens"][:-1]}),
        (entries, {**arrays, "effect": arrays["effect"][:, :, :3]}),
        ({**entries, "facts": entries["facts"][:2]}, arrays),
        ({**entries, "corruption": {"replacement": "Rome"}}, arrays),
        ({name: value for name, value in entries.items() if name != "window"}, arrays),
    ):
        write_record(path, kind, schema, changed, stored)
        with pytest.raises(FileFormatError, match="not a complete factlens average"):
            fl.Average.load(path)
    write_record(path, kind, schema + 1, entries, arrays)
    with pytest.raises(FileFormatError, match="schema 4"):
        fl.Average.load(path)


def test_an_average_is_read_without_torch(average: fl.Average, tmp_path: Path) -> None:
    path = average.save(tmp_path / "average.safetensors")
    code = f"import sys, factlens as fl; print(fl.Average.load({str(path)!r}).n); sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, "3"), run.stderr


# Pictures ------------------------------------------------------------------------------------------------------------


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


# atlas ---------------------------------------------------------------------------------------------------------------


def test_known_are_facts_whose_whole_object_the_model_says(atlas: fl.Model) -> None:
    statement = load_knowledge().statement("Table Mountain", "country")
    template, subject = statement.parts(statement.trained[0])
    names = ("South Africa", "South America", "Spain", None)
    facts = [fl.Fact(template, subject, object=name) for name in names]
    assert len(atlas.encode_option(facts[0].prompt, "South Africa")[1]) == 2
    right, half_right, wrong, whatever = fl.trace_many(atlas, facts, samples=2, kinds=("mlp",))
    assert right.answer == " South Africa"
    assert right.fact is facts[0]
    assert half_right == Skipped(facts[1], NOT_KNOWN, " South Africa")
    assert wrong == Skipped(facts[2], NOT_KNOWN, " South")
    assert whatever.answer == " South"


def test_atlas_on_average(atlas: fl.Model) -> None:
    random = Random(3)
    statements = [entry for entry in load_knowledge().statements if entry.relation.name != "kind"]
    facts = [
        fl.Fact(*statement.parts(random.choice(statement.trained)), object=statement.object)
        for statement in random.sample(statements, 8)
    ]
    outsider = fl.Fact("{} is in downtown", "The Space Needle", object="Paris")
    found = fl.average_over(atlas, [*facts, outsider], samples=4)
    assert outsider in [left_out.fact for left_out in found.skipped]
    assert found.n == 9 - len(found.skipped) >= 6
    lower, upper = found.total_interval()
    assert 0 < lower < found.total_effect < upper < 1
    bounds, wide = found.interval(), found.interval(0.99)
    assert (bounds[0] <= found.effects + 1e-9).all()
    assert (found.effects <= bounds[1] + 1e-9).all()
    assert (wide[0] <= bounds[0]).all()
    assert (wide[1] >= bounds[1]).all()
    # The best cell of every fact is at least as good as the best cell on average.
    for kind in found.kinds:
        assert float(found.best.sel(kind=kind)) >= found.peak(kind).effect - 1e-6
    assert found.peak("attn").role == END
