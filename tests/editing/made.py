"""Facts and second moments for small random models."""

from __future__ import annotations

import torch

import factlens as fl
from factlens.moments import SecondMoment

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")
FACTS = [
    FACT,
    fl.Fact("{} is in the city of", "Space Needle", target="Paris, of course"),
    fl.Fact("Everybody says that {} is", "the Colosseum in Rome", target="a tower"),
]


def moment_of(model: fl.Model, layer: int, rank: int | None = None) -> SecondMoment:
    """The second moment of random keys, which lie in a subspace where `rank` is given."""
    width = model.down_projection(layer).key_width
    generator = torch.Generator().manual_seed(7 + layer)
    keys = torch.randn(3 * width, width, dtype=torch.float64, generator=generator)
    if rank is not None:
        keys[:, rank:] = 1e-3 * keys[:, rank:]
    return SecondMoment(keys.T @ keys, len(keys), layer, model.fingerprint, "random keys")


def as_matrix(model: fl.Model, layer: int, edit: fl.Edit) -> torch.Tensor:
    """What an edit adds to a layer's down projection, as ``(values, keys)``."""
    projection = model.down_projection(layer)
    (update,) = [update for update in edit.updates if update.parameter == projection.parameter]
    matrix = update.matrix(torch.zeros(1, dtype=torch.float64))
    return matrix.T if projection.transposed else matrix
