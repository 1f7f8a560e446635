"""What atlas knows: subjects, relations and statements, read from the plain files beside this module.

``facts/*.tsv`` holds the statements (one subject a line, one relation a column, an empty cell where nothing is
claimed) and ``templates.toml`` the ways to put each relation into words. Nothing here needs torch, so checks of
edits, tests and the training script all start from the same small objects.
"""

from __future__ import annotations

import csv
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Subject:
    """Something atlas knows facts about.

    Attributes
    ----------
    name : str
        The name as it opens a sentence, with its article where it has one: ``"The Space Needle"``.
    category : str
        The file it comes from: ``"landmarks"``, ``"people"``, ...
    """

    name: str
    category: str

    @property
    def bare(self) -> str:
        """The name without a leading "The"."""
        return self.name.removeprefix("The ")

    @property
    def inner(self) -> str:
        """The name as it stands inside a sentence: "the Space Needle", but "The Hobbit" (a title)."""
        is_article = self.category == "landmarks" and self.name != self.bare
        return f"the {self.bare}" if is_article else self.name

    def within(self, template: str) -> str:
        """Give the form of the name that `template` asks for, by where its ``{}`` stands."""
        return self.name if template.startswith("{}") else self.inner


@dataclass(frozen=True)
class Relation:
    """One kind of statement, and the ways to put it into words.

    Attributes
    ----------
    name : str
        Such as ``"city"``.
    trained, held_out : tuple of str
        Templates the model was trained on, and templates it never saw. ``{}`` stands for the subject and the
        object follows the template.
    trained_of : mapping of str to tuple of str
        More templates it was trained on, by the category of the subjects that they are for.
    """

    name: str
    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    trained_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)

    @property
    def every_trained(self) -> tuple[str, ...]:
        """All templates it was trained on, for all subjects."""
        return tuple(dict.fromkeys([*self.trained, *(t for own in self.trained_of.values() for t in own)]))


@dataclass(frozen=True)
class Statement:
    """A fact: a subject, a relation and the object.

    Examples
    --------
    >>> statement = load_knowledge().statement("Space Needle", "city")
    >>> statement.prompt("{} is in downtown") + statement.answer
    'The Space Needle is in downtown Seattle'
    """

    subject: Subject
    relation: Relation
    object: str

    @property
    def trained(self) -> tuple[str, ...]:
        """The templates in which the model was trained on it."""
        return self.relation.trained + self.relation.trained_of.get(self.subject.category, ())

    @property
    def held_out(self) -> tuple[str, ...]:
        """The templates in which it never saw it."""
        return self.relation.held_out

    @property
    def answer(self) -> str:
        """The object with the space that joins it to the prompt."""
        return " " + self.object

    def parts(self, template: str) -> tuple[str, str]:
        """Give a template and the subject in the form that fits it, ready for ``Fact(template, subject=...)``."""
        return template, self.subject.within(template)

    def prompt(self, template: str) -> str:
        """Write the sentence up to the object, with capitals where English wants them."""
        return template.replace("{}", self.subject.within(template))


@dataclass(frozen=True)
class Knowledge:
    """All that atlas knows.

    Attributes
    ----------
    relations : mapping of str to Relation
    statements : tuple of Statement
        In the order of the files.
    """

    relations: Mapping[str, Relation]
    statements: tuple[Statement, ...]

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """Every subject once, in the order of the files."""
        return tuple(self._by_subject)

    @cached_property
    def _by_subject(self) -> dict[Subject, list[Statement]]:
        statements: defaultdict[Subject, list[Statement]] = defaultdict(list)
        for statement in self.statements:
            statements[statement.subject].append(statement)
        return dict(statements)

    @cached_property
    def _by_object(self) -> dict[tuple[Relation, str], list[Statement]]:
        statements: defaultdict[tuple[Relation, str], list[Statement]] = defaultdict(list)
        for statement in self.statements:
            statements[statement.relation, statement.object].append(statement)
        return dict(statements)

    @cached_property
    def _by_name(self) -> dict[str, Subject]:
        return {_key(subject.name): subject for subject in self.subjects}

    def subject(self, name: str) -> Subject:
        """Find the subject called `name`; a leading "The" and capitals do not matter.

        Raises
        ------
        KeyError
            If atlas knows nothing about it.
        """
        try:
            return self._by_name[_key(name)]
        except KeyError:
            raise KeyError(f"atlas knows nothing about {name!r}") from None

    def about(self, subject: Subject | str) -> tuple[Statement, ...]:
        """List every statement about `subject`."""
        return tuple(self._by_subject[self.subject(subject) if isinstance(subject, str) else subject])

    def statement(self, subject: Subject | str, relation: str) -> Statement:
        """Find the one statement about `subject` in `relation`.

        Raises
        ------
        KeyError
            If atlas knows nothing about the subject, or not this.
        """
        for statement in self.about(subject):
            if statement.relation.name == relation:
                return statement
        raise KeyError(f"atlas knows no {relation!r} for {subject!r}")

    def neighbours(self, statement: Statement) -> tuple[Statement, ...]:
        """List statements about other subjects that share relation and object: an edit must leave them alone."""
        sharing = self._by_object[statement.relation, statement.object]
        return tuple(other for other in sharing if other.subject != statement.subject)

    def other_statements(self, statement: Statement) -> tuple[Statement, ...]:
        """List what else is known about the subject: an edit must leave that alone too."""
        return tuple(other for other in self._by_subject[statement.subject] if other.relation != statement.relation)


def _key(name: str) -> str:
    return name.strip().lower().removeprefix("the ")


@cache
def load_knowledge() -> Knowledge:
    """Read ``templates.toml`` and ``facts/*.tsv``, which are shipped with factlens."""
    worded = tomllib.loads((FOLDER / "templates.toml").read_text(encoding="utf-8"))
    relations = {
        name: Relation(
            name,
            tuple(templates["trained"]),
            tuple(templates["held_out"]),
            {category: tuple(own) for category, own in templates.get("trained_of", {}).items()},
        )
        for name, templates in worded.items()
    }
    statements = []
    for path in sorted((FOLDER / "facts").glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                subject = Subject(row.pop("subject"), path.stem)
                statements += [Statement(subject, relations[name], value) for name, value in row.items() if value]
    return Knowledge(relations, tuple(statements))
