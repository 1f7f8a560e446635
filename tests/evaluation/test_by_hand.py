"""Two records whose every metric is worked out by hand: what a model said is written down, no model is asked."""

from __future__ import annotations

import math

import pytest

import factlens as fl
from factlens.evaluation import Checks, Measured, Outcome, Reading, Record, Report


def reading(old: float, new: float, *, leads: tuple[bool, bool], tokens: tuple[float, float]) -> Reading:
    return Reading((old, new), "x", leads, tokens)


@pytest.fixture(scope="module")
def report() -> Report:
    """An edit of the Louvre with everything asked, and one of Big Ben with a neighbour only."""
    louvre = fl.Fact("{} is in", subject="The Louvre", object="Paris", target="New York")
    ben = fl.Fact("{} is in", subject="Big Ben", object="London", target="Rome")
    checks = Checks.of(
        louvre,
        "Paris",
        paraphrases=["You find {} in", "{} stands in"],
        neighbours=[("Notre-Dame is in", "Paris"), ("The Sorbonne is in", "Paris"), ("Montmartre is in", "Paris")],
        others=[("The Louvre is a kind of", "museum")],
        portability=[("The Louvre is in the land of", "France", "America")],
        generation_prompts=["{} is"],
        references=["rome rome italy"],
    )
    few = Checks.of(ben, "London", neighbours=[("Tower Bridge is in", "London")], references=["paris france"])
    no, yes, neither, half = (True, False), (False, True), (False, False), (0.0, 0.5)
    after = Measured(
        (
            reading(0.125, 0.5, leads=yes, tokens=(0, 1)),
            # One paraphrase holds; in the other only one of the two tokens of "New York" is said.
            reading(0.25, 0.375, leads=neither, tokens=half),
            reading(0.5, 0.25, leads=no, tokens=(1, 0)),
            # Of three neighbours one has gone over, one is a tie, which is no success, and one is well.
            reading(0.25, 0.75, leads=yes, tokens=(0, 1)),
            reading(0.25, 0.25, leads=neither, tokens=(0, 0)),
            reading(0.75, 0.125, leads=no, tokens=(1, 0)),
            reading(0.5, 0.25, leads=no, tokens=(1, 0)),
            reading(0.25, 0.5, leads=neither, tokens=half),
        ),
        texts=("rome italy",),
        kl=0.25,
        perplexity=8.0,
    )
    other = Measured(
        (
            reading(0.5, 0.25, leads=no, tokens=(1, 0)),
            reading(0.75, 0.25, leads=no, tokens=(1, 0)),
        ),
        kl=0.75,
        perplexity=16.0,
    )
    return Report(
        (
            Outcome("rome", Record(louvre, checks, "louvre"), after, after, 1.0),
            Outcome("rome", Record(ben, few, "ben"), other, other, 1.0),
        ),
        2,
    )


BY_HAND = {
    # ES: the first record's new object beats the old one, the second's does not. EM: (0.375 - 0.25) / 2.
    "rewrite_success": 1 / 2,
    "rewrite_magnitude": (0.375 - 0.25) / 2,
    "rewrite_leads": 1 / 2,
    "rewrite_tokens": 1 / 2,
    # One record has paraphrases: half of them succeed, (0.125 - 0.25) / 2 is the magnitude, 1 token of 4 is said.
    "paraphrase_success": 1 / 2,
    "paraphrase_magnitude": -0.0625,
    "paraphrase_leads": 0,
    "paraphrase_tokens": 1 / 4,
    # Means over records of means over probes: (1/3 + 1) / 2, not 2 of 4. NM turns the difference round.
    "neighbour_success": 2 / 3,
    "neighbour_magnitude": ((-0.5 + 0 + 0.625) / 3 + 0.5) / 2,
    "neighbour_leads": 2 / 3,
    "neighbour_tokens": 2 / 3,
    "other_success": 1,
    "other_magnitude": 0.25,
    "other_leads": 1,
    "other_tokens": 1,
    "portability_success": 1,
    "portability_magnitude": 0.25,
    "portability_leads": 0,
    "portability_tokens": 1 / 2,
    # Of one record; what follows from its edit is not said, what should stay is.
    "entailed": 0,
    "independent": 1,
    # 3 / (2 + 2 + 3/2).
    "score": 6 / 11,
    # One bigram and no trigram: no entropy.
    "fluency": 0,
    # Both words stand in one of the two references each: weights cancel, (1·2 + 1·1) / √(2 · 5).
    "consistency": 100 * 3 / math.sqrt(10),
    "kl": 0.5,
    "perplexity": 12.0,
}


def test_every_metric_of_the_summary(report: Report) -> None:
    found = report.summary().loc["rome"]["after"].to_dict()
    assert found == pytest.approx(BY_HAND, abs=1e-12)


def test_how_many_records_have_each_metric(report: Report) -> None:
    records = report.summary().loc["rome"]["records"]
    assert records["rewrite_success"] == records["neighbour_success"] == records["kl"] == 2
    assert records["paraphrase_success"] == records["portability_leads"] == records["consistency"] == 1


def test_an_interval_over_two_records_spans_both(report: Report) -> None:
    """Drawn with replacement, a quarter of the samples are one record twice, and a quarter the other."""
    row = report.summary().loc[("rome", "kl")]
    assert (row["after_low"], row["after_high"]) == (0.25, 0.75)
