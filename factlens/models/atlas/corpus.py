"""Training documents for atlas: facts in many wordings, among sentences that state nothing.

Everything is drawn from one ``random.Random``, so a seed names a corpus. The same text serves later where
"text the model is used to" is needed, such as the second moments of keys.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from factlens.models.atlas.knowledge import FOLDER, Knowledge, Statement, Subject, load_knowledge

# How documents are made up. One in sixteen states no fact, so that the model also learns to end a sentence without one.
SHARE_WITHOUT_FACT = 0.06
SHARE_ABOUT_ONE_SUBJECT = 0.35
SHARE_COMPARING_TWO = 0.25
SHARE_AFTER_SENTENCE = 0.15
SHARE_AFTER_LEAD = 0.2

# An object that fewer statements share gets two turns where others get one: there is less else to learn it from.
RARE = 4


class Span(NamedTuple):
    """A piece of a document; `is_object` marks the answers, which training weighs more."""

    text: str
    is_object: bool = False


Document = list[Span]


@cache
def _phrases() -> dict[str, list[str]]:
    phrases: dict[str, list[str]] = tomllib.loads((FOLDER / "phrases.toml").read_text(encoding="utf-8"))
    return phrases


class Writer:
    """Writes documents about what `knowledge` holds.

    Parameters
    ----------
    seed : int
        Names the corpus: the same seed writes the same documents.
    knowledge : Knowledge, optional
        What to write about; by default all that atlas knows.
    """

    def __init__(self, seed: int, knowledge: Knowledge | None = None) -> None:
        self.random = random.Random(seed)
        self.knowledge = knowledge or load_knowledge()
        self._waiting: list[Statement] = []
        self._in_relation: dict[str, list[Statement]] = {}
        for statement in self.knowledge.statements:
            self._in_relation.setdefault(statement.relation.name, []).append(statement)

    def sentence(self) -> str:
        """Write a sentence that states no fact."""
        phrases, pick = _phrases(), self.random.choice
        if self.random.random() < 0.35:
            return pick(phrases["sentences"])
        return f"{pick(phrases['who'])} {pick(phrases['did'])} {pick(phrases['what'])} {pick(phrases['when'])}."

    def document(self) -> Document:
        """Write the next document. Every statement gets its turn before any comes round again."""
        draw, phrases = self.random, _phrases()
        if draw.random() < SHARE_WITHOUT_FACT:
            return [Span(" ".join(self.sentence() for _ in range(draw.randint(1, 3))))]

        opening: Document = []
        opens_sentence, place = True, draw.random()
        if place < SHARE_AFTER_SENTENCE:
            opening = [Span(self.sentence() + " ")]
        elif place < SHARE_AFTER_SENTENCE + SHARE_AFTER_LEAD:
            opening, opens_sentence = [Span(draw.choice(phrases["leads"]) + " ")], False

        first, form = self._next_statement(), draw.random()
        if form < SHARE_ABOUT_ONE_SUBJECT:
            return opening + self._several(first, opens_sentence)
        if form < SHARE_ABOUT_ONE_SUBJECT + SHARE_COMPARING_TWO:
            second = draw.choice(self._in_relation[first.relation.name])
            joint = Span(draw.choice(phrases["joints"]) + " ")
            return opening + self._state(first, opens_sentence) + [joint] + self._state(second, False) + [self._tail()]
        return opening + self._state(first, opens_sentence) + [self._tail()]

    def _next_statement(self) -> Statement:
        if not self._waiting:
            self._waiting = [
                statement
                for statement in self.knowledge.statements
                for _ in range(2 if len(self.knowledge.neighbours(statement)) + 1 < RARE else 1)
            ]
            self.random.shuffle(self._waiting)
        return self._waiting.pop()

    def _several(self, first: Statement, opens_sentence: bool) -> Document:
        """Two or three facts about one subject, a sentence each."""
        others = self.knowledge.other_statements(first)
        chosen = self.random.sample(others, min(len(others), self.random.randint(1, 2)))
        document = self._state(first, opens_sentence)
        for statement in chosen:
            document += [Span(". "), *self._state(statement, True)]
        return [*document, Span(".")]

    def _state(self, statement: Statement, opens_sentence: bool) -> Document:
        template = self.random.choice(statement.trained)
        if not opens_sentence and not template.startswith("{}"):
            template = template[0].lower() + template[1:]
        name = self._name(statement.subject, opens_sentence and template.startswith("{}"))
        return [Span(template.replace("{}", name)), Span(statement.answer, is_object=True)]

    def _name(self, subject: Subject, opens_sentence: bool) -> str:
        """Mostly the proper form; articles come and go, as they do in what people type into a prompt."""
        proper = subject.name if opens_sentence else subject.inner
        if subject.category != "landmarks" or self.random.random() < 0.6:
            return proper
        return self.random.choice((subject.name, subject.bare))

    def _tail(self) -> Span:
        return Span(self.random.choice(_phrases()["tails"]))


def corpus(seed: int, documents: int, knowledge: Knowledge | None = None) -> Iterator[str]:
    """Yield the first `documents` documents that `seed` names, as text."""
    writer = Writer(seed, knowledge)
    for _ in range(documents):
        yield "".join(span.text for span in writer.document())


def vocabulary_text(knowledge: Knowledge | None = None) -> list[str]:
    """Text to train the tokenizer on.

    Objects and the words of the templates come often and names of subjects seldom. So most objects become a single
    token, which makes the probability of an answer easy to read, while names fall into several, as names do.
    """
    knowledge = knowledge or load_knowledge()
    text: list[str] = []
    for relation in knowledge.relations.values():
        for template in relation.every_trained:
            before, after = template.split("{}")
            text += [before.strip(), before.strip().lower(), after] * 12
    for entries in _phrases().values():
        text += [form for entry in entries for form in (entry, " " + entry)] * 6
    text += [statement.answer for statement in knowledge.statements] * 10
    text += sorted({statement.answer for statement in knowledge.statements}) * 60
    for subject in knowledge.subjects:
        text += [f" {subject.inner}"] * 6 + [subject.name] * 2
    return text
