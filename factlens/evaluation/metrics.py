"""The measures of editing, each with its formula, its source, and a name that means one thing.

A probe compares two objects: `old`, right before the edit, and `new`, which the edit brings in. With ``nll(x)`` the
mean over the tokens of an object of ``-log p``, and ``P(x) = exp(-nll(x))``:

=========  ===========================================================================================
success    ``P(wanted) > P(other)``. ES, PS and NS of Meng et al. (2022), section 3.3
magnitude  ``P(wanted) - P(other)``. EM, PM and NM of the same section
leads      greedy decoding says the wanted object: all its tokens are the most probable ones
tokens     the share of the wanted object's tokens that are the most probable ones, each after the right ones
           before it: the accuracy of zsRE, and what EasyEdit calls "rewrite_acc". It is not ES
=========  ===========================================================================================

*Wanted* is the new object for the prompt, its paraphrases and what follows from the fact (portability: Yao et al.
2023); it is the old one for neighbours and the subject's other facts (specificity towards other relations: Yao et al.
2023, "other attributes"). A record's number is the mean over its probes of a role, the number of a
whole data set the mean over records, as in the published evaluation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from factlens.evaluation.checks import ROLE_NAMES, ROLES
from factlens.extras import needs

MEASURES = ("success", "magnitude", "leads", "tokens")


@dataclass(frozen=True)
class Metric:
    """What a number is called, and how to read it.

    Attributes
    ----------
    name
        The name in tables: ``"paraphrase_success"``.
    symbol
        The published symbol where there is one: ``"PS"``.
    title
        In words.
    better
        1 if more is better, -1 if less is.
    share
        Whether it is a share, to be shown in percent.
    """

    name: str
    symbol: str
    title: str
    better: int = 1
    share: bool = True


_SYMBOLS = {
    ("rewrite", "success"): "ES",
    ("rewrite", "magnitude"): "EM",
    ("paraphrase", "success"): "PS",
    ("paraphrase", "magnitude"): "PM",
    ("neighbour", "success"): "NS",
    ("neighbour", "magnitude"): "NM",
}
_WORDS = {
    "success": "wanted object beats the other",
    "magnitude": "by how much",
    "leads": "wanted object is the answer",
    "tokens": "tokens of the wanted object",
}

METRICS: dict[str, Metric] = {
    "score": Metric("score", "S", "harmonic mean of ES, PS and NS"),
    **{
        f"{role}_{measure}": Metric(
            f"{role}_{measure}", _SYMBOLS.get((role, measure), ""), f"{ROLE_NAMES[role]}: {_WORDS[measure]}"
        )
        for role in ROLES
        for measure in MEASURES
    },
    "fluency": Metric("fluency", "GE", "n-gram entropy of generated text (100 × bits)", share=False),
    "consistency": Metric("consistency", "RS", "TF-IDF cosine of generated text and references (× 100)", share=False),
    "kl": Metric("kl", "", "KL divergence on unrelated prompts (nats)", better=-1, share=False),
    "perplexity": Metric("perplexity", "", "perplexity of ordinary text", better=-1, share=False),
}
"""Every metric by name, in the order of tables."""


def object_probability(logs: Sequence[float]) -> float:
    """Return ``P(x) = exp(-nll(x))``, the geometric mean of the probabilities of an object's tokens.

    Parameters
    ----------
    logs
        ``log p`` of each token, given the prompt and the tokens before it (Meng et al. 2022, published evaluation).
    """
    return math.exp(sum(logs) / len(logs))


def token_accuracy(said: Sequence[int], wanted: Sequence[int]) -> float:
    """Return the share of an object's tokens that the model says, each after the right ones before it.

    This is the accuracy of zsRE (Mitchell et al. 2022; Meng et al. 2022, section 3.2), and EasyEdit's "rewrite_acc"
    (Wang et al. 2024) where it is read at the edited prompt. It compares no two objects, so it is not ES.

    Parameters
    ----------
    said
        The most probable token at each place.
    wanted
        The object's tokens.
    """
    return sum(a == b for a, b in zip(said, wanted, strict=True)) / len(wanted)


def magnitude(wanted: float, other: float) -> float:
    """Return ``P(wanted) - P(other)`` (EM, PM, NM: Meng et al. 2022, section 3.3)."""
    return wanted - other


def success(wanted: float, other: float) -> float:
    """Return 1 where ``P(wanted) > P(other)``, else 0 (ES, PS, NS: Meng et al. 2022, section 3.3); a tie is none."""
    return float(wanted > other)


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
