"""The measures of editing, each with its formula, its source, and a name that means one thing.

A probe compares two objects: `old`, right before the edit, and `new`, which the edit brings in. With ``nll(x)`` the
mean over the tokens of an object of ``-log p``, and ``P(x) = exp(-nll(x))``:

=========  ===========================================================================================
success    ``P(wanted) > P(other)``. ES, PS and NS of Meng et al. (2022), section 3.3
magnitude  ``P(wanted) - P(other)``. EM, PM and NM of the same section
leads      greedy decoding says the wanted object: all its tokens are the most probable ones
written    what the model writes on its own begins with the wanted object: see `factlens.evaluation.written` for the
           protocol, and for *written_exact* and *written_contains*. Only where it is asked for
tokens     the share of the wanted object's tokens that are the most probable ones, each after the right ones
           before it: the accuracy of zsRE, and what EasyEdit calls "rewrite_acc". It is not ES
=========  ===========================================================================================

*Wanted* is the new object for the prompt, its paraphrases and what follows from the fact (portability: Yao et al.
2023); it is the old one for neighbours and the subject's other facts (specificity towards other relations: Yao et al.
2023, "other attributes"). Of what is known of the subject besides, *entailed* is the share of what should change with
the edit where the model now says what follows, and *independent* the share of what should stay where it says what it
should (both by *leads*; Cohen et al. 2024). A record's number is the mean over its probes of a role, the number of a
whole data set the mean over records, as in the published evaluation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from factlens.arguments import items
from factlens.evaluation.checks import Probe
from factlens.evaluation.measures import (
    SHARE,
    WRITTEN,
    AnyMetric,
    CombinedMetric,
    PromptMetric,
    RecordMetric,
    References,
    columns_of,
    read_prompt_metric,
)
from factlens.evaluation.written import begins_with, contains, is_exactly
from factlens.extras import needs
from factlens.registry import Registry
from factlens.spelling import Wording

if TYPE_CHECKING:
    from factlens.evaluation.measuring import Measured
    from factlens.evaluation.records import Record
    from factlens.evaluation.scoring import Reading


def object_probability(logs: Sequence[float]) -> float:
    """Return ``P(x) = exp(-nll(x))``, the geometric mean of the probabilities of an object's tokens.

    Parameters
    ----------
    logs
        ``log p`` of each token, given the prompt and the tokens before it (Meng et al. 2022, published evaluation).
    """
    return math.exp(sum(logs) / len(logs))


def token_accuracy(predicted: Sequence[int], target: Sequence[int]) -> float:
    """Return the share of an object's tokens that the model says, each after the right ones before it.

    This is the accuracy of zsRE (Mitchell et al. 2022; Meng et al. 2022, section 3.2), and EasyEdit's "rewrite_acc"
    (Wang et al. 2024) where it is read at the edited prompt. It compares no two objects, so it is not ES.

    Parameters
    ----------
    predicted
        The most probable token at each place.
    target
        The object's tokens.
    """
    return sum(a == b for a, b in zip(predicted, target, strict=True)) / len(target)


def magnitude(p_wanted: float, p_other: float) -> float:
    """Return ``P(wanted) - P(other)`` (EM, PM, NM: Meng et al. 2022, section 3.3)."""
    return p_wanted - p_other


def success(p_wanted: float, p_other: float) -> float:
    """Return 1 where ``P(wanted) > P(other)``, else 0 (ES, PS, NS: Meng et al. 2022, section 3.3); a tie is none."""
    return float(p_wanted > p_other)


def harmonic_mean(values: Sequence[float]) -> float:
    """Return ``n / Σ 1/x``: the score S of ES, PS and NS (Meng et al. 2022, section 3.3).

    It is 0 where a value is 0, and NaN where one is NaN or there is none.
    """
    if not values or any(math.isnan(value) for value in values):
        return math.nan
    if any(value <= 0 for value in values):
        return 0.0
    return len(values) / sum(1 / value for value in values)


def words(text: str) -> list[str]:
    """Split text as the published evaluation does: into sentences, and these into words of the Penn Treebank.

    Sentences end by Punkt's rules without a trained list of abbreviations, since that would have to be downloaded.

    Raises
    ------
    FactlensError
        If NLTK is not installed (``factlens[evaluation]``).
    """
    needs("nltk", "evaluation", "Measuring fluency")
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    split = NLTKWordTokenizer().tokenize
    return [word for sentence in PunktSentenceTokenizer().tokenize(text) for word in split(sentence)]


def ngram_entropy(tokens: Sequence[str], n: int) -> float:
    """Return the entropy of the n-grams of a text, ``-Σ f log₂ f`` over their frequencies, in bits.

    A text of fewer than `n` tokens has none: 0.
    """
    counts = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    total = sum(counts.values())
    return -sum(count / total * math.log2(count / total) for count in counts.values())


def fluency(texts: Iterable[str]) -> float:
    """Return GE: 100 times the mean over texts of ``(2/3 H₂ + 4/3 H₃) / 2``.

    The weighted mean of the entropies of bigrams and trigrams falls when a text repeats itself (Zhang et al. 2018;
    weights and factor as in the published code and tables of Meng et al. 2022). NaN without any text.
    """
    entropies = []
    for text in texts:
        tokens = words(text)
        entropies.append((2 / 3 * ngram_entropy(tokens, 2) + 4 / 3 * ngram_entropy(tokens, 3)) / 2)
    return 100 * sum(entropies) / len(entropies) if entropies else math.nan


class Consistency:
    """RS: how much generated text is like texts about subjects that truly have the new object.

    100 times the cosine between the TF-IDF vectors of the generated texts, joined, and the references, joined (Meng
    et al. 2022, section 3.3). The weights of words come from all references of the data set.

    Parameters
    ----------
    corpus
        All references of the data set.

    Raises
    ------
    FactlensError
        If scikit-learn is not installed (``factlens[evaluation]``).
    """

    def __init__(self, corpus: Iterable[str]) -> None:
        needs("sklearn", "evaluation", "Measuring consistency")
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = [text for text in corpus if re.search(r"\w\w", text)]
        self._vectorizer: Any = TfidfVectorizer().fit(texts) if texts else None

    def score(self, generated: Sequence[str], references: Sequence[str]) -> float:
        """Return RS of some generated texts; NaN where either side has no text."""
        if self._vectorizer is None or not generated or not references:
            return math.nan
        # Rows have length one, so their product is the cosine; a text without any known word is a row of zeros.
        rows = self._vectorizer.transform([" ".join(generated), " ".join(references)])
        return 100 * float((rows[0] @ rows[1].T).sum())


# The table -----------------------------------------------------------------------------------------------------------


def _wanted_index(probe: Probe) -> int:
    """Return the place of the wanted object among a reading's two."""
    return (probe.old, probe.new).index(probe.wanted)


