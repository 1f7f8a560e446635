"""Where to try editing: around the layers in which the MLP carries facts, where published edits lie, and between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from threading import Event
from typing import Any

import numpy as np

from factlens.calibration.trials import Candidate
from factlens.editing.methods import METHODS, Method
from factlens.editing.settings import uncalibrated
from factlens.evaluation.records import Record
from factlens.models import Model
from factlens.progress import Share
from factlens.tracing.subject import mlp_row

_BELOW, _ABOVE = 3, 4
"""Layers around the peak that are all tried. The layer to edit lies often above the peak: in one model of 18 layers the
effect lies in layers 2 to 5, and ROME is best in layer 6."""
_DEPTHS = (0.17, 1 / 3)
"""How far up published layers of ROME lie: from a sixth of the way in some families to a third in that of GPT-2."""
_GRID = 7
_WIDTHS = (3, 1, 5)
"""Over how many layers an edit is spread, the likeliest first."""
_MOMENT_BYTES, _FEWEST_MOMENTS = 2**32, 3
"""What the second moments of all layers that are tried may take together, and how many there are in any case."""


def mlp_effects(
    model: Model,
    records: Sequence[Record],
    samples: int,
    seed: int,
    *,
    late: Callable[[], bool],
    progress: Share,
    stop: Event | None,
) -> tuple[float, ...]:
    """Return the mean indirect effect of the MLP outputs at the subject's last token, by layer.

    The window is that of `factlens.trace`. Of each trace only this token is computed, exactly, for a few noise samples:
    one or two are enough to tell where the effect lies. Once it is `late`, there are no more; empty if there was none.
    """
    effects = []
    for i, record in enumerate(records):
        if late():
            break
        row = mlp_row(model, record.fact, samples=samples, seed=seed, stop=stop)
        if row is not None:
            effects.append(row.effects)
        progress((i + 1) / len(records))
    progress(1.0)
    return tuple(map(float, np.mean(effects, 0))) if effects else ()


def candidate_layers(effects: Sequence[float], n_layers: int, allowed: Sequence[int] | None) -> list[int]:
    """Return layers to try, the likeliest first.

    Parameters
    ----------
    effects
        The MLP's effect by layer; empty if it is not known.
    n_layers
        Layers of the model.
    allowed
        The layers that may be edited; None for all.
    """
    if allowed is not None:
        peak = max(allowed, key=lambda layer: effects[layer]) if len(effects) else allowed[len(allowed) // 2]
        return sorted(allowed, key=lambda layer: (abs(layer - peak), layer))
    published = [min(round(depth * n_layers), n_layers - 1) for depth in _DEPTHS]
    peaks = [int(np.argmax(effects))] if len(effects) else []
    near = {layer for peak in peaks for layer in range(peak - _BELOW, peak + _ABOVE + 1)}
    near |= {layer + step for layer in published for step in (-1, 0, 1)}
    grid = {round(float(layer)) for layer in np.linspace(0, _highest(n_layers), _GRID)}
    layers = {layer for layer in near | grid if 0 <= layer < n_layers}
    likely = [*peaks, *published]
    # From every likely place outwards, in turns: what the time cuts off lies far from all of them.
    return sorted(layers, key=lambda layer: (min(abs(layer - one) for one in likely), layer))


def _highest(n_layers: int) -> int:
    """Return the layer two thirds of the way up: above, what is changed at the subject hardly reaches the answer."""
    return 2 * (n_layers - 1) // 3


def layers_within_memory(model: Model, likeliest: Sequence[int], allowed: Sequence[int] | None) -> list[int]:
    """Return the layers whose second moments are collected: those to try, and between them, as far as memory goes."""
    between = range(_highest(model.n_layers) + 1) if allowed is None else allowed
    ordered = dict.fromkeys([*likeliest, *between])
    width = max(model.down_projection(layer).key_width for layer in ordered)
    return sorted(list(ordered)[: max(_FEWEST_MOMENTS, _MOMENT_BYTES // (8 * width**2))])


def baseline(model: Model, method: str) -> Candidate:
    """Return what a method takes without any calibration."""
    default = uncalibrated(model, method)
    return Candidate(method, default.layers, default.hparams)


def first_candidates(model: Model, method: str, likeliest: Sequence[int], layers: Sequence[int]) -> list[Candidate]:
    """Return the candidates that differ in their layers, with each setting at the likeliest value to try.

    Parameters
    ----------
    model, method
        Of what.
    likeliest
        Layers to try, the likeliest first. A method that spreads its edits over layers gets ranges that end there.
    layers
        The layers that may be edited. The default is tried, too, where it lies within.
    """
    way, default = METHODS[method], baseline(model, method)
    likely = default.hparams.with_changes(**{name: values[0] for name, values in way.tries.items()})
    places = [place for layer in likeliest if (place := _place(layer, _widths(way)[0], layers))]
    first = [default] if set(default.layers) <= set(layers) else []
    return list(dict.fromkeys([*first, *(Candidate(method, place, likely) for place in places)]))


def further_candidates(best: Sequence[Candidate], layers: Sequence[int]) -> list[Candidate]:
    """Return what is near the best candidates: with other settings, over more or fewer layers, one layer up or down.

    Every combination of the settings to try is among them, the likeliest first.
    """
    further: list[tuple[int, int, Candidate]] = []
    for rank, one in enumerate(best):
        way = METHODS[one.method]
        for values in product(*(enumerate(some) for some in way.tries.values())):
            changes = {name: value for name, (_, value) in zip(way.tries, values, strict=True)}
            changed = Candidate(one.method, one.layers, one.hparams.with_changes(**changes))
            further.append((sum(place for place, _ in values), rank, changed))
        last, width = one.layers[-1], len(one.layers)
        near = [(last, other) for other in _widths(way)] + [(last + 1, width), (last - 1, width)]
        places = [place for near_by in near if (place := _place(*near_by, layers))]
        further += [(1, rank, Candidate(one.method, place, one.hparams)) for place in places]
    further.sort(key=lambda one: one[:2])
    return list(dict.fromkeys(candidate for *_, candidate in further))


def _widths(way: Method[Any]) -> tuple[int, ...]:
    return _WIDTHS if way.spreads else (1,)


def _place(last: int, width: int, layers: Sequence[int]) -> tuple[int, ...]:
    """Return up to so many layers that end at `last`, as far down as they may be edited; none if that one may not."""
    place: list[int] = []
    while len(place) < width and last - len(place) in layers:
        place.append(last - len(place))
    return tuple(reversed(place))
