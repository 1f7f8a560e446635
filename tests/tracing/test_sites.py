"""atlas has the two sites that its model card claims, on average over facts."""

from __future__ import annotations

from random import Random

import factlens as fl
from factlens.models.atlas.knowledge import load_knowledge


def test_averaged_traces_show_an_early_and_a_late_site(atlas: fl.Model) -> None:
    random = Random(5)
    statements = [statement for statement in load_knowledge().statements if statement.relation.name != "kind"]
    facts = [
        fl.Fact(*statement.parts(random.choice(statement.relation.trained)), object=statement.object)
        for statement in random.sample(statements, 20)
    ]
    average = fl.average_over(atlas, facts, samples=4, kinds=("mlp", "attn"))
    assert average.n >= 15
    mlp = average.effects.sel(kind="mlp", role="last subject token").values
    attention = average.effects.sel(kind="attn", role="last token").values
    assert average.total_effect > 0.55
    assert 1 <= mlp.argmax() <= 4
    assert mlp.max() > 0.15
    assert attention.argmax() >= 4
    assert attention.max() > 0.5