def _both(probe: Probe, reading: Reading) -> tuple[float, float]:
    """Return the probabilities of the wanted object and of the other."""
    i = _wanted_index(probe)
    return reading.probabilities[i], reading.probabilities[1 - i]


def _consistency(record: Record, measured: Measured, references: References) -> float:
    if not measured.texts or not record.checks.references:
        return math.nan
    return references.consistency.score(measured.texts, record.checks.references)


def _of_what_is_written(
    name: str, right: Callable[[str, Wording], bool], words: str, *, brief: bool = True
) -> PromptMetric:
    """Return a metric that scores what the model writes after a prompt against the wanted object."""
    return PromptMetric(
        name,
        lambda probe, reading: right(reading.written or "", probe.wanted),
        f"what is written {words}",
        SHARE,
        brief=brief,
        needs=WRITTEN,
    )


def _share_said(role: str) -> Callable[[Record, Measured, References], float]:
    """Return what gives the share of a record's prompts of one role after which the wanted object is the answer."""

    def share(record: Record, measured: Measured, references: References) -> float:
        asked = zip(record.checks.probes, measured.readings, strict=True)
        right = [reading.leads[_wanted_index(probe)] for probe, reading in asked if probe.role == role]
        return sum(right) / len(right) if right else math.nan

    return share


