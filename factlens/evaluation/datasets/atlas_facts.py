"""atlas-facts: a data set in the shape of CounterFact for the model that comes with factlens, from its fact file."""

from __future__ import annotations

from collections import defaultdict
from random import Random

from factlens.arguments import a_seed, whole
from factlens.evaluation.checks import Checks
from factlens.evaluation.records import Record
from factlens.facts import Fact
from factlens.models.atlas.knowledge import Knowledge, Statement, load_knowledge

NAME = "atlas-facts"
COUNT = 600
PARAPHRASES, NEIGHBOURS, FEWEST, OTHERS, REFERENCES = 2, 10, 3, 2, 10
_BEGINNINGS = ("{}", "{} is", "Everyone knows that {}")


def atlas_facts(count: int = COUNT, seed: int = 0) -> list[Record]:
    """Return records for atlas: facts it was taught, each with another object of its relation as target.

    The prompt is a wording that atlas was trained on, the two paraphrases are wordings that it never saw. The ten
    neighbours are other subjects with the old object; where there are fewer than ten, some come in a second wording
    (facts with fewer than three are left out). Other facts are those of the subject in two trained wordings each,
    references what atlas's text says of subjects that have the new object. Where a subject moves to a city of another
    country, its country follows (portability), and is not among the other facts; likewise for all that atlas's rules
    say (`factlens.models.atlas.knowledge.FOLLOWS`). Relations come in turn, as far as they reach.

    Parameters
    ----------
    count
        How many at most.
    seed
        Of every choice.
    """
    count, seed = whole("count", count, least=1, example="100"), a_seed("seed", seed)
    knowledge, random = load_knowledge(), Random(seed)
    by_relation: defaultdict[str, list[Statement]] = defaultdict(list)
    for statement in knowledge.statements:
        if len(knowledge.neighbours(statement)) >= FEWEST:
            by_relation[statement.relation.name].append(statement)
    objects = {name: sorted({s.object for s in statements}) for name, statements in by_relation.items()}
    waiting = [
        random.sample(statements, len(statements)) for name, statements in by_relation.items() if len(objects[name]) > 1
    ]
    chosen: list[Statement] = []
    while any(waiting) and len(chosen) < count:
        chosen += [statements.pop() for statements in waiting if statements][: count - len(chosen)]
    return [
        _record(knowledge, statement, objects[statement.relation.name], Random(f"{seed} {number}"), number)
        for number, statement in enumerate(chosen)
    ]


def _record(knowledge: Knowledge, statement: Statement, objects: list[str], random: Random, number: int) -> Record:
    relation, subject = statement.relation, statement.subject
    target = random.choice([name for name in objects if name != statement.object])
    template, name = statement.parts(random.choice(statement.trained))
    fact = Fact(template, subject=name, object=statement.object, target=target)
    near = knowledge.neighbours(statement)
    near = tuple(random.sample(near, min(NEIGHBOURS, len(near))))
    neighbours = [(other.prompt(random.choice(other.trained)), other.object) for other in near]
    after = knowledge.follows(statement, target)
    spare = [(other.prompt(text), other.object) for other in near for text in other.trained]
    spare = [asked for asked in spare if asked not in neighbours]
    neighbours += random.sample(spare, NEIGHBOURS - len(neighbours))
    having = [s for s in knowledge.statements if s.relation == relation and s.object == target]
    checks = Checks.of(
        fact,
        statement.object,
        paraphrases=[statement.prompt(text) for text in random.sample(statement.held_out, PARAPHRASES)],
        neighbours=neighbours,
        others=[
            (other.prompt(text), other.object)
            for other in after.independent
            for text in random.sample(other.trained, OTHERS)
        ],
        portability=[(other.prompt(other.relation.trained[0]), other.object, new) for other, new in after.entailed],
        generation_prompts=[text.replace("{}", subject.within(text)) for text in _BEGINNINGS],
        references=[_sentence(other, random) for other in random.sample(having, min(REFERENCES, len(having)))],
    )
    return Record(fact, checks, f"{NAME} {number}")


def _sentence(statement: Statement, random: Random) -> str:
    template = random.choice(statement.trained)
    return f"{statement.prompt(template)}{statement.answer}."
