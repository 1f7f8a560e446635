"""What to ask a model before and after an edit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from factlens.arguments import a_seed, a_text, instance, items, one_of, refuse, some_texts, whole
from factlens.errors import FactError
from factlens.facts import Fact, a_fact
from factlens.slots import filled
from factlens.spelling import Wording, a_wording

ROLES = ("rewrite", "paraphrase", "neighbour", "other", "portability")
ROLE_NAMES = {
    "rewrite": "the prompt",
    "paraphrase": "paraphrases",
    "neighbour": "neighbours",
    "other": "other facts, which should stay",
    "portability": "what follows from the edit",
}
OWN = "own"
"""The role of prompts that are asked besides the checks, in the lens. They count in no number."""
_CHANGED = ("rewrite", "paraphrase", "portability")


@dataclass(frozen=True)
class Probe:
    """One prompt with two objects to compare.

    Attributes
    ----------
    role
        ``"rewrite"`` (the edited prompt), ``"paraphrase"`` (the same fact in other words), ``"neighbour"``
        (another subject with the old object), ``"other"`` (another fact of the subject, which is independent of the
        edited one: it should stay) or ``"portability"`` (a fact that the edited one entails: it should change).
    prompt
        The text up to the object.
    old
        The object that was right before the edit (for neighbours and other facts: and still is).
    new
        The object that the edit brings in; for portability, what follows from it.
    """

    role: str
    prompt: str
    old: Wording
    new: Wording

    def __post_init__(self) -> None:
        one_of("role", self.role, (*ROLES, OWN))
        object.__setattr__(self, "prompt", a_text("prompt", self.prompt))
        for name in ("old", "new"):
            object.__setattr__(self, name, a_wording(name, getattr(self, name)))

    @property
    def wanted(self) -> Wording:
        """The object that should lead after the edit."""
        return self.new if self.role in _CHANGED else self.old


@dataclass(frozen=True)
class Checks:
    """What to ask a model about one edit.

    Attributes
    ----------
    probes
        Prompts with two objects to compare.
    generation_prompts
        Beginnings of texts about the subject, which the model continues: their fluency is measured.
    references
        Texts about subjects that have the new object: generated text should be consistent with them.
    """

    probes: tuple[Probe, ...]
    generation_prompts: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        example = "(Probe('rewrite', 'The Space Needle is in downtown', 'Seattle', 'Paris'),)"
        probes = tuple(
            instance(f"probes[{i}]", probe, Probe, "a factlens.evaluation.Probe")
            for i, probe in enumerate(items("probes", self.probes, "probes in a list", example))
        )
        object.__setattr__(self, "probes", probes)
        object.__setattr__(self, "generation_prompts", some_texts("generation_prompts", self.generation_prompts))
        object.__setattr__(self, "references", some_texts("references", self.references, empty=True))

    @classmethod
    def of(
        cls,
        fact: Fact,
        old: Wording,
        *,
        paraphrases: Iterable[str] = (),
        neighbours: Iterable[tuple[str, Wording]] = (),
        others: Iterable[tuple[str, Wording]] = (),
        portability: Iterable[tuple[str, Wording, Wording]] = (),
        generation_prompts: Iterable[str] = (),
        references: Iterable[str] = (),
    ) -> Checks:
        """Gather checks of a fact.

        Parameters
        ----------
        fact
            The edited fact, with its target.
        old
            The object before the edit.
        paraphrases
            Prompts that ask for the same, the subject spelt out or ``{}`` in its place; a ``{}`` that is text is
            written ``{{}}``.
        neighbours, others
            Pairs of a prompt and its (unchanged) object. Others are the facts of the subject that are independent of
            the edited one; what that entails is no damage where it changes, and belongs to `portability`.
        portability
            Triples of a prompt, its object before the edit, and the one that follows from the new fact.
        generation_prompts, references
            As the attributes; ``{}`` in a generation prompt stands for the subject.

        Raises
        ------
        FactError
            If the fact has no target, or a prompt could have the subject in several places.
        """
        a_fact("fact", fact)
        if fact.target is None:
            raise FactError("Checks compare the old object with the fact's target, and it has none.")
        old, new = a_wording("old", old, example="'Seattle'"), fact.target
        probes = [Probe("rewrite", fact.prompt, old, new)]
        rephrased = [filled(words, fact.subject) for words in some_texts("paraphrases", paraphrases)]
        probes += [Probe("paraphrase", prompt, old, new) for prompt in rephrased]
        probes += [Probe("neighbour", prompt, answer, new) for prompt, answer in _tuples("neighbours", neighbours, 2)]
        probes += [Probe("other", prompt, answer, new) for prompt, answer in _tuples("others", others, 2)]
        follow = _tuples("portability", portability, 3)
        probes += [Probe("portability", prompt, before, follows) for prompt, before, follows in follow]
        begun = [filled(words, fact.subject) for words in some_texts("generation_prompts", generation_prompts)]
        return cls(tuple(probes), tuple(begun), some_texts("references", references, empty=True))


_TUPLES = {
    2: ("pairs of a prompt and its object", "[('Pike Place is in downtown', 'Seattle')]"),
    3: (
        "triples of a prompt, its object before the edit, and the one that follows from the new fact",
        "[('The Space Needle is in the country of', 'America', 'France')]",
    ),
}


def _tuples(name: str, value: Any, length: int) -> list[tuple[Any, ...]]:
    """Return the argument `name` as tuples of `length`: a prompt and its objects."""
    tuples = []
    for i, one in enumerate(items(name, value, *_TUPLES[length])):
        each = enumerate(items(f"{name}[{i}]", one, *_TUPLES[length]))
        parts = [(a_wording if j else a_text)(f"{name}[{i}][{j}]", part) for j, part in each]
        if len(parts) != length:
            refuse(name, value, *_TUPLES[length])
        tuples.append(tuple(parts))
    return tuples


def atlas_checks(fact: Fact, *, neighbours: int = 10, others: int = 2, seed: int = 0) -> Checks:
    """Return checks of a fact that atlas knows, from its own fact file.

    Paraphrases are the relation's held-out templates, which atlas was never trained on; neighbours are other
    subjects with the same object; the subject's other facts are put in `others` trained templates each. By atlas's own
    rules (`factlens.models.atlas.knowledge.FOLLOWS`) those that follow from the new fact should change, those that are
    independent of it should stay, and those of which no rule says either are not asked.

    Parameters
    ----------
    fact
        The fact, with its target. Its template must be one of atlas's for one of the subject's relations.
    neighbours, others
        At most how many neighbours, and templates per other fact.
    seed
        Seed of the choice among them.

    Raises
    ------
    FactError
        If atlas knows nothing about the subject, or the template is none of its own.
    """
    from factlens.models.atlas.knowledge import load_knowledge

    fact, seed = a_fact("fact", fact), a_seed("seed", seed)
    neighbours, others = whole("neighbours", neighbours, least=0), whole("others", others, least=0)
    knowledge = load_knowledge()
    try:
        about = knowledge.about(fact.subject)
    except KeyError as error:
        raise FactError(f"There are no ready-made checks: {error.args[0]}. Pass checks= yourself.") from None
    ways = {statement: (*statement.trained, *statement.held_out) for statement in about}
    statements = [statement for statement, templates in ways.items() if fact.template in templates]
    if not statements:
        raise FactError(
            f"There are no ready-made checks: atlas has no template {fact.template!r} about {fact.subject!r}. "
            "Pass checks= yourself."
        )
    statement, random = statements[0], Random(seed)
    near = list(knowledge.neighbours(statement))
    near = random.sample(near, min(neighbours, len(near)))
    near_prompts = [(other.prompt(random.choice(other.trained)), other.object) for other in near]
    wordings = {
        other: [other.prompt(t) for t in random.sample(other.trained, min(others, len(other.trained)))]
        for other in knowledge.other_statements(statement)
    }
    after = knowledge.follows(statement, _bare(fact.target))
    return Checks.of(
        fact,
        statement.object,
        paraphrases=[statement.prompt(t) for t in statement.held_out if t != fact.template],
        neighbours=near_prompts,
        others=[(prompt, other.object) for other in after.independent for prompt in wordings[other]],
        portability=[(prompt, other.object, new) for other, new in after.entailed for prompt in wordings[other]],
    )


def _bare(target: Wording | None) -> str:
    """Return an object as atlas's fact file writes it, without the space that joins it to a prompt."""
    return str(target).strip()
