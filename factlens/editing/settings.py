"""Which layers and settings a method takes for a model: tuned for it, published for its like, or by a rule."""

from __future__ import annotations

from typing import Any

from factlens.editing.hparams import Defaults
from factlens.editing.methods import DEFAULT_METHOD, METHODS
from factlens.models import Model
from factlens.models.given import a_model

_RULE = "a rule: the layers where published settings of other models lie"


def a_method(name: str, value: Any) -> str:
    """Return the argument `name` if it is an editing method's name.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    METHODS.named(name, value)
    return str(value)


def defaults(model: Model, method: str = DEFAULT_METHOD) -> Defaults:
    """Return the default layers and settings of a method for a model, and where they are from.

    The model that ships with factlens has settings that were tuned for it. A model without published settings gets
    those that the published ones share. Its layer is the one a third of the way up, where ROME's layers of the GPT-2
    family lie (0.33 to 0.35; 0.18 to 0.34 in other families); the methods that spread an edit over layers take up to
    five that end there.

    Raises
    ------
    ArgumentError
        If there is no such method.
    """
    a_model("model", model)
    chosen = METHODS.named("method", method)
    if (tuned := model.tuned.get(method)) is not None:
        return Defaults(tuned.layers, chosen.hparams(**tuned.settings), tuned.source)
    return defaults_for(str(model.model.config.get_text_config().model_type), model.n_layers, model.width, method)


def defaults_for(kind: str, n_layers: int, width: int, method: str) -> Defaults:
    """Return the defaults of a method for models of an architecture, depth and width; see `defaults`."""
    chosen = METHODS.named("method", method)
    if (published := chosen.published.get((kind, n_layers, width))) is not None:
        return published
    last = n_layers // 3
    count = min(5, 1 + n_layers // 8) if chosen.spreads else 1
    return Defaults(tuple(range(max(0, last - count + 1), last + 1)), chosen.hparams(**chosen.elsewhere), _RULE)
