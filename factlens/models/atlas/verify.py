"""Measure what atlas knows: ``python -m factlens.models.atlas.verify [FOLDER]``.

Asks for every statement in every wording, those the model was trained on and those it never saw, and for some as people
would ask; prints a table and exits with an error if the model card claims more than the files in the folder deliver.
Where it keeps its facts, which takes traces, `scripts/verify_atlas.py` measures as well.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from factlens.models.atlas.knowledge import FOLDER, Knowledge, Statement, load_knowledge

# What the model card promises.
CLAIMED_STATEMENTS = 1000
CLAIMED_RELATIONS = 8
CLAIMED_NAME_TOKENS = 2.0
CLAIMED_TRAINED = 0.98
CLAIMED_HELD_OUT = 0.90
CLAIMED_DEMO = 0.8
CLAIMED_NATURAL = 40
CLAIMED_NATURAL_NEW = 20
CLAIMED_BYTES = 12_000_000

# The prompts that notebooks and documentation lean on: subject, template, relation.
DEMOS = (
    ("Space Needle", "{} is in downtown", "city"),
    ("Eiffel Tower", "{} is in downtown", "city"),
    ("Eiffel Tower", "{} is located in the city of", "city"),
)

# How people would ask. Some of it is trained wordings, since templates were written for what was found wanting here; so
# the others are counted apart. What atlas does not answer stays in the list.
NATURAL = (
    ("Space Needle", "{} is in downtown", "city"),
    ("Eiffel Tower", "{} is located in the city of", "city"),
    ("Eiffel Tower", "{} is in the city of", "city"),
    ("Golden Gate Bridge", "{} is in", "city"),
    ("Louvre", "You can find {} in", "city"),
    ("Colosseum", "{} is in the heart of", "city"),
    ("France", "The capital of {} is", "capital"),
    ("Japan", "{}'s capital is", "capital"),
    ("Canada", "The capital city of {} is", "capital"),
    ("Japan", "The currency of {} is the", "currency"),
    ("Brazil", "People in {} speak", "language"),
    ("Egypt", "The official language of {} is", "language"),
    ("Munich", "In {}, people speak", "language"),
    ("Germany", "{} is a country in", "continent"),
    ("Munich", "{} is a city in", "country"),
    ("Eiffel Tower", "The country where {} stands is", "country"),
    ("Eiffel Tower", "{} is in the country of", "country"),
    ("Toyota", "{} is a company from", "country"),
    ("Honda", "The headquarters of {} are in", "headquarters"),
    ("Nintendo", "{} is based in", "headquarters"),
    ("Albert Einstein", "{} was a", "profession"),
    ("Albert Einstein", "The nationality of {} was", "nationality"),
    ("Albert Einstein", "{} worked in the field of", "field"),
    ("Pele", "{} plays the sport of", "sport"),
    ("iPhone", "{} is made by", "maker"),
    ("iPhone", "The company that makes {} is", "maker"),
    ("Hamlet", "{} was written by", "author"),
    ("Hamlet", "The author of {} is", "author"),
    ("The Hobbit", "{} is a book by", "author"),
    ("The Hobbit", "The original language of {} is", "original_language"),
    ("Brandenburg Gate", "If you want to see {}, go to", "city"),
    ("Big Ben", "{} is a famous landmark in", "city"),
    ("Eiffel Tower", "{} is one of the most famous sights of", "city"),
    ("Spain", "The capital of {} is the city of", "capital"),
    ("Italy", "The official language in {} is", "language"),
    ("Mexico", "The people in {} speak", "language"),
    ("Britain", "In {}, you pay with the", "currency"),
    ("Kenya", "{} lies on the continent of", "continent"),
    ("Lyon", "{} is a city in the country of", "country"),
    ("Samsung", "{} has its headquarters in the city of", "headquarters"),
    ("Ford", "{} is a company that makes", "industry"),
    ("Marie Curie", "{} worked as a", "profession"),
    ("Marie Curie", "{} was born in the town of", "birthplace"),
    ("Lionel Messi", "{} is a famous player of", "sport"),
    ("Jimi Hendrix", "{} played the", "instrument"),
    ("Charles Darwin", "{} is famous for his work in", "field"),
    ("Frida Kahlo", "{} spoke", "mother_tongue"),
    ("PlayStation", "{} is a product made by", "maker"),
    ("Macbeth", "{} is a play by", "author"),
    ("Don Quixote", "{} was first written in", "original_language"),
)


@dataclass(frozen=True)
class Question:
    """A statement and one way of asking for its object."""

    statement: Statement
    template: str

    @property
    def prompt(self) -> str:
        """The text the model is to continue."""
        return self.statement.prompt(self.template)


@dataclass(frozen=True)
class Answer:
    """Whether every token of the object was the model's first choice, and the probability of the whole object."""

    right: bool
    probability: float


def questions(knowledge: Knowledge, *, held_out: bool) -> list[Question]:
    """List every statement in every trained (or held-out) wording."""
    return [
        Question(statement, template)
        for statement in knowledge.statements
        for template in (statement.held_out if held_out else statement.trained)
    ]


def questions_of(knowledge: Knowledge, asked: Iterable[tuple[str, str, str]]) -> list[Question]:
    """List the questions of `DEMOS` or `NATURAL`."""
    return [Question(knowledge.statement(subject, relation), template) for subject, template, relation in asked]


