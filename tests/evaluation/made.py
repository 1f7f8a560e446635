"""A few records for a small random model."""

from __future__ import annotations

import factlens as fl
from factlens.evaluation import Checks, Record

WORDS = ("Rome", "Paris", "Seattle", "Zürich")


def small_records() -> list[Record]:
    """Records for a small random model, with everything that can be asked."""
    records = []
    for i, subject in enumerate(("The Space Needle", "The Louvre", "Big Ben")):
        old, new = WORDS[i], WORDS[i + 1]
        fact = fl.Fact("{} is in", subject=subject, object=old, target=new)
        checks = Checks.of(
            fact,
            old,
            paraphrases=["You find {} in"],
            neighbours=[("The Colosseum is in", old), ("The Forum is in", old)],
            others=[("Everyone loves " + subject, "a")],
            portability=[(f"{subject} is in the land of", "x", "y")],
            generation_prompts=["{} is"],
            references=[f"All about {new}, the old town."],
        )
        records.append(Record(fact, checks, f"case {i}"))
    return records
