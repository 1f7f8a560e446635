"""Many facts traced in one call: as one by one, skipped with reasons, stopped half-way, and atlas's own."""

from __future__ import annotations

import threading
from random import Random

import numpy as np
import pytest

import factlens as fl
from factlens.errors import FactError, Interrupted
from factlens.models.atlas.knowledge import load_knowledge
from factlens.tracing import Skipped
from factlens.tracing.many import NOT_KNOWN
from tests.tracing.averaged import END, LAST, facts_about

PLACES = ("Paris", "Eiffel Tower", "Seattle", "Space Needle")


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
    from factlens.tracing import growing

    real, stop, finished = growing.sweep, threading.Event(), []

    def stopped_in_the_second_fact(*args):
        if finished:
            stop.set()
        return real(*args)

    def progress(done: int, _total: int) -> None:
        finished.append(done)

    monkeypatch.setattr(growing, "sweep", stopped_in_the_second_fact)
    with pytest.raises(Interrupted) as caught:
        fl.average_over(model, facts_about(*PLACES), samples=2, kinds=("mlp",), stop=stop, progress=progress)
    assert caught.value.partial.facts == tuple(facts_about(*PLACES[:1]))


def test_the_kernels_interrupt_leaves_out_the_unfinished_fact(model: fl.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from factlens.tracing import engine, growing, many

    real, calls = growing.sweep, []

    def interrupted(*args):
        calls.append(1)
        raise KeyboardInterrupt

    def watched(model, fact, **options):
        if fact.subject == PLACES[2]:
            monkeypatch.setattr(growing, "sweep", interrupted)
        return engine.trace(model, fact, **options)

    monkeypatch.setattr(many, "trace", watched)
    with pytest.raises(KeyboardInterrupt) as caught:
        fl.average_over(model, facts_about(*PLACES), samples=2, kinds=("mlp",))
    assert calls == [1]
    assert growing.sweep is not real
    assert [fact.subject for fact in caught.value.partial.facts] == list(PLACES[:2])


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
