"""Noise samples one after the other: whole grids early, the same numbers at the end, and words that say how far."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from scipy.stats import t

import factlens as fl
from factlens.drawing.numbers import precise
from factlens.tracing import Trace, growing, schedule
from factlens.tracing.rounds import rounds_of
from factlens.tracing.separation import LOOKS, MOST
from factlens.visible import as_label
from tests.support import small_model
from tests.tracing import oracle
from tests.tracing.made import FACT, NOISE, made_trace


@pytest.fixture(autouse=True)
def even_small_models_take_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_CPU_BRIEF", 0)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bloom"])
def test_the_whole_grid_comes_for_one_sample_first(kind: str) -> None:
    model = small_model(kind)
    updates, counts, first = [], [], None
    for update in fl.stream(model, FACT, samples=3, corruption=NOISE, window=3):
        updates.append(update)
        counts.append((int(update.trace.sample_counts.min()), int(update.trace.sample_counts.max())))
        if counts[-1][0] == 1 and first is None:
            first = update.trace.samples.values[..., 0].copy()
    assert [least for least, _ in counts] == sorted(least for least, _ in counts)
    assert {least for least, _ in counts} == {0, 1, 3}
    assert (updates[0].tokens, updates[0].samples) == ((), range(0))
    assert {update.samples for update in updates[1:]} == {range(1), range(1, 3)}
    # Each number is that of the plain protocol, in which all samples run together.
    whole = oracle.trace(model, FACT, samples=3, level=0.3, window=3)
    for i, name in enumerate(updates[-1].trace.kinds):
        np.testing.assert_allclose(first[i], whole[name][..., 0], atol=1e-6)
        np.testing.assert_allclose(updates[-1].trace.samples.values[i], whole[name], atol=1e-6)


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 9, 10, 11, 45])
@pytest.mark.parametrize("auto", [False, True])
def test_every_sample_comes_once(samples: int, auto: bool) -> None:
    for watched in (False, True):
        rounds = rounds_of(samples, watched=watched, auto=auto)
        assert [sample for some in rounds for sample in some] == list(range(samples))
        assert (rounds[0] == range(1)) is (watched or samples == 1)
        assert len(rounds) <= 1 + watched + auto


def test_nobody_waits_for_rounds_that_nobody_sees() -> None:
    model = small_model("llama")
    asked = {"samples": 3, "corruption": NOISE}
    *_, last = fl.stream(model, FACT, **asked)
    with mock.patch.object(growing, "only", side_effect=growing.only) as rounds:
        whole = fl.trace(model, FACT, **asked)
        assert [call.args[1] for call in rounds.call_args_list] == [range(3)]
        assert len(list(fl.trace_many(model, [FACT], **asked))) == 1
        assert rounds.call_count == 2
        # What was stopped between rows goes on with all samples at once, and what was stopped between rounds does not.
        part = fl.trace(model, FACT, **asked)
        part.samples.values[:, -1, :-1] = np.nan
        fl.resume(model, part)
        assert rounds.call_args_list[-1].args[1] == range(3)
        part.samples.values[:, -1, :-1, 1:] = np.nan
        fl.resume(model, part)
        assert [call.args[1] for call in rounds.call_args_list[-2:]] == [range(1), range(1, 3)]
    # Batches of another size give other last bits.
    np.testing.assert_allclose(last.trace.samples.values, whole.samples.values, atol=1e-6)
    np.testing.assert_allclose(part.samples.values, whole.samples.values, atol=1e-6)


def test_what_comes_at_once_anyway_comes_in_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    asked = {"corruption": NOISE, "kinds": ("mlp",)}
    rounds = [{update.samples for update in fl.stream(model, FACT, samples=3, **asked)}]
    monkeypatch.undo()
    rounds.append({update.samples for update in fl.stream(model, FACT, samples=3, **asked)})
    assert rounds == [{range(0), range(1), range(1, 3)}, {range(0), range(3)}]


def stopped_with(model: fl.Model, least: int, **options: object) -> Trace:
    for update in fl.stream(model, FACT, corruption=NOISE, memory=1, **options):  # type: ignore[arg-type]
        counts = update.trace.sample_counts.values
        if counts.min() == least and (counts[:, -1] > least).any():
            return update.trace
    raise AssertionError("it was over before")


def test_a_trace_stopped_among_its_samples_is_kept_and_goes_on(tmp_path: Path) -> None:
    model = small_model("gpt2")
    part = stopped_with(model, 1, samples=3)
    loaded = Trace.load(part.save(tmp_path / "part.safetensors"))
    np.testing.assert_array_equal(loaded.samples.values, part.samples.values)
    assert not loaded.complete
    before = loaded.samples.values.copy()
    there = np.isfinite(before)
    assert 0.4 < there.mean() < 1
    assert fl.resume(model, loaded).complete
    np.testing.assert_array_equal(loaded.samples.values[there], before[there])
    whole = fl.trace(model, FACT, samples=3, corruption=NOISE)
    np.testing.assert_allclose(loaded.samples.values, whole.samples.values, atol=1e-6)


def test_numbers_so_far_are_paired_with_their_own_corrupted_runs() -> None:
    trace = made_trace(samples=4, low=0.2, high=0.9)
    trace.low_samples[:] = (0.1, 0.3, 0.2, 0.4)
    trace.samples.values[0, 2, 3] = (0.5, 0.6, np.nan, np.nan)
    trace.samples.values[0, 2, 4] = (0.7, np.nan, np.nan, np.nan)
    effects = trace.effects.values[0, 2]
    assert effects[3] == pytest.approx((0.4 + 0.3) / 2)
    assert effects[4] == pytest.approx(0.6)
    np.testing.assert_allclose(trace.effects, trace.scores - trace.low, atol=1e-6)
    np.testing.assert_array_equal(trace.sample_counts.values[0, 2, 3:5], (2, 1))
    lower, upper = trace.interval().values[:, 0, 2, 3]
    half = t.ppf(0.975, 1) * np.std((0.4, 0.3), ddof=1) / np.sqrt(2)
    assert (lower, upper) == pytest.approx((0.35 - half, 0.35 + half))
    assert np.isnan(trace.interval().values[:, 0, 2, 4]).all(), "one sample tells no interval"
    assert not trace.within_noise.values[0, 2, 3:5].any(), "nor whether there is an effect; two tell too little"
    full = trace.samples.values[1, 0] - trace.low_samples
    bounds = full.mean(-1) + np.outer((-1, 1), t.ppf(0.975, 3) * full.std(-1, ddof=1) / 2)
    np.testing.assert_allclose(trace.interval().values[:, 1, 0], bounds, atol=1e-6)
    assert not trace.complete


def test_the_total_effect_has_an_interval_and_may_be_none() -> None:
    trace = made_trace(samples=4, high=0.9)
    trace.low_samples[:] = (0.1, 0.3, 0.2, 0.2)
    half = t.ppf(0.975, 3) * np.std((0.1, 0.3, 0.2, 0.2), ddof=1) / 2
    assert trace.total_interval() == pytest.approx((0.7 - half, 0.7 + half))
    assert not trace.total_within_noise
    trace.samples.values[1] = trace.low_samples
    trace.samples.values[1, 2, 3] = (0.5, 0.7, 0.5, 0.6)
    peak = trace.leading("mlp")
    assert peak == trace.peak("mlp")
    assert (peak.token, peak.layer) == (2, 3)
    trace.samples.values[1, 2, 3] = (0.9, 0.3, 0.2, 0.2)
    assert trace.peak("mlp").layer == 3
    assert trace.leading("mlp") is None, "one sample of four"
    trace.samples.values[1, 2, 3] = (0.5, 0.7, 0.5, 0.6)
    trace.high = 0.21
    assert trace.total_within_noise
    assert trace.leading("mlp") is None
    assert any("no effect" in remark for remark in trace.remarks)
    assert all(np.isnan(made_trace(samples=1).total_interval()))


def test_a_picture_of_noise_is_pale() -> None:
    from factlens.tracing.picture import trace_picture

    trace = made_trace(samples=5, high=0.51, low=0.5)
    noise = np.random.RandomState(0).normal(0, 0.1, trace.samples.shape)
    trace.low_samples[:] = (0.3, 0.7, 0.4, 0.6, 0.5)
    trace.samples.values[:] = trace.low_samples + noise
    picture = trace_picture(trace)
    assert picture.nothing.mean() > 0.9
    assert (picture.shares(picture.drawn)[picture.nothing] == 0).all()
    spread = np.std((0.3, 0.7, 0.4, 0.6, 0.5), ddof=1)
    assert picture.high - picture.low == pytest.approx(t.ppf(0.975, 4) * spread / np.sqrt(5), rel=1e-5)
    assert "white as well: effects that the noise samples do not tell from none" in trace._svg()
    assert "no effect: " in trace._svg()
    trace.samples.values[0, 2, 5] = trace.low_samples + 0.3
    assert not trace_picture(trace).nothing[0, 2, 5]


def test_the_words_say_how_far_to_trust() -> None:
    assert made_trace(computed=0).trust.endswith("in 0 of 144 cells, else not computed")
    assert made_trace(computed=0.5, estimated=True).trust.endswith(
        "in 72 of 144 cells, else an estimate from gradients"
    )
    trace = made_trace(samples=10)
    assert trace.trust.startswith("10 noise samples: 95 % intervals of effects at most ±")
    trace.samples.values[..., 4:] = np.nan
    assert trace.trust.startswith("exact for 4 of 10 noise samples, 95 % intervals")
    trace.samples.values[..., 1:] = np.nan
    assert trace.trust == "exact for 1 of 10 noise samples"
    assert trace.trust in trace._svg()
    assert made_trace(samples=1).trust == "1 noise sample: one tells no interval"


def test_whether_the_model_knows_the_fact(model: fl.Model) -> None:
    some = {"samples": 1, "kinds": ("mlp",), "corruption": NOISE}
    said = model.answers(FACT.prompt, k=1)[0]
    plain = fl.trace(model, FACT, **some)
    assert (plain.known, plain.says) == (None, said.text)
    assert plain.says_probability == pytest.approx(said.probability, abs=1e-6)
    # What the model writes first, and that with a word behind it that it does not write.
    objects = {fl.Exactly(said.text): True, fl.Exactly(said.text + " Zürich"): False, "Zürich": False}
    for written, known in objects.items():
        fact = fl.Fact(FACT.template, FACT.subject, object=written)
        assert fl.trace(model, fact, **some).known is known, written
        assert fl.trace(model, fact, answer=fact.object, **some).known is known, written
    wrong = fl.trace(model, fl.Fact(FACT.template, FACT.subject, object="Zürich"), **some)
    says, share = as_label(said.text), precise(wrong.says_probability)
    assert wrong.remarks[0] == f"the model says “{says}” here with p = {share}, and not “Zürich”"
    # An answer that is next to impossible, of which p can show nothing.
    hopeless = fl.trace(model, FACT, answer="Zürich Zürich Zürich", **some)
    assert hopeless.high < 1e-3 < said.probability
    assert "hardly ever “Zürich Zürich Zürich”" in hopeless.remarks[0]


def test_auto_stops_when_the_leading_cells_are_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    asked = {"kinds": ("mlp", "attn"), "corruption": NOISE}
    whole = fl.trace(model, FACT, samples=MOST, **asked)
    seen = []
    monkeypatch.setattr(growing, "separated", lambda effects: seen.append(effects.copy()) or True)
    updates = list(fl.stream(model, FACT, samples="auto", **asked))
    trace = updates[-1].trace
    assert trace.complete
    assert (trace.sampling, trace.samples.sizes["sample"], len(trace.low_samples)) == ("auto", LOOKS[0], LOOKS[0])
    assert updates[-1].progress == 1
    np.testing.assert_allclose(trace.samples.values, whole.samples.values[..., : LOOKS[0]], atol=1e-6)
    np.testing.assert_allclose(seen[0], (trace.samples.values[0] - trace.low_samples).reshape(-1, LOOKS[0]))
    assert "which separate the leading cells" in trace.trust
    monkeypatch.setattr(growing, "separated", lambda effects: False)
    to_the_end = fl.trace(model, FACT, samples="auto", **asked)
    assert to_the_end.samples.sizes["sample"] == MOST
    assert "do not separate all leading cells" in to_the_end.trust
    assert fl.trace(model, FACT, samples="auto", corruption=fl.Replacement("river")).sampling == "fixed"


def test_a_stopped_auto_trace_goes_on_by_its_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    monkeypatch.setattr(growing, "separated", lambda effects: True)
    part = stopped_with(model, 1, samples="auto", kinds=("mlp",))
    loaded = Trace.load(part.save(tmp_path / "part.safetensors"))
    assert fl.resume(model, loaded).samples.sizes["sample"] == LOOKS[0]
    outcomes = list(fl.trace_many(model, [FACT], samples="auto", kinds=("mlp",)))
    assert outcomes[0].samples.sizes["sample"] == LOOKS[0]
    assert fl.average(outcomes).n == 1
