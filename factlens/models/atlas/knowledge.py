"""What atlas knows: subjects, relations and statements, read from the plain files beside this module.

``facts/*.tsv`` holds the statements (one subject a line, one relation a column, an empty cell where nothing is
claimed) and ``templates.toml`` the ways to put each relation into words. Nothing here needs torch, so checks of
edits, tests and the training script all start from the same small objects.

What follows from a changed statement about a subject, `FOLLOWS` says: one table of rules, each a composition of two
relations. What neither follows nor is left alone by a change is open, and no check asks for it.
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
class Rule:
    """What one statement about a subject says of another: ``consequence(s) = via(source(s))``.

    Attributes
    ----------
    source, consequence : str
        Two relations of one subject: where it stands (``"city"``), and what that decides (``"country"``).
    via : str
        The relation of the source's object that has the consequence: the ``"country"`` of the city.
    strict : bool
        Whether it decides. What only usually holds decides nothing: a physicist born in Warsaw need not be Polish.
    """

    source: str
    consequence: str
    via: str
    strict: bool = True


FOLLOWS = (
    # Where something is. What is in a city is in its country; a city shares its country's continent and language.
    Rule("city", "country", "country"),
    Rule("headquarters", "country", "country"),
    Rule("country", "continent", "continent"),
    Rule("country", "language", "language"),
    # What usually goes together: an edit of one leaves it open whether the other stays.
    Rule("birthplace", "nationality", "country", strict=False),
    Rule("nationality", "mother_tongue", "language", strict=False),
    Rule("author", "original_language", "mother_tongue", strict=False),
    Rule("profession", "field", "field", strict=False),
    Rule("profession", "sport", "sport", strict=False),
    Rule("profession", "instrument", "instrument", strict=False),
)
"""What follows from what, in the sense of RippleEdits' compositions (Cohen et al. 2024) and MQuAKE (Zhong et al. 2023).

A rule decides nothing about a subject that has been its exception: in Mumbai people speak Marathi, though the country's
language is Hindi. Rules chain: a new city brings a new country, which would bring a new continent. A rule also
speaks against itself: where the consequence is edited, its source can no longer be what it was, and what it is now no
rule says.
"""


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
class Follows:
    """What becomes of the other statements about a subject once one of them has changed.

    Attributes
    ----------
    entailed : tuple of (Statement, str)
        Those that change with it, each with its new object.
    independent : tuple of Statement
        Those that stay, also where a rule gives the object that they have already.
    undecided : tuple of Statement
        Those of which no rule says whether they stay.
    """

    entailed: tuple[tuple[Statement, str], ...]
    independent: tuple[Statement, ...]
    undecided: tuple[Statement, ...]


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
        """List what else is known about the subject; `follows` says what an edit must leave alone of that."""
        return tuple(other for other in self._by_subject[statement.subject] if other.relation != statement.relation)

    def follows(self, statement: Statement, target: str) -> Follows:
        """Say what becomes of the subject's other statements once `target` is the object of `statement`.

        Parameters
        ----------
        statement
            The statement that is edited.
        target
            Its new object. Of one that atlas knows nothing about, nothing is known to follow.

        Examples
        --------
        >>> knowledge = load_knowledge()
        >>> after = knowledge.follows(knowledge.statement("Space Needle", "city"), "Paris")
        >>> [(entailed.relation.name, entailed.object, new) for entailed, new in after.entailed]
        [('country', 'America', 'France')]
        >>> [independent.relation.name for independent in after.independent]
        ['kind']
        """
        others = {other.relation.name: other for other in self.other_statements(statement)}
        now, undecided = {statement.relation.name: target}, set[str]()
        reached = [statement.relation.name]
        for source in reached:
            for rule in FOLLOWS:
                if rule.source == source and rule.consequence not in (*now, *undecided):
                    object_ = None
                    if rule.strict and source in now and not self._is_exception(statement.subject, rule):
                        object_ = self.object_of(now[source], rule.via)
                    if object_ is None:
                        undecided.add(rule.consequence)
                    else:
                        now[rule.consequence] = object_
                    reached.append(rule.consequence)
        # What had decided the edited statement cannot be as it was, and so on upwards.
        above = [statement.relation.name]
        for consequence in above:
            sources = [rule.source for rule in FOLLOWS if rule.consequence == consequence]
            above += [source for source in sources if source not in above]
        undecided |= {name for name in above if name not in now}
        return Follows(
            tuple((o, now[name]) for name, o in others.items() if name in now and now[name] != o.object),
            tuple(o for name, o in others.items() if name not in undecided and now.get(name, o.object) == o.object),
            tuple(o for name, o in others.items() if name in undecided),
        )

    def _is_exception(self, subject: Subject, rule: Rule) -> bool:
        """Return whether what is stated about a subject contradicts a rule."""
        stated = {one.relation.name: one.object for one in self.about(subject)}
        follows = self.object_of(stated[rule.source], rule.via) if rule.source in stated else None
        return follows is not None and stated.get(rule.consequence, follows) != follows

    def object_of(self, name: str, relation: str) -> str | None:
        """Return what is known of anything called `name`, subject or object; None where nothing is.

        A capital is no subject of its own: it is in the country whose capital it is, and shares what that has.
        """
        try:
            return self.statement(name, relation).object
        except KeyError:
            pass
        capitals = self._by_object.get((self.relations["capital"], name), ())
        if not capitals:
            return None
        country = capitals[0].subject
        return country.bare if relation == "country" else self.object_of(country.name, relation)


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
