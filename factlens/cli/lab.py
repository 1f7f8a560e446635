"""``factlens lab``: JupyterLab on the teaching notebooks."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec

HELP = "open JupyterLab on the teaching notebooks"


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    command.add_argument("folder", nargs="?", default="notebooks", help="folder to open (notebooks)")


def run(options: argparse.Namespace) -> int:
    """Open JupyterLab; return its exit status."""
    if find_spec("jupyterlab") is None:
        print("factlens: JupyterLab is not installed: pip install 'factlens[lab]'", file=sys.stderr)
        return 1
    return subprocess.call([sys.executable, "-m", "jupyterlab", options.folder])
