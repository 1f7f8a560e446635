"""Everything that locating means, beyond the three grids of the paper, against the plain protocol."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.errors import FactError
from factlens.tracing.windows import window_layers
from tests.support import SHAPES, small_model
from tests.tracing import oracle

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower")
MORE = ["state", "severed_mlp", "severed_attn", "head.0", "head.3"]


def noisy(model: fl.Model, fact: fl.Fact, noise: np.ndarray, *, forced: tuple[int, ...] = ()) -> torch.Tensor:
    encoding = model.encode(fact)
    start, stop = encoding.subject_range
    with torch.no_grad():
        embedded = model.embedding(torch.tensor([[*encoding.ids, *forced]])).repeat(len(noise), 1, 1)
    embedded[:, start:stop] += torch.from_numpy(noise)
    return embedded


def gaussian(model: fl.Model, fact: fl.Fact, samples: int = 3, level: float = 0.3) -> np.ndarray:
    start, stop = model.encode(fact).subject_range
    return np.random.RandomState(1).randn(samples, stop - start, model.embedding_width) * level


def probability(answer: int):
    return lambda logits: logits[:, -1].softmax(-1)[:, answer]


def agree(trace: fl.Trace, expected: dict, *, least: float = 1e-4) -> None:
    assert trace.complete
    assert trace.high == pytest.approx(expected["high"], abs=1e-5)
    np.testing.assert_allclose(trace.low_samples, expected["low"], atol=1e-5)
    for kind in trace.kinds:
        np.testing.assert_allclose(trace.samples.sel(kind=kind).values, expected[kind], atol=1e-6, err_msg=kind)
    assert np.ptp(np.stack([expected[kind] for kind in trace.kinds])) > least


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_severed_paths_and_heads_of_every_family(kind: str) -> None:
    model = small_model(kind)
    encoding = model.encode(FACT)
    trace = fl.trace(model, FACT, kinds=MORE, samples=3, corruption=fl.Noise(level=0.3))
    windows = [range(0)] * model.n_layers
    embedded = noisy(model, FACT, gaussian(model, FACT))
    at = list(range(len(encoding.ids)))
    agree(trace, oracle.grids(model, list(encoding.ids), embedded, at, MORE, windows, probability(trace.answer_id)))


def test_severing_a_path_matters() -> None:
    trace = fl.trace(small_model("gpt2"), FACT, kinds=MORE, samples=3, corruption=fl.Noise(level=1.0))
    whole = trace.samples.sel(kind="state").values
    for kind in ("severed_mlp", "severed_attn"):
        assert np.abs(trace.samples.sel(kind=kind).values - whole)[:, :-2].max() > 5e-5


def test_head_means_every_head() -> None:
    trace = fl.trace(small_model("llama"), FACT, kinds="head", samples=2, corruption=fl.Noise(level=0.3))
    assert trace.kinds == ("head.0", "head.1", "head.2", "head.3")


@pytest.mark.parametrize("window", [1, 2, 3, 4])
def test_the_papers_window_convention(window: int) -> None:
    model = small_model("gpt2")
    encoding = model.encode(FACT)
    kinds = ["mlp", "attn"]
    trace = fl.trace(
        model, FACT, kinds=kinds, samples=3, corruption=fl.Noise(level=0.3), window=window, window_convention="paper"
    )
    # Spelled out, since the library's own function is what is tested: of four layers, one below and two above.
    below, above = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 2)}[window]
    windows = [range(max(0, i - below), min(model.n_layers, i + above + 1)) for i in range(model.n_layers)]
    at = list(range(len(encoding.ids)))
    embedded = noisy(model, FACT, gaussian(model, FACT))
    agree(trace, oracle.grids(model, list(encoding.ids), embedded, at, kinds, windows, probability(trace.answer_id)))
    assert [trace.window_of(i) for i in range(model.n_layers)] == windows


ALL = ["state", "mlp", "attn"]


def windows_of(model: fl.Model, trace: fl.Trace) -> list[range]:
    return [window_layers(i, trace.window, model.n_layers) for i in range(model.n_layers)]


def test_uniform_noise() -> None:
    model = small_model("gpt2")
    encoding = model.encode(FACT)
    start, stop = encoding.subject_range
    noise = np.random.RandomState(7).uniform(-0.4, 0.4, (3, stop - start, model.width))
    trace = fl.trace(model, FACT, samples=3, seed=7, corruption=fl.Noise(shape="uniform", level=0.4))
    at = list(range(len(encoding.ids)))
    expected = oracle.grids(
        model,
        list(encoding.ids),
        noisy(model, FACT, noise),
        at,
        ALL,
        windows_of(model, trace),
        probability(trace.answer_id),
    )
    agree(trace, expected)


def test_noise_in_the_embeddings_place() -> None:
    model = small_model("llama")
    encoding = model.encode(FACT)
    start, stop = encoding.subject_range
    embedded = noisy(model, FACT, np.zeros_like(gaussian(model, FACT)))
    embedded[:, start:stop] = torch.from_numpy(gaussian(model, FACT)).float()
    trace = fl.trace(model, FACT, samples=3, corruption=fl.Noise(level=0.3, replace=True))
    at = list(range(len(encoding.ids)))
    agree(
        trace,
        oracle.grids(
            model, list(encoding.ids), embedded, at, ALL, windows_of(model, trace), probability(trace.answer_id)
        ),
    )


def test_multivariate_noise_has_the_covariance_of_the_embeddings() -> None:
    from factlens.tracing.corruption import corrupt

    model = small_model("gpt2")
    encoding = model.encode(FACT)
    start, stop = encoding.subject_range
    draw = corrupt(model, FACT, encoding, fl.Noise(shape="multivariate", multiple=2.0), 20000, 1)
    clean = model.embedding(torch.tensor([encoding.ids])).detach()
    noise = (draw.embedded - clean)[:, start:stop].flatten(0, 1)
    table = model.embedding.weight.detach()
    expected = 4 * torch.cov(table.T)
    found = torch.cov(noise.T)
    assert float((found - expected).norm() / expected.norm()) < 0.05
    assert draw.level == 2.0
    assert fl.trace(model, FACT, samples=2, corruption=fl.Noise(shape="multivariate")).complete
    few = corrupt(model, FACT, encoding, fl.Noise(shape="multivariate", subjects=("Zürich",)), 5, 1)
    assert torch.isfinite(few.embedded).all()


REPLACEMENTS = {
    "longer": "Space Needle in downtown Seattle",
    "shorter": "river",
    "other first letter": "Big Tower",
}


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bloom", "gemma2", "opt"])
@pytest.mark.parametrize("subject", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_another_subject_in_the_subjects_place(kind: str, subject: str) -> None:
    model = small_model(kind)
    encoding, other = model.encode(FACT), model.encode(fl.Fact(FACT.template, subject))
    trace = fl.trace(model, FACT, corruption=fl.Replacement(subject))
    assert trace.samples.sizes["sample"] == 1
    assert trace.noise_level is None
    (start, stop), end = encoding.subject_range, other.subject_range[1]
    first = start  # also where the space before the other subject is a token of its own
    assert (len(other.ids) > len(encoding.ids)) == (subject != "river")
    at = []
    for token in range(len(encoding.ids)):
        if token < start:
            at.append(token)
        elif token >= stop:
            at.append(end + token - stop)
        else:  # matched from the end; what is left over goes to the first
            at.append(max(first, end - (stop - token)))
    with torch.no_grad():
        embedded = model.embedding(torch.tensor([other.ids]))
    expected = oracle.grids(
        model, list(encoding.ids), embedded, at, ALL, windows_of(model, trace), probability(trace.answer_id)
    )
    agree(trace, expected, least=1e-4)


def test_a_replacement_must_leave_the_rest_of_the_prompt_alone() -> None:
    model = small_model("gpt2")
    with pytest.raises(FactError, match="by itself"):
        fl.trace(model, FACT, corruption=fl.Replacement("Eiffel Tower"))
    with pytest.raises(FactError, match="with something in it"):
        fl.Replacement(" ")


def test_an_answer_of_several_tokens_is_teacher_forced() -> None:
    model = small_model("gpt2")
    encoding = model.encode(FACT)
    _, answer = model.encode_option(FACT.prompt, "Reykjavík")
    assert len(answer) > 2
    for metric in ("probability", "log_probability"):
        trace = fl.trace(
            model,
            FACT,
            kinds=[*ALL, "severed_mlp"],
            samples=3,
            corruption=fl.Noise(level=0.3),
            answer="Reykjavík",
            metric=metric,
        )
        assert trace.answer_ids == answer
        assert trace.answer == " Reykjavík"

        def score(logits, metric=metric):
            logs = sum(logits[:, i].log_softmax(-1)[:, token] for i, token in enumerate(answer))
            return logs.exp() if metric == "probability" else logs

        embedded = noisy(model, FACT, gaussian(model, FACT), forced=answer[:-1])
        ids = [*encoding.ids, *answer[:-1]]
        expected = oracle.grids(
            model,
            ids,
            embedded,
            list(range(len(ids))),
            list(trace.kinds),
            windows_of(model, trace),
            score,
            positions=len(answer),
            tokens=len(encoding.ids),
        )
        if metric == "probability":  # tiny numbers: hold them relatively
            for kind in trace.kinds:
                np.testing.assert_allclose(trace.samples.sel(kind=kind).values, expected[kind], rtol=1e-3, atol=1e-9)
        else:
            agree_loosely(trace, expected)


def agree_loosely(trace: fl.Trace, expected: dict) -> None:
    """Logarithms and logits are not bounded by one: 1e-5 of their size."""
    assert trace.high == pytest.approx(expected["high"], rel=1e-5, abs=1e-4)
    for kind in trace.kinds:
        np.testing.assert_allclose(trace.samples.sel(kind=kind).values, expected[kind], rtol=1e-5, atol=1e-4)
    assert np.ptp(np.stack([expected[kind] for kind in trace.kinds])) > 1e-2


def test_logit_difference_against_another_answer() -> None:
    model = small_model("llama")
    encoding = model.encode(FACT)
    _, a = model.encode_option(FACT.prompt, "Paris")
    _, b = model.encode_option(FACT.prompt, "Seattle")
    trace = fl.trace(
        model,
        FACT,
        samples=3,
        corruption=fl.Noise(level=0.3),
        metric="logit_difference",
        answer="Paris",
        contrast="Seattle",
    )
    embedded = noisy(model, FACT, gaussian(model, FACT))
    expected = oracle.grids(
        model,
        list(encoding.ids),
        embedded,
        list(range(len(encoding.ids))),
        ALL,
        windows_of(model, trace),
        lambda logits: logits[:, -1, a[0]] - logits[:, -1, b[0]],
    )
    agree_loosely(trace, expected)


def test_logit_difference_where_two_answers_part() -> None:
    model = small_model("gpt2")
    answers = ("the Tower", "the Needle")
    ids = [model.encode_option(FACT.prompt, option)[1] for option in answers]
    shared = next(i for i, (a, b) in enumerate(zip(*ids, strict=False)) if a != b)
    assert shared > 0
    trace = fl.trace(
        model,
        FACT,
        kinds=["state"],
        samples=3,
        corruption=fl.Noise(level=0.3),
        metric="logit_difference",
        answer=answers[0],
        contrast=answers[1],
    )
    encoding = model.encode(FACT)
    forced = ids[0][:shared]
    embedded = noisy(model, FACT, gaussian(model, FACT), forced=forced)
    expected = oracle.grids(
        model,
        [*encoding.ids, *forced],
        embedded,
        list(range(len(encoding.ids) + shared)),
        ["state"],
        [range(0)] * model.n_layers,
        lambda logits: logits[:, -1, ids[0][shared]] - logits[:, -1, ids[1][shared]],
        tokens=len(encoding.ids),
    )
    agree_loosely(trace, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "loss"}, "metric must be one of"),
        ({"metric": "logit_difference"}, "needs the answer to compare with"),
        ({"contrast": "Paris"}, "used by metric='logit_difference' only"),
        ({"metric": "logit_difference", "answer": "Paris", "contrast": "Paris"}, "do not differ"),
        ({"answer": " "}, "answer must be a text"),
        ({"kinds": ["head.9"]}, "no head 9"),
        ({"window_convention": "mine"}, "window_convention must be"),
        ({"corruption": 3.0}, "must be a Noise or a Replacement"),
    ],
)
def test_choices_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(FactError, match=message):
        fl.trace(small_model("gpt2"), FACT, samples=2, **options)


def test_the_contrast_may_not_be_the_models_own_answer(atlas: fl.Model) -> None:
    fact = fl.Fact("{} is in downtown", "The Space Needle")
    with pytest.raises(FactError, match="what the model answers anyway"):
        fl.trace(atlas, fact, metric="logit_difference", contrast="Seattle")
    trace = fl.trace(atlas, fact, kinds=["state"], samples=2, metric="logit_difference", contrast="Paris")
    assert trace.high > trace.low


def test_interval_of_the_effects_is_paired() -> None:
    from scipy import stats

    trace = fl.trace(small_model("gpt2"), FACT, samples=6, corruption=fl.Noise(level=0.3))
    cell = {"kind": "mlp", "token": 4, "layer": 2}
    differences = trace.samples.sel(cell).values - trace.low_samples
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    found = trace.interval(0.9).sel(cell)
    assert float(found.sel(bound="lower")) == pytest.approx(expected.low, rel=1e-5)
    assert float(found.sel(bound="upper")) == pytest.approx(expected.high, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "gpt_neox"])
def test_half_precision_agrees_to_its_own_rounding(kind: str, dtype: torch.dtype) -> None:
    """The stated tolerance: 0.02 of probability in bfloat16, 0.004 in float16 (whose step is an eighth)."""
    model = small_model(kind, dtype=dtype)
    expected = oracle.trace(model, FACT, samples=3, level=0.3, window=3)
    trace = fl.trace(model, FACT, samples=3, corruption=fl.Noise(level=0.3), window=3)
    tolerance = 0.02 if dtype == torch.bfloat16 else 0.004
    for name in trace.kinds:
        np.testing.assert_allclose(trace.samples.sel(kind=name).values, expected[name], atol=tolerance, err_msg=name)
