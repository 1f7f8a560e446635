"""Averages over facts: roles, means and intervals worked out by hand, what may be averaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp

import factlens as fl
from factlens.errors import FactError
from factlens.tracing import ROLES, Skipped
from factlens.tracing.averages import tokens_of_roles
from factlens.tracing.many import NOT_KNOWN
from tests.tracing.averaged import AFTER, CASES, END, FIRST, FURTHER, LAST, MIDDLE, made

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
