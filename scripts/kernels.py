"""The ipykernel versions the browser tests run on.

How a click reaches Python while a cell runs changed between ipykernel 7.3 and 7.4, so the tests run on both:
the one installed in this environment, and an older one in a folder of its own that a kernel puts first on its path.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLD = "7.3.0"
FOLDER = ROOT / ".cache" / f"ipykernel-{OLD}"
INSTALLED = "ipykernel-installed"
PINNED = f"ipykernel-{OLD}"
#: kernel name -> the ipykernel version it must report
KERNELS = {INSTALLED: version("ipykernel"), PINNED: OLD}


def ensure() -> None:
    """Install the older ipykernel into its folder, unless it is there."""
    if version("ipykernel") == OLD:
        sys.exit(f"this environment has ipykernel {OLD} itself: the tests need a newer one beside it (constraints.txt)")
    if (FOLDER / f"ipykernel-{OLD}.dist-info" / "RECORD").exists():
        return
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--upgrade", "--target", str(FOLDER), f"ipykernel=={OLD}"], check=True)


def kernelspec(name: str) -> dict[str, object]:
    """What kernel.json says for one of the `KERNELS`."""
    path = [str(FOLDER)] if name == PINNED else []
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
    print("kernels for the browser tests:", ", ".join(KERNELS.values()))