_TABLE: dict[str, AnyMetric] = {
    metric.name: metric
    for metric in (
        CombinedMetric(
            "score",
            harmonic_mean,
            "harmonic mean of ES, PS and NS",
            ("rewrite_success", "paraphrase_success", "neighbour_success"),
            "S",
        ),
        PromptMetric(
            "success",
            lambda probe, reading: bool(success(*_both(probe, reading))),
            "wanted object beats the other",
            SHARE,
            symbols={"rewrite": "ES", "paraphrase": "PS", "neighbour": "NS"},
        ),
        PromptMetric(
            "magnitude",
            lambda probe, reading: magnitude(*_both(probe, reading)),
            "by how much",
            SHARE,
            symbols={"rewrite": "EM", "paraphrase": "PM", "neighbour": "NM"},
        ),
        PromptMetric(
            "leads", lambda probe, reading: reading.leads[_wanted_index(probe)], "wanted object is the answer", SHARE
        ),
        _of_what_is_written("written", begins_with, "begins with the wanted object"),
        _of_what_is_written("written_exact", is_exactly, "is the wanted object alone", brief=False),
        _of_what_is_written("written_contains", contains, "contains the wanted object", brief=False),
        PromptMetric(
            "tokens",
            lambda probe, reading: reading.token_accuracy[_wanted_index(probe)],
            "tokens of the wanted object",
            SHARE,
            brief=False,
        ),
        RecordMetric("entailed", _share_said("portability"), "follows from the edit, and is the answer", unit=SHARE),
        RecordMetric("independent", _share_said("other"), "should stay, and is the answer", unit=SHARE),
        RecordMetric(
            "fluency",
            lambda record, measured, references: fluency(measured.texts),
            "n-gram entropy of generated text",
            needs="generate",
            symbol="GE",
            unit="100 × bits",
        ),
        RecordMetric(
            "consistency",
            _consistency,
            "TF-IDF cosine of generated text and references",
            needs="generate",
            symbol="RS",
            unit="× 100",
        ),
        RecordMetric(
            "kl",
            lambda record, measured, references: measured.kl,
            "KL divergence on unrelated prompts",
            needs="unrelated",
            unit="nats",
            better=-1,
        ),
        RecordMetric(
            "perplexity",
            lambda record, measured, references: measured.perplexity,
            "perplexity of ordinary text",
            needs="texts",
            better=-1,
        ),
    )
}
METRICS: Registry[AnyMetric] = Registry("metric of edits", _TABLE, PromptMetric)
"""The metrics of edits by name. Your own are metrics of prompts, whose numbers a report can keep:
``METRICS.register("mine", PromptMetric("mine", my_function))``."""
COLUMNS = columns_of(_TABLE.values())
"""The columns that they give to tables, by name and in order."""


def some_metrics(argument: str, value: Any) -> tuple[AnyMetric, ...]:
    """Return the metrics that were given: by name, as such, or as functions of a `Probe` and its `Reading`.

    Raises
    ------
    ArgumentError
        If one is none of these, or has the name of another.
    """
    each = items(argument, value, "metrics in a list: names, or functions of a probe and its reading", "['success']")
    chosen = {
        metric.name: metric
        for i, one in enumerate(each)
        if (metric := METRICS.resolved(f"{argument}[{i}]", one, PromptMetric))
    }
    return tuple(chosen.values())


def own_metrics(metrics: Iterable[AnyMetric]) -> list[PromptMetric]:
    """Return those whose numbers another factlens cannot compute from what the model said."""
    return [metric for metric in metrics if isinstance(metric, PromptMetric) and metric.name not in _TABLE]


def metric_record(metric: AnyMetric) -> str | dict[str, Any]:
    """Return a metric as plain JSON: its name, or the description of one that does not come with factlens."""
    return metric.described() if isinstance(metric, PromptMetric) and metric.name not in _TABLE else metric.name


def read_metrics(value: Any) -> tuple[AnyMetric, ...]:
    """Return the metrics that JSON records describe; raise ValueError if one is unknown."""
    metrics: list[AnyMetric] = []
    for one in value:
        if not isinstance(one, str):
            metrics.append(read_prompt_metric(one))
        elif one in METRICS:
            metrics.append(METRICS[one])
        else:
            raise ValueError(f"there is no metric {one!r:.40}")
    return tuple(metrics)
