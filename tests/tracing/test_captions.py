"""Captions say every setting, whichever it is, and nothing that is not so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import factlens as fl
from factlens.tracing import TraceMetric
from tests.drawing.figures import answers, average, calibration, comparison, details, report
from tests.tracing.made import made_trace

REPLACED = {"corruption": fl.Replacement("The Louvre"), "noise_level": None, "samples": 1}
CASES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (
        {},
        [
            "made up (01234567): “The Space Needle is in downtown” → “Seattle”.",
            "The answer is the model’s own.",
            "Measured: probability, 90% in the clean run and 10% in the corrupted one",
            "The subject “Space Needle” was corrupted by Gaussian noise of 3 σ of the subject itself on its embeddings",
            "3 noise samples, seed 1, noise level 0.123.",
            "MLP and attention restored over windows of 3 layers (as in the code).",
            "Total effect 80% [78%, 82%].",
            "factlens 0.1.0.",
        ],
        ["replaced", "Edits", "Incomplete"],
    ),
    (REPLACED, ["The subject “Space Needle” was replaced by “The Louvre”."], ["noise sample", "seed", "σ"]),
    ({"samples": 1}, ["1 noise sample, seed 1", "Total effect 81%."], ["[", "samples, seed"]),
    ({"sampling": "auto"}, ["as many as it took to tell the leading cells"], []),
    ({"corruption": fl.Noise(level=0.3)}, ["Gaussian noise of level 0.3 on its embeddings"], ["σ"]),
    (
        {"corruption": fl.Noise(2, subjects=("a", "b"), shape="uniform", replace=True)},
        ["uniform noise of 2 σ of 2 subjects in place of its embeddings"],
        [],
    ),
    (
        {"corruption": fl.Noise(shape="multivariate")},
        ["with the covariance of the vocabulary’s embeddings, times 3, on"],
        [],
    ),
    ({"kinds": ("state", "head.2")}, [], ["windows"]),
    ({"kinds": ("mlp",), "window": 10, "window_convention": "paper"}, ["MLP restored over windows of 10", "paper"], []),
    (
        {"metric": "logit_difference", "contrast": " Paris", "contrast_ids": (3,), "high": 4.0, "low": -1.5},
        ["Measured: logit difference between “Seattle” and “Paris”, 4.00 in the clean", "−1.50 in the corrupted"],
        ["%."],
    ),
    ({"metric": "log_probability", "high": -0.1, "low": -9.0}, ["Measured: log-probability (nats), −0.10"], []),
    ({"metric": "own", "own_metric": TraceMetric("own", title="my measure")}, ["Measured: my measure, 0.90"], []),
    ({"answer_given": "Seattle"}, [], ["model’s own"]),
    ({"answer": " New York", "answer_ids": (1, 2)}, ["→ “New York”. The answer is", "All 2 tokens of it count."], []),
    ({"answer": "⟨E6⟩", "whole_answer": "東"}, ["→ “東”.", "Measured: its first token, ⟨E6⟩."], []),
    (
        {"edits": ("A → B (rome, layer 2)",), "edit_ids": ("0123456789",)},
        ["Edits in force: A → B (rome, layer 2) [0"],
        [],
    ),
    ({"computed": 0.5}, ["Incomplete: hatched, struck or grey cells were not computed."], []),
    (
        {"known": False, "says": " Oslo", "says_probability": 0.5},
        ["The model says “Oslo” here with p = 0.5, and not “Seattle”."],
        [],
    ),
]


@pytest.mark.parametrize(("fields", "said", "unsaid"), CASES)
def test_a_caption_says_what_is_so(fields: dict[str, Any], said: list[str], unsaid: list[str]) -> None:
    caption = made_trace(**fields).caption()
    assert [part for part in said if part not in caption] == [], caption
    assert [part for part in unsaid if part in caption] == [], caption
    assert len(caption.splitlines()) == 1


def test_captions_of_other_results() -> None:
    averaged = replace(average(), edits=("A → B",), edit_ids=("0123456789",))
    for caption, parts in (
        (
            averaged.caption(),
            ["over 3 facts", "average total effect 73% [59%, 88%]", "Edits in force: A → B [01234567]"],
        ),
        (replace(averaged, corruption=None).caption(), ["Each subject was replaced by another one."]),
        (comparison().caption(), ["after less before", "before: made up", "after: made up", "→ “Paris”"]),
        (details().caption(), ["attention of token 2", "[0.2, 0.4]", "attention heads"]),
        (details(neurons=True).caption(), ["Shares of neurons"]),
        (
            report().caption(),
            ["3 records", "memit: method memit, layers 3, 4, seed 0, single edits, steps 25", "bootstrap"],
        ),
        (calibration().caption(), ["of made up (0123456789abcdef)", "seed 0", "rome: layer 3", "9 known facts"]),
        (answers().caption(), ["“The Space Needle is in”", "The Space Needle → Paris (rome, layer 3) [1f2e3d4c]"]),
    ):
        assert [part for part in parts if part not in caption] == [], caption
        assert caption.endswith("factlens 0.1.0."), caption
