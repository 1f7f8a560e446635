"""Trials: their numbers are those of editing and judging in the long way; what they share is computed once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import factlens as fl
from factlens.calibration import known_records
from factlens.calibration.trials import Bench, Candidate, Result, Trial
from factlens.editing import METHODS, batches
from factlens.evaluation import Record
from tests.calibration.made import facts_known_to
from tests.editing.made import moment_of
from tests.support import small_model

SETTINGS = {"steps": 3, "contexts": ((2, 3),)}


def world(kind: str = "gpt2", count: int = 3) -> tuple[fl.Model, list[Record], dict]:
    model = small_model(kind)
    records = known_records(model, facts_known_to(model), n=count)
    return model, records, {layer: moment_of(model, layer) for layer in range(model.n_layers)}


def candidate(method: str, layers: tuple[int, ...], **settings: object) -> Candidate:
    own = {name: value for name, value in SETTINGS.items() if name in vars(METHODS[method].hparams())}
    return Candidate(method, layers, METHODS[method].hparams(**{**own, **settings}))


@pytest.mark.parametrize(
    ("method", "layers"), [("rome", (1,)), ("emmet", (2,)), ("memit", (1, 2)), ("alphaedit", (2,)), ("ft", (1,))]
)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_trial_says_what_evaluate_says(method: str, layers: tuple[int, ...], kind: str) -> None:
    model, records, moments = world(kind)
    extra = {"nullspace": 0.9, "relative": True} if method == "alphaedit" else {}
    tried = candidate(method, layers, **extra)
    trial = Bench(model, moments).judge(tried, records)
    options = {} if not METHODS[method].needs_moments else {"moments": moments}
    way = "single" if method == "rome" else "at once"
    settings = {name: getattr(tried.hparams, name) for name in vars(tried.hparams)}
    report = fl.evaluate(model, records, method=method, layers=layers, way=way, generate=False, **settings, **options)
    assert trial.note == ""
    for result, outcome in zip(trial.results, report.outcomes, strict=True):
        for role, share in (("rewrite", result.efficacy), ("neighbour", result.neighbourhood)):
            pairs = zip(outcome.record.checks.probes, outcome.after.readings, strict=True)
            beats = [
                reading.probabilities[probe.wanted == probe.new] > reading.probabilities[probe.wanted != probe.new]
                for probe, reading in pairs
                if probe.role == role
            ]
            assert share == pytest.approx(np.mean(beats))
        assert math.isnan(result.paraphrase)
    assert model.edits == ()


def test_a_value_is_optimised_once_for_all_settings_it_does_not_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model, records, moments = world()
    optimised: list[int] = []

    def counting(tail, prompts, *rest, **options):
        optimised.append(prompts.facts)
        return true(tail, prompts, *rest, **options)

    true = batches.optimise_values
    monkeypatch.setattr(batches, "optimise_values", counting)
    bench = Bench(model, moments)
    scores = [bench.judge(candidate("memit", (1, 2), moment_weight=w), records[:2]).rank for w in (1.0, 1e3, 1e6)]
    assert sum(optimised) == 2
    assert len(set(scores)) > 1, "the weight plays no role here"
    bench.judge(candidate("memit", (2,), moment_weight=10.0), records)  # the same last layer, one fact more
    assert sum(optimised) == 3
    bench.judge(candidate("memit", (2,), moment_weight=10.0, clamp=0.5), records)
    assert sum(optimised) == 6
    bench.judge(candidate("rome", (2,)), records)
    bench.judge(candidate("emmet", (2,)), records)
    assert sum(optimised) == 9, "ROME and EMMET put the same value into the MLP"


def test_a_shared_value_changes_no_number() -> None:
    model, records, moments = world()
    shared, bench = Bench(model, moments), candidate("memit", (1, 2), moment_weight=100.0)
    shared.judge(candidate("memit", (2,), moment_weight=1.0), records[:1])
    again, alone = shared.judge(bench, records), Bench(model, moments).judge(bench, records)
    for one, other in zip(again.results, alone.results, strict=True):
        assert one[:4] == pytest.approx(other[:4], nan_ok=True)
        assert one.magnitude == pytest.approx(other.magnitude, abs=1e-5)


def test_what_was_tried_before_is_not_tried_again() -> None:
    model, records, moments = world()
    first = Bench(model, moments)
    trial = first.judge(candidate("ft", (1,)), records)
    made: list[Trial] = []
    second = Bench(model, moments, [trial], made.append)
    assert second.judge(candidate("ft", (1,)), records) is trial
    assert made == []
    for other in (candidate("ft", (2,)), candidate("ft", (1,), steps=4)):
        assert second.judge(other, records) is not trial
    assert second.judge(candidate("ft", (1,)), records[:2]) is not trial
    assert second.judge(candidate("ft", (1,)), records, "held out") is not trial
    assert len(made) == 4


def test_a_method_that_cannot_solve_counts_as_a_failure() -> None:
    model, records, moments = world()
    trial = Bench(model, moments).judge(candidate("alphaedit", (1,), nullspace=1e-9, relative=True), records)
    assert "nullspace" in trial.note
    assert trial.score.mean == 0
    assert model.edits == ()


def test_the_score_is_the_harmonic_mean_of_what_was_asked() -> None:
    full = Result("a", 1.0, 0.5, 0.25, 0.1)
    trial = Trial("ft", (1,), {}, "train", (full, replace_of(full, paraphrase=1.0)), 1.0)
    assert trial.shares == (1.0, 0.75, 0.25)
    assert trial.score.mean == pytest.approx(3 / (1 + 1 / 0.75 + 4))
    bare = replace(trial, results=(replace_of(full, paraphrase=math.nan),))
    assert bare.score.mean == pytest.approx(2 / (1 + 4))
    assert replace(trial, results=(replace_of(full, efficacy=0.0),)).score.mean == 0


def replace_of(result: Result, **changes: float) -> Result:
    return result._replace(**changes)


def test_for_comparisons_there_are_fewer_prefixes_and_steps_and_nothing_else_changes() -> None:
    many = Candidate("rome", (1,), METHODS["rome"].hparams())
    assert many.quick().hparams == replace(many.hparams, contexts=((1, 4), (1, 9)), stop_loss=0.3)
    assert many.quick().quick() == many.quick()
    tuned = Candidate("ft", (1,), METHODS["ft"].hparams())
    assert tuned.quick() is tuned
