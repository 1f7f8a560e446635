"""``factlens edit``: change a fact of a model, and say whether the edit took."""

from __future__ import annotations

import argparse
import sys

from factlens.cli.options import add_fact, model_and_fact
from factlens.cli.terminal import say, show_answers

HELP = "edit a fact, and say whether it took"
NOT_TAKEN = 3
"""Exit status where the edit did not take; its file is written all the same."""
_STATUS = (
    "Printed are the probabilities of the whole target after the bare prompt: before, with v* put in, and after. Exit "
    f"status: 0 if the edit took (the model then answers with the target), {NOT_TAKEN} if it did not (the standard "
    "error says which half failed and what to change; the file is written all the same), 1 after an error, 2 for a "
    "wrong command line."
)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    command.epilog = _STATUS
    add_fact(command, "edit")
    command.add_argument("--target", required=True, help="the new object: Paris")
    command.add_argument("--layer", type=int, help="which layer to edit (the model's default)")
    basis = command.add_mutually_exclusive_group()
    basis.add_argument(
        "--text",
        help="ordinary text, which the edit is to leave alone: a .txt or .jsonl file (or .gz), a folder of such, or "
        "hf:name:config:split:column (the model's own text)",
    )
    basis.add_argument("--tokens", type=int, help="how many tokens of the model's own text (see factlens stats)")


def run(options: argparse.Namespace) -> int:
    """Edit a fact, show the answers before and after, and save the edit if that is asked for."""
    from factlens.editing.api import quiet_edit
    from factlens.moments import open_corpus

    # What is wrong with the text is said before a large model is loaded.
    basis = options.tokens if options.text is None else open_corpus(options.text)
    with model_and_fact(options, options.target) as (model, fact):
        before = model.answers(fact.prompt)
        edit = quiet_edit(model, fact, layers=options.layer, moments=basis)
        say(f"{edit}\n")
        show_answers(before, model.answers(fact.prompt))
        say("")
        for one, took in zip(edit.facts, edit.taken, strict=True):
            say(f"p({one.target}): {took.numbers}")
        saved = edit.save(options.out) if options.out else None
        if edit.warning:
            print(edit.warning, file=sys.stderr, flush=True)
        if saved:
            say(f"\nWrote {saved}.")
        return NOT_TAKEN if edit.warning else 0
