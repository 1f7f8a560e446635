"""The ipykernel versions the browser tests run on.

How a click reaches Python while a cell runs changed between ipykernel 7.3 and 7.4, so the tests run on both, and a few
on 6.31, which knows no subshells: the one installed in this environment, and older ones, each in a folder of its own
that a kernel puts first on its path.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLD = "7.3.0"
ANCIENT = "6.31.0"
INSTALLED = "ipykernel-installed"
PINNED = f"ipykernel-{OLD}"
WITHOUT_SUBSHELLS = f"ipykernel-{ANCIENT}"
#: kernel name -> the ipykernel version it must report; most tests run on each of these
KERNELS = {INSTALLED: version("ipykernel"), PINNED: OLD}
#: those in a folder of their own, and what has to lie there with them
FOLDERS = {PINNED: [f"ipykernel=={OLD}"], WITHOUT_SUBSHELLS: [f"ipykernel=={ANCIENT}", "nest-asyncio==1.6.0"]}


def ensure() -> None:
    """Install the older ipykernels into their folders, unless they are there."""
    if version("ipykernel") == OLD:
        sys.exit(f"this environment has ipykernel {OLD} itself: the tests need a newer one beside it (constraints.txt)")
    for name, packages in FOLDERS.items():
        if (folder(name) / f"{name}.dist-info" / "RECORD").exists():
            continue
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--upgrade", "--target", str(folder(name)), *packages], check=True)


def folder(name: str) -> Path:
    """Where an older ipykernel lies."""
    return ROOT / ".cache" / name


def kernelspec(name: str) -> dict[str, object]:
    """What kernel.json says for a kernel."""
    path = [str(folder(name))] if name in FOLDERS else []
    if os.environ.get("PYTHONPATH"):
        path.append(os.environ["PYTHONPATH"])
    return {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": name,
        "language": "python",
        "metadata": {"debugger": False},
        "env": {"PYTHONPATH": os.pathsep.join(path)} if path else {},
    }


if __name__ == "__main__":
    ensure()
    print("kernels for the browser tests:", ", ".join([*KERNELS.values(), ANCIENT]))
