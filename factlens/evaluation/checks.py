"""What to ask a model before and after an edit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from factlens.errors import FactError
from factlens.facts import Fact

ROLES = ("rewrite", "paraphrase", "neighbour", "other", "portability")
ROLE_NAMES = {
    "rewrite": "the prompt",
    "paraphrase": "paraphrases",
    "neighbour": "neighbours",
    "other": "other facts of the subject",
    "portability": "what follows from the new fact",
}
_CHANGED = ("rewrite", "paraphrase", "portability")


@dataclass(frozen=True)
class Probe:
    """One prompt with two objects to compare.

    Attributes
    ----------
    role
        ``"rewrite"`` (the edited prompt), ``"paraphrase"`` (the same fact in other words), ``"neighbour"``
        (another subject with the old object), ``"other"`` (another fact of the subject) or ``"portability"``
        (something that follows from the new fact).
    prompt
        The text up to the object.
    old
        The object that was right before the edit (for neighbours and other facts: and still is).
    new
        The object that the edit brings in; for portability, what follows from it.
    """

    role: str
    prompt: str
    old: str
    new: str

    @property
    def wanted(self) -> str:
        """The object that ought to lead after the edit."""
        return self.new if self.role in _CHANGED else self.old


@dataclass(frozen=True)
class Checks:
    """What to ask a model about one edit.

    Attributes
    ----------
    probes
        Prompts with two objects to compare.
    generation_prompts
        Beginnings of texts about the subject, which the model goes on with: their fluency is measured.
    references
        Texts about subjects that have the new object: what is generated shall be consistent with them.
    """

    probes: tuple[Probe, ...]
    generation_prompts: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        fact: Fact,
        old: str,
        *,
        paraphrases: Iterable[str] = (),
        neighbours: Iterable[tuple[str, str]] = (),
        others: Iterable[tuple[str, str]] = (),
        portability: Iterable[tuple[str, str, str]] = (),
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
            Prompts that ask for the same, the subject spelt out or ``{}`` in its place.
        neighbours, others
            Pairs of a prompt and its (unchanged) object.
        portability
            Triples of a prompt, its object before the edit, and the one that follows from the new fact.
        generation_prompts, references
            As the attributes; ``{}`` in a generation prompt stands for the subject.

        Raises
        ------
        FactError
            If the fact has no target.
        """
        if fact.target is None:
            raise FactError("Checks compare the old object with the fact's target, and it has none.")
        new = fact.target
        probes = [Probe("rewrite", fact.prompt, old, new)]
        probes += [Probe("paraphrase", text.replace("{}", fact.subject), old, new) for text in paraphrases]
        probes += [Probe("neighbour", prompt, answer, new) for prompt, answer in neighbours]
        probes += [Probe("other", prompt, answer, new) for prompt, answer in others]
        probes += [Probe("portability", prompt, before, follows) for prompt, before, follows in portability]
        begun = tuple(text.replace("{}", fact.subject) for text in generation_prompts)
        return cls(tuple(probes), begun, tuple(references))


def atlas_checks(fact: Fact, *, neighbours: int = 10, others: int = 2, seed: int = 0) -> Checks:
    """Return checks of a fact that atlas knows, from its own fact file.

    Paraphrases are the relation's held-out templates, which atlas was never trained on; neighbours are other
    subjects with the same object; other facts are put in `others` trained templates each.

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

    knowledge = load_knowledge()
    try:
        about = knowledge.about(fact.subject)
    except KeyError as error:
        raise FactError(f"There are no ready-made checks: {error.args[0]}. Pass checks= yourself.") from None
    ways = {statement: (*statement.trained, *statement.held_out) for statement in about}
    found = [statement for statement, templates in ways.items() if fact.template in templates]
    if not found:
        raise FactError(
            f"There are no ready-made checks: atlas has no template {fact.template!r} about {fact.subject!r}. "
            "Pass checks= yourself."
        )
    statement, random = found[0], Random(seed)
    near = list(knowledge.neighbours(statement))
    near = random.sample(near, min(neighbours, len(near)))
    return Checks.of(
        fact,
        statement.object,
        paraphrases=[statement.prompt(t) for t in statement.held_out if t != fact.template],
        neighbours=[(other.prompt(random.choice(other.trained)), other.object) for other in near],
        others=[
            (other.prompt(t), other.object)
            for other in knowledge.other_statements(statement)
            for t in random.sample(other.trained, others)
        ],
    )
