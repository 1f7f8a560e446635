"""The command line: one file a command, each with a line of help, its options, and what runs.

These files are light to import: what needs torch is imported where a command runs, so that ``--help`` and
``--version`` do not wait for it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from factlens import __version__
from factlens.cli import calibrate, demo, edit, evaluate, lab, reproduce, stats, trace
from factlens.errors import FactlensError

COMMANDS = {
    "demo": demo,
    "trace": trace,
    "edit": edit,
    "stats": stats,
    "evaluate": evaluate,
    "calibrate": calibrate,
    "reproduce": reproduce,
    "lab": lab,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="factlens", description="See where a language model keeps a fact, and change it."
    )
    parser.add_argument("--version", action="version", version=f"factlens {__version__}")
    parsers = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        own = parsers.add_parser(name, help=command.HELP)
        command.add_options(own)
        own.set_defaults(run=command.run)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (FactlensError, OSError) as error:
        print(f"factlens: {error}", file=sys.stderr)
        return 1
