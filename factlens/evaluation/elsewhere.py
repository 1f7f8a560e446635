"""What an edit has nothing to do with, for the model that brings its facts: prompts and ordinary text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from random import Random

from factlens.facts import Fact
from factlens.models import Model

PROMPTS, TEXTS, SEED = 50, 20, 1


def unrelated_prompts(model: Model, facts: Sequence[Fact], count: int = PROMPTS) -> list[str]:
    """Return prompts about subjects that `facts` are not about; none for a model whose facts are not known."""
    from factlens.models.atlas.knowledge import load_knowledge

    if not model.bundled:
        return []
    subjects = {fact.subject.strip().lower().removeprefix("the ") for fact in facts}
    others = [s for s in load_knowledge().statements if s.subject.bare.lower() not in subjects]
    random = Random(SEED)
    return [s.prompt(random.choice(s.trained)) for s in random.sample(others, min(count, len(others)))]


def ordinary_text(model: Model, count: int = TEXTS) -> list[str]:
    """Return text such as the model was trained on, written anew; none for a model that brings no corpus."""
    return [] if model.corpus is None else list(islice(model.corpus(SEED), count))
