"""A model written down with its edits in the weights, for those who do not have factlens."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factlens import __version__
from factlens.arguments import a_path
from factlens.errors import FactlensError, QuantizedModel
from factlens.files import move_file, write_json
from factlens.models.belonging import edit_id
from factlens.models.weights import WeightEdit

if TYPE_CHECKING:
    from factlens.models.model import Model

NOTE = "factlens.json"
"""The file that says which edits are in the weights beside it."""
# The files of weights: one, or several and an index of them.
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")


def save_pretrained(model: Model, folder: str | Path) -> Path:
    """Write a model's present weights and its tokenizer into a folder, in the Hugging Face format.

    The weights go into safetensors files in their own number format, tied ones once, by transformers itself. A small
    ``factlens.json`` beside them names the model that it was and every edit that is in it. An earlier export stays as
    it is until all of the new one is written.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()``.
    folder
        Where to; it is made if need be. Files of an earlier export are replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    QuantizedModel
        If some weights are offloaded: what is not in memory cannot be written.
    FactlensError
        If adapters were loaded into the model, of which transformers would write nothing else.
    OSError
        If the folder cannot be made, or a file cannot be written.
    """
    folder = a_path("folder", folder, folder=True)
    away = [name for name, parameter in model.model.named_parameters() if parameter.device.type == "meta"]
    if away:
        raise QuantizedModel(
            f"{len(away)} weights of {model.name} are not in memory (offloaded), such as {away[0]!r}, so it cannot be "
            "saved. Load it where it fits as a whole, without device_map."
        )
    if getattr(model.model, "_hf_peft_config_loaded", False):
        raise FactlensError(f"{model.name} carries adapters, and would be saved without its weights. Merge them first.")
    folder.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, beside the place of the files, so that each need only be moved.
    unfinished = folder / f"{secrets.token_hex(4)}.part"
    # Twice, since an interrupt may come just when the first is about to tidy up.
    try:
        try:
            unfinished.mkdir()
            model.model.save_pretrained(unfinished)
            model.tokenizer.save_pretrained(unfinished)
            _move(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    write_note(folder, model.name, model.fingerprint, model.edits)
    return folder


def _move(unfinished: Path, folder: Path) -> None:
    """Put the files of an export into their folder, and take away weights of an earlier one that had other files."""
    # The note is written last and an old one taken away first: where there is one, it is true.
    (folder / NOTE).unlink(missing_ok=True)
    files = sorted(path for path in unfinished.rglob("*") if path.is_file())
    for path in files:
        place = folder / path.relative_to(unfinished)
        place.parent.mkdir(parents=True, exist_ok=True)
        move_file(path, place)
    new = {path.name for path in files}
    for path in folder.iterdir():
        if _WEIGHTS.fullmatch(path.name) and path.name not in new:
            path.unlink()


def write_note(folder: Path, name: str, fingerprint: str, edits: Sequence[WeightEdit]) -> None:
    """Say in a small JSON file which edits of which model lie in a folder."""
    note = {
        "factlens": __version__,
        "model": name,
        "fingerprint": fingerprint,
        "edits": [_described(edit) for edit in edits],
    }
    write_json(folder / NOTE, note, indent=1)


def _described(edit: WeightEdit) -> dict[str, Any]:
    describe = getattr(edit, "to_dict", None)
    if describe is not None:
        return dict(describe())
    return {"id": edit_id(edit), "parameters": [update.parameter for update in edit.updates]}
