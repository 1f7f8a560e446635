"""The questions asked before and after, and how they are scored."""

from __future__ import annotations

import pytest
import torch

import factlens as fl
from factlens.evaluation import Checks, atlas_checks, read
from factlens.models.atlas.knowledge import load_knowledge
from tests.support import small_model

FACT = fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris")


@pytest.fixture(scope="module")
def edit(shared_atlas: fl.Model) -> fl.Edit:
    return fl.edit(shared_atlas, FACT, apply=False)


def test_a_reading_is_the_geometric_mean_over_the_objects_tokens() -> None:
    model = small_model("gpt2")
    prompts = ["The Space Needle is in", "Everyone knows"]
    options = [("Seattle", "a"), ("Zürich", "Paris")]
    readings = read(model, prompts, options)
    for prompt, objects, reading in zip(prompts, options, readings, strict=True):
        for option, found in zip(objects, reading.probabilities, strict=True):
            ids, target = model.encode_option(prompt, option)
            logs = []
            for i, token in enumerate(target):
                logits = model.model(input_ids=torch.tensor([[*ids, *target[:i]]])).logits[0, -1]
                logs.append(float(logits.detach().log_softmax(-1)[token]))
            assert found == pytest.approx(float(torch.tensor(logs).mean().exp()), rel=1e-4)
        assert reading.top == model.answers(prompt, k=1)[0].text


def test_objects_of_one_token_are_read_from_one_row() -> None:
    model = small_model("gpt2")
    prompts = ["The Space Needle is in", "Everyone knows", "The Space Needle is in"]
    words = ("Rome", "Zürich", "Seattle")
    said = [answer.text.strip() for answer in model.answers(prompts[0], k=200)]
    single = [word for word in said if word and len(model.encode_option(prompts[0], word)[1]) == 1][:2]
    long = next(word for word in words if len(model.encode_option(prompts[1], word)[1]) > 1)
    options = [single, [single[0], long], single]
    alone = [read(model, [p], [[o]])[0] for p, those in zip(prompts, options, strict=True) for o in those]
    run: list[int] = []
    handle = model.model.register_forward_pre_hook(
        lambda module, args, kwargs: run.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        together = read(model, prompts, options)
    finally:
        handle.remove()
    # One for each of the two prompts, and one for the object of several tokens; six objects are scored.
    assert sum(run) == 3
    assert [p for reading in together for p in reading.probabilities] == pytest.approx(
        [reading.probabilities[0] for reading in alone], rel=1e-5
    )
    assert [reading.top for reading in together for _ in range(2)] == [reading.top for reading in alone]


def test_ready_made_checks_are_disjoint_from_training_where_they_say_so() -> None:
    checks = atlas_checks(FACT)
    knowledge = load_knowledge()
    statement = knowledge.statement("The Space Needle", "city")
    trained = {statement.prompt(template) for template in statement.trained}
    roles = {role: [p for p in checks.probes if p.role == role] for role in ("paraphrase", "neighbour", "other")}
    assert len(roles["paraphrase"]) >= 3
    assert not trained & {probe.prompt for probe in roles["paraphrase"]}
    assert all(probe.old == "Seattle" and "Space Needle" not in probe.prompt for probe in roles["neighbour"])
    assert all("Space Needle" in probe.prompt and probe.old != "Seattle" for probe in roles["other"])
    assert atlas_checks(FACT) == checks


def test_checks_of_a_fact_that_atlas_does_not_know() -> None:
    with pytest.raises(fl.FactlensError, match="knows nothing about 'Atlantis'"):
        atlas_checks(fl.Fact("{} is in downtown", "Atlantis", "Paris"))
    with pytest.raises(fl.FactlensError, match="no template"):
        atlas_checks(fl.Fact("They say that {} sank near", "The Space Needle", "Paris"))
    with pytest.raises(fl.FactlensError, match="target"):
        Checks.of(fl.Fact("{} is", "Rome"), "Italy")


def test_evaluation_leaves_the_model_as_it_was(atlas: fl.Model, edit: fl.Edit) -> None:
    unapplied = fl.evaluate(atlas, edit)
    assert atlas.edits == ()
    atlas.apply(edit)
    applied = fl.evaluate(atlas, edit)
    assert atlas.edits == (edit,)
    atlas.undo()
    assert applied.before == unapplied.before
    assert applied.after == unapplied.after


def test_the_summary_counts_what_it_says(atlas: fl.Model, edit: fl.Edit) -> None:
    report = fl.evaluate(atlas, edit)
    summary, frame = report.by_role(), report.to_dataframe()
    assert summary.loc["rewrite", "leads_before"] == 0
    assert summary.loc["rewrite", "leads_after"] == 1
    assert summary.loc["neighbour", "leads_before"] > 0.8
    assert {"portability", "other"} <= set(summary.index), "its country follows, and what it is stays"
    for role, rows in frame.groupby("role"):
        assert summary.loc[role, "probes"] == len(rows)
        swapped = role in ("rewrite", "paraphrase", "portability")
        wins = [(row.p_new_after > row.p_old_after) == swapped for row in rows.itertuples()]
        assert summary.loc[role, "success_after"] == sum(wins) / len(wins)
    assert "the prompt" in repr(report)
    assert "<table" in report._repr_html_()


def test_own_checks(atlas: fl.Model, edit: fl.Edit) -> None:
    checks = Checks.of(
        FACT,
        "Seattle",
        paraphrases=["{} can be found in downtown"],
        others=[("The Space Needle is a kind of", "tower")],
    )
    report = fl.evaluate(atlas, edit, checks)
    assert [probe.role for probe in report.probes] == ["rewrite", "paraphrase", "other"]
    assert report.before[1].top == " Seattle"
