"""An edit as a LoRA adapter, for those who have peft and not factlens.

What an edit adds to a weight, ``left @ right``, is what LoRA adds (Hu et al. 2022): ``ΔW = (alpha / rank) B A`` with A
``(rank, inputs)`` and B ``(outputs, rank)``. With alpha = rank the factors are an edit's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor

from factlens.arguments import a_path
from factlens.errors import FactlensError
from factlens.files import write_bytes, write_json
from factlens.models import LowRank
from factlens.models.saving import NOTE, write_note

if TYPE_CHECKING:
    from factlens.editing.record import Edit


def to_peft(edit: Edit, folder: str | Path) -> Path:
    """Write an edit as an adapter: ``adapter_config.json``, ``adapter_model.safetensors``, ``factlens.json``.

    peft is not needed to write it. ``peft.PeftModel.from_pretrained(base, folder)`` puts it on the unedited model; the
    logits are those of the edited model but for rounding, since peft adds the products to each output rather than to
    the weight. peft itself does not check which model that is.

    Parameters
    ----------
    edit
        The edit. Each layer keeps its own rank; several terms of one weight become one of the sum of their ranks.
    folder
        Where to; it is made if need be.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FactlensError
        If the edit changes a whole matrix, as fine-tuning does: an adapter of full rank would be larger than the
        weight itself. Or if it changes something else than the weight of a linear module.
    OSError
        If the folder cannot be made, or a file cannot be written.
    """
    folder = a_path("folder", folder, folder=True)
    terms = _terms(edit)
    factors = _factors(terms)
    ranks = {module: len(a) for module, (a, _) in factors.items()}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": edit.model,
        "target_modules": sorted(ranks),
        # What the patterns do not name would have this rank; they name every module.
        "r": max(ranks.values()),
        "lora_alpha": max(ranks.values()),
        "rank_pattern": ranks,
        "alpha_pattern": ranks,
        "fan_in_fan_out": any(term.transposed for term in terms),
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }
    arrays = {}
    for module, (a, b) in factors.items():
        arrays[f"base_model.model.{module}.lora_A.weight"] = _array(a)
        arrays[f"base_model.model.{module}.lora_B.weight"] = _array(b)
    folder.mkdir(parents=True, exist_ok=True)
    # The note is written last and an old one taken away first: where there is one, it is true.
    (folder / NOTE).unlink(missing_ok=True)
    write_bytes(folder / "adapter_model.safetensors", save(arrays, {"format": "pt"}))
    write_json(folder / "adapter_config.json", config, indent=2)
    write_note(folder, edit.model, edit.fingerprint, [edit])
    return folder


def _terms(edit: Edit) -> list[LowRank]:
    """Return the terms of an edit, if peft knows such."""
    terms = []
    for update in edit.updates:
        if not isinstance(update, LowRank):
            raise FactlensError(
                f"{edit} changes the whole matrix {update.parameter!r}, which is no adapter of low rank. Export the "
                "edited model instead: model.save_pretrained(folder)."
            )
        if not update.parameter.endswith(".weight"):
            raise FactlensError(f"{update.parameter!r} is not the weight of a linear module; peft cannot add to it.")
        terms.append(update)
    if not terms:
        raise FactlensError(f"{edit} changes nothing, so there is no adapter to write.")
    return terms


def _factors(terms: Sequence[LowRank]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return A and B by module, the terms of one weight side by side."""
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for term in terms:
        module = term.parameter.removesuffix(".weight")
        b, a = (term.right.T, term.left.T) if term.transposed else (term.left, term.right)
        if module in factors:
            a, b = torch.cat([factors[module][0], a]), torch.cat([factors[module][1], b], 1)
        factors[module] = a, b
    return factors


def _array(factor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(factor.detach().float().cpu().numpy())