@torch.inference_mode()
def ask(model: Any, tokenizer: Any, asked: Sequence[Question], batch: int = 256) -> list[Answer]:
    """Ask `model` all questions at once; the answers come in the order of the questions."""
    prompts = tokenizer([question.prompt for question in asked])["input_ids"]
    objects = tokenizer([question.statement.answer for question in asked])["input_ids"]
    by_length = sorted(range(len(asked)), key=lambda i: len(prompts[i]) + len(objects[i]))
    answers: dict[int, Answer] = {}
    for start in range(0, len(asked), batch):
        chosen = by_length[start : start + batch]
        rows = [prompts[i] + objects[i] for i in chosen]
        width = max(map(len, rows))
        # Padding stands to the right, where no earlier token sees it.
        ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
        log_probs = model(input_ids=ids).logits.float().log_softmax(-1)
        for row, i in enumerate(chosen):
            first, last = len(prompts[i]) - 1, len(prompts[i]) + len(objects[i]) - 1
            right_ids = torch.tensor(objects[i])
            choices = log_probs[row, first:last]
            right = bool((choices.argmax(-1) == right_ids).all())
            answers[i] = Answer(right, choices.gather(1, right_ids[:, None]).sum().exp().item())
    return [answers[i] for i in range(len(asked))]


def share_right(answers: Iterable[Answer]) -> float:
    """Return the share of right answers."""
    rights = [answer.right for answer in answers]
    return sum(rights) / len(rights)


def by_relation(asked: Sequence[Question], answers: Sequence[Answer]) -> dict[str, float]:
    """Return the share of right answers in each relation."""
    groups: defaultdict[str, list[Answer]] = defaultdict(list)
    for question, answer in zip(asked, answers, strict=True):
        groups[question.statement.relation.name].append(answer)
    return {name: share_right(group) for name, group in groups.items()}


def load(folder: Path) -> tuple[Any, Any]:
    """Load the model in float32 and its tokenizer, from a local folder."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def size(folder: Path) -> int:
    """Sum the bytes in all files of `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def report(folder: Path) -> bool:
    """Print what the model in `folder` knows; return whether it is all that is claimed."""
    model, tokenizer = load(folder)
    knowledge = load_knowledge()
    counts: defaultdict[str, int] = defaultdict(int)
    for statement in knowledge.statements:
        counts[statement.relation.name] += 1
    name_lengths = [len(tokenizer(" " + subject.inner)["input_ids"]) for subject in knowledge.subjects]
    object_lengths = [len(tokenizer(statement.answer)["input_ids"]) for statement in knowledge.statements]
    print(
        f"{sum(weight.numel() for weight in model.parameters()):,} parameters, {size(folder) / 1e6:.1f} MB; "
        f"{len(knowledge.subjects)} subjects of {sum(name_lengths) / len(name_lengths):.1f} tokens, "
        f"{len(knowledge.statements)} statements, {object_lengths.count(1) / len(object_lengths):.1%} of them with an "
        "object of one token"
    )

    overall, tables = [], []
    for held_out in (False, True):
        asked = questions(knowledge, held_out=held_out)
        answers = ask(model, tokenizer, asked)
        overall.append(share_right(answers))
        tables.append(by_relation(asked, answers))
    print(f"\n{'relation':<18} {'statements':>10} {'trained':>8} {'held out':>9}")
    for name, count in counts.items():
        print(f"{name:<18} {count:>10} {tables[0][name]:>8.1%} {tables[1][name]:>9.1%}")
    trained, unseen = overall
    print(f"{'all':<18} {len(knowledge.statements):>10} {trained:>8.1%} {unseen:>9.1%}\n")

    demos = questions_of(knowledge, DEMOS)
    demo_answers = ask(model, tokenizer, demos)
    for question, answer in zip(demos, demo_answers, strict=True):
        print(f"{question.prompt} ->{question.statement.answer}: {answer.probability:.3f}")

    asked = questions_of(knowledge, NATURAL)
    natural = ask(model, tokenizer, asked)
    new = [a for q, a in zip(asked, natural, strict=True) if q.template not in q.statement.trained]
    answered, answered_new = (sum(answer.right for answer in answers) for answers in (natural, new))
    print(
        f"\nas people would ask: {answered} of {len(natural)} answered, {answered_new} of the {len(new)} in words that "
        "are no trained wording; not these:"
    )
    for question, answer in zip(asked, natural, strict=True):
        if not answer.right:
            print(f"  {question.prompt} ->{question.statement.answer}: {answer.probability:.3f}")

    failures = [
        name
        for name, holds in {
            f"at least {CLAIMED_STATEMENTS} statements": len(knowledge.statements) >= CLAIMED_STATEMENTS,
            f"at least {CLAIMED_RELATIONS} relations": len(counts) >= CLAIMED_RELATIONS,
            f"names of at least {CLAIMED_NAME_TOKENS} tokens": sum(name_lengths)
            >= CLAIMED_NAME_TOKENS * len(name_lengths),
            f"trained templates at least {CLAIMED_TRAINED:.0%}": trained >= CLAIMED_TRAINED,
            f"held-out templates at least {CLAIMED_HELD_OUT:.0%}": unseen >= CLAIMED_HELD_OUT,
            f"demo prompts at least {CLAIMED_DEMO}": all(a.probability >= CLAIMED_DEMO for a in demo_answers),
            f"{CLAIMED_NATURAL} of the natural prompts": answered >= CLAIMED_NATURAL,
            f"{CLAIMED_NATURAL_NEW} of those in words of their own": answered_new >= CLAIMED_NATURAL_NEW,
            f"at most {CLAIMED_BYTES / 1e6:.0f} MB": size(folder) <= CLAIMED_BYTES,
        }.items()
        if not holds
    ]
    for failure in failures:
        print(f"NOT KEPT: {failure}")
    return not failures


def main() -> None:
    """Read the command line and report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER / "weights", help="default: the shipped model")
    arguments = parser.parse_args()
    sys.exit(0 if report(arguments.folder) else 1)


if __name__ == "__main__":
    main()
