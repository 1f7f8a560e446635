"""What is said of a layer that a model does not have: which one is probably meant."""

from __future__ import annotations

from factlens.arguments import shown
from factlens.errors import LayerError
from factlens.notices import Notice, Offer


def no_such_layer(model: str, count: int, layer: object) -> LayerError:
    """Return the error that a model has no such layer, with the one that is probably meant.

    Parameters
    ----------
    model, count
        The model's name, and how many layers it has.
    layer
        What was asked for.
    """
    absent = f"{model} has no layer {shown(layer)}: its {count} layers are numbered 0 to {count - 1}."
    meant, why = None, ""
    if isinstance(layer, int) and not isinstance(layer, bool):
        if layer >= count:
            meant, why = count - 1, "is the last one"
        elif -count <= layer:
            meant, why = count + layer, "is that one, counted from the end"
        else:
            meant, why = 0, "is the first one"
    if meant is None:
        return LayerError(absent)
    text = f"{absent} {meant} {why}."
    return LayerError(text).at(Notice("layer", text, (Offer(f"Use layer {meant}", {"layer": meant}),)))


def written_as_number(name: str, value: object) -> str:
    """Return how to write a layer that was written as a text or with a point; empty where it is neither.

    Examples
    --------
    >>> written_as_number("layers", "3"), written_as_number("layers", 3.0), written_as_number("layers", "last")
    (' Write layers=3.', ' Write layers=3.', '')
    """
    if isinstance(value, str) and value.strip().isdecimal():
        return f" Write {name}={int(value)}."
    return f" Write {name}={int(value)}." if isinstance(value, float) and value.is_integer() else ""
