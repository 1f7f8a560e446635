"""What people install holds everything the library needs at run time, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import factlens

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "factlens"
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".npy", ".npz"}
LITTER = {".pyc", ".pyo", ".swp"}


def build(kind: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def in_tree(folder: Path) -> set[str]:
    """The files below a folder of the package, as the wheel should name them."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in LITTER and "__pycache__" not in path.parts
    }


def test_the_wheel_carries_the_whole_package(names: set[str]) -> None:
    assert in_tree(PACKAGE) - names == set()
    assert "factlens/py.typed" in names


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("models/atlas/weights", "*.safetensors"),
        ("models/atlas/weights", "*.json"),
        ("models/atlas/facts", "*.tsv"),
        ("models/atlas", "*.toml"),
        ("knowledge", "*.toml"),
        ("static", "*.js"),
    ],
)
def test_the_wheel_carries_the_data(names: set[str], folder: str, pattern: str) -> None:
    data = {path.relative_to(ROOT).as_posix() for path in (PACKAGE / folder).glob(pattern)}
    assert data, f"no {pattern} in factlens/{folder}: has it moved?"
    assert data <= names


def test_the_wheel_carries_nothing_else(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert tops == {"factlens", f"factlens-{factlens.__version__}.dist-info"}
    assert not [name for name in names if "node_modules" in name or "__pycache__" in name or name.endswith(".png")]


def test_the_wheel_carries_no_pickle(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            assert Path(name).suffix not in PICKLES, name
            if not name.endswith(".safetensors"):  # the head of a pickle, or of a zip that torch.save wrote
                head = archive.read(name)[:4]
                assert not (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05"), name
                assert head != b"PK\x03\x04", name


def test_the_version_has_one_source(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"factlens-{factlens.__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        scripts = archive.read(f"{info}/entry_points.txt").decode()
    assert metadata["Version"] == factlens.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "factlens = factlens.cli:main" in scripts


def test_the_sdist_has_sources_and_bundle_but_no_node_modules(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "js/package-lock.json", "constraints.txt", "factlens/py.typed"} <= found
    assert any(name.startswith("js/src/") for name in found)
    assert in_tree(PACKAGE / "static") <= found
    # What the tests compare with goes where they go; what they leave behind does not.
    screenshots = in_tree(ROOT / "tests" / "js" / "screenshots")
    assert {name for name in found if name.endswith(".png") and not name.startswith("docs/")} == screenshots
    assert not [name for name in found if "node_modules" in name or name.startswith((".venv", ".cache", "artifacts"))]


def test_the_wheel_works_away_from_the_sources(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, timeout=240)
    code = "import factlens as fl; print(fl.__file__); model = fl.load('atlas'); print(type(model).__name__)"
    done = subprocess.run(
        [sys.executable, "-W", "error:::factlens", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    file, kind = done.stdout.split()
    assert Path(file).is_relative_to(target)
    assert kind == "Model"
