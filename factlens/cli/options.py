"""Options that several commands have, and what they stand for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from factlens.cli.terminal import say
from factlens.errors import FactlensError
from factlens.facts import Fact
from factlens.spelling import Exactly, Wording
from factlens.warned import warnings_kept

if TYPE_CHECKING:
    from factlens.models import Model


MODEL = "atlas, smollm2, a Hub id, a local folder, or a .gguf file (atlas)"


def add_model(command: argparse.ArgumentParser) -> None:
    """Add what `load_model` takes."""
    command.add_argument("--model", default="atlas", help=MODEL)
    add_device(command)


def add_device(command: argparse.ArgumentParser) -> None:
    """Add which file a model is read from, and where and in which number format it runs."""
    command.add_argument("--gguf-file", help="the .gguf file to take, in a folder or a Hub repository")
    command.add_argument("--device", help="where to run (the best there is)")
    command.add_argument("--device-map", help="how to place it on several devices: auto, balanced, sequential")
    command.add_argument("--dtype", help="number format: float32, bfloat16, float16")


def load_model(options: argparse.Namespace) -> Model:
    """Return the model that the options name."""
    from factlens.models import load

    return load(
        options.model,
        device=options.device,
        dtype=options.dtype,
        gguf_file=options.gguf_file,
        device_map=options.device_map,
    )


def add_fact(command: argparse.ArgumentParser, saved: str) -> None:
    """Add what `model_and_fact` takes, and the file that what is made of them is `saved` to."""
    command.add_argument("prompt", help="the prompt, with {} in the subject's place: '{} is in downtown'")
    command.add_argument("--subject", required=True, help="what the prompt is about: 'The Space Needle'")
    command.add_argument("--slot", help="another marker of the subject's place than {}; all else is text then")
    command.add_argument("--chat", action="store_true", help="ask in a chat, in the model's own template")
    command.add_argument("--system", help="what the system says first, with --chat")
    command.add_argument(
        "--exactly",
        action="store_true",
        help="take the answer, the contrast and the new object just as they are, with no space put in front",
    )
    add_model(command)
    command.add_argument("--out", type=Path, help=f"save the {saved} to this file (.safetensors)")


@contextmanager
def model_and_fact(options: argparse.Namespace, target: str | None = None) -> Iterator[tuple[Model, Fact]]:
    """Load the model, and read the fact as it does; warnings of the block are lines on the standard error."""
    new = wording(options, target)
    if options.chat:
        fact = Fact.chat(options.prompt, options.subject, new, system=options.system, slot=options.slot)
    elif options.system is not None:
        raise FactlensError("--system is said in a chat: add --chat.")
    else:
        fact = Fact(options.prompt, options.subject, new, slot=options.slot)
    model = load_model(options)
    say(f"{model}\n")
    with warnings_kept() as notes:
        try:
            yield model, model.as_read(fact)
        finally:
            for note in dict.fromkeys(map(str, notes)):
                print(f"factlens: {note}", file=sys.stderr, flush=True)


def wording(options: argparse.Namespace, text: str | None) -> Wording | None:
    """Return an answer or object as it is to be spelled: with ``--exactly``, just so."""
    return Exactly(text) if options.exactly and text is not None else text


def add_records(command: argparse.ArgumentParser) -> None:
    """Add what commands take that edit the facts of a data set."""
    add_model(command)
    command.add_argument("--encoding", default="utf-8", help="what text files are in: cp1252, shift_jis, ... (utf-8)")
    command.add_argument("--limit", type=int, help="the first so many records only")
    command.add_argument("--seed", type=int, default=0, help="seed of edits and generated text (0)")


def numbers(text: str) -> list[int]:
    """Return layers as they are written on the command line: ``3,4,5``."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise FactlensError(f"--layers takes numbers with commas between them, such as 3,4: not {text!r}.") from error
