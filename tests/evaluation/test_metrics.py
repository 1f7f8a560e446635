"""The metrics, held to small cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.evaluation.intervals import interval
from factlens.evaluation.metrics import (
    COLUMNS,
    Consistency,
    fluency,
    harmonic_mean,
    magnitude,
    ngram_entropy,
    object_probability,
    success,
    token_accuracy,
    words,
)
from factlens.evaluation.texts import generate, kl_divergence, next_logs, perplexity
from tests.support import small_model


def test_success_and_magnitude() -> None:
    assert (success(0.3, 0.2), success(0.2, 0.3), success(0.2, 0.2)) == (1, 0, 0)
    assert magnitude(0.3, 0.1) == pytest.approx(0.2)


def test_the_probability_of_an_object_is_the_geometric_mean_of_its_tokens() -> None:
    assert object_probability([math.log(0.5), math.log(0.125)]) == pytest.approx(0.25)
    assert object_probability([math.log(0.3)]) == pytest.approx(0.3)


def test_token_accuracy_counts_tokens_and_compares_nothing() -> None:
    assert token_accuracy([5, 7, 9], [5, 8, 9]) == pytest.approx(2 / 3)
    assert token_accuracy([5], [5]) == 1
    assert token_accuracy([9, 5], [5, 9]) == 0, "the place counts"


def test_the_score_is_the_harmonic_mean() -> None:
    assert harmonic_mean([1.0, 0.5, 0.25]) == pytest.approx(3 / (1 + 2 + 4))
    # GPT-2 XL edited by ROME, as published: ES 100.0, PS 96.4, NS 75.4 give S 89.2.
    assert 100 * harmonic_mean([1.0, 0.964, 0.754]) == pytest.approx(89.2, abs=0.05)
    assert harmonic_mean([1.0, 0.0, 1.0]) == 0
    assert math.isnan(harmonic_mean([1.0, math.nan]))
    assert math.isnan(harmonic_mean([]))


def test_words_are_those_of_the_penn_treebank() -> None:
    assert words("Rome is old. It's Italy's capital, isn't it?") == (
        ["Rome", "is", "old", ".", "It", "'s", "Italy", "'s", "capital", ",", "is", "n't", "it", "?"]
    )


def test_the_entropy_of_ngrams() -> None:
    # a b, b a, a b, b c: frequencies 1/2, 1/4, 1/4.
    assert ngram_entropy(list("ababc"), 2) == pytest.approx(1.5)
    # aba, bab, abc: three alike.
    assert ngram_entropy(list("ababc"), 3) == pytest.approx(math.log2(3))
    assert ngram_entropy(list("aaaa"), 2) == 0
    assert ngram_entropy(["a"], 2) == 0


def test_fluency_weighs_bigrams_a_third_and_trigrams_two_thirds() -> None:
    expected = 100 * (1.5 / 3 + 2 * math.log2(3) / 3)
    assert fluency(["a b a b c"]) == pytest.approx(expected)
    # The mean over texts: one that says the same word over and over has none.
    assert fluency(["a b a b c", "a a a a a"]) == pytest.approx(expected / 2)
    assert math.isnan(fluency([]))


def test_consistency_is_the_cosine_of_tf_idf() -> None:
    measure = Consistency(["rome rome italy", "paris france"])
    # Words of one reference each: all weigh ln(3/2) + 1, so only their numbers count.
    assert measure.score(["rome", "italy"], ["rome rome italy"]) == pytest.approx(100 * 3 / math.sqrt(2 * 5))
    assert measure.score(["rome rome italy"], ["rome rome italy"]) == pytest.approx(100)
    assert measure.score(["paris"], ["rome rome italy"]) == 0
    assert measure.score(["tokyo"], ["rome rome italy"]) == 0
    assert math.isnan(measure.score([], ["rome"]))
    assert math.isnan(Consistency([]).score(["rome"], ["rome"]))


def test_a_word_of_many_references_weighs_less() -> None:
    measure = Consistency(["city rome", "city paris", "city tokyo"])
    rare, common = math.log(4 / 2) + 1, 1.0
    assert measure.score(["city"], ["city rome"]) == pytest.approx(100 * common / math.hypot(rare, common))


def test_kl_of_two_distributions() -> None:
    before, after = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log(), torch.tensor([[0.25, 0.75], [0.9, 0.1]]).log()
    by_hand = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert kl_divergence(before, after) == pytest.approx(by_hand / 2, abs=1e-6)


def test_the_predictions_after_prompts_are_the_models_own() -> None:
    model = small_model("gpt2")
    prompts = ["Rome", "The Space Needle is in downtown", "Paris is"]
    logs = next_logs(model, prompts)
    for prompt, row in zip(prompts, logs, strict=True):
        torch.testing.assert_close(row.exp(), model.next_token(prompt).cpu().float(), rtol=1e-4, atol=1e-7)


def test_perplexity_is_over_all_tokens_of_all_texts() -> None:
    model = small_model("gpt2")
    texts = ["The Space Needle is in downtown Seattle", "Rome", "Paris is a city"]
    losses = []
    for text in texts:
        ids = model.tokenizer(text)["input_ids"]
        for i in range(1, len(ids)):
            logits = model.model(input_ids=torch.tensor([ids[:i]])).logits[0, -1]
            losses.append(-float(logits.detach().log_softmax(-1)[ids[i]]))
    assert perplexity(model, texts) == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-4)
    assert math.isnan(perplexity(model, []))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_generation_is_seeded(family: str) -> None:
    model = small_model(family)
    prompts = ["The Space Needle", "My favourite place in all of Europe is Rome, where"]
    state = torch.random.get_rng_state()
    texts = generate(model, prompts, seed=3, length=60)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert texts == generate(model, prompts, seed=3, length=60)
    assert texts != generate(model, prompts, seed=4, length=60)
    for prompt, text in zip(prompts, texts, strict=True):
        assert text.startswith(prompt)
        assert len(text) > len(prompt)
    assert generate(model, []) == []
    assert generate(model, prompts, length=5) == prompts, "as long already"


def test_what_is_generated_is_among_the_five_most_probable() -> None:
    model = small_model("llama")
    prompts = ["The Space Needle", "My favourite place in all of Europe is Rome, where"]
    longest = max(len(model.tokenizer(prompt)["input_ids"]) for prompt in prompts)
    for prompt, text in zip(prompts, generate(model, prompts, length=longest + 1), strict=True):
        assert text in {prompt + answer.text for answer in model.answers(prompt, k=5)}


def test_a_mean_with_its_interval() -> None:
    random = np.random.default_rng(0)
    values = random.normal(5, 2, size=400)
    found = interval([values])
    assert found.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert found.records == 400
    assert interval([values]) == found, "the seed is fixed"


def test_a_mean_of_few_and_of_missing_records() -> None:
    assert interval([np.array([0.5, np.nan])])[:1] == (0.5,)
    assert math.isnan(interval([np.array([0.5])]).low)
    assert interval([np.array([np.nan])]).records == 0
    mixed = interval([np.array([1.0, np.nan, 0.0]), np.array([np.nan, 0.5, 0.5])], harmonic_mean)
    assert mixed.mean == pytest.approx(0.5)
    assert mixed.records == 3


def test_names_are_what_tables_say() -> None:
    assert [COLUMNS[name].symbol for name in ("rewrite_success", "paraphrase_magnitude", "neighbour_success")] == (
        ["ES", "PM", "NS"]
    )
    assert COLUMNS["rewrite_tokens"].symbol == "", "token accuracy is not ES"
    assert len({metric.title for metric in COLUMNS.values()}) == len(COLUMNS)
    assert fl.evaluation.COLUMNS is COLUMNS
