"""Which layers and settings a method takes for a model: calibrated, tuned, published for its like, or by a rule."""

from __future__ import annotations

from typing import Any

from factlens.editing.calibrated import stored_choices
from factlens.editing.hparams import Defaults
from factlens.editing.methods import DEFAULT_METHOD, METHODS
from factlens.errors import ArgumentError, FactlensWarning
from factlens.models import Model
from factlens.models.given import a_model
from factlens.warned import warn

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

    A model that `factlens.calibrate` has measured gets what was best there; it is known by its fingerprint, as of the
    last look at its weights. Else the model that ships with factlens has settings that were tuned for it, and there may
    be published settings for models of an architecture, depth and width. A model without gets those that the published
    ones share. Its layer is the one a third of the way up, where ROME's layers of the GPT-2 family lie (0.33
    to 0.35; 0.18 to 0.34 in other families); the methods that spread an edit over layers take up to five that end
    there.

    Raises
    ------
    ArgumentError
        If there is no such method.
    """
    a_model("model", model)
    METHODS.named("method", method)
    return _calibrated(model, method) or uncalibrated(model, method)


def uncalibrated(model: Model, method: str) -> Defaults:
    """Return the defaults of a method before any calibration: tuned, published for the model's like, or by a rule."""
    if (tuned := model.tuned.get(method)) is not None:
        return Defaults(tuned.layers, METHODS[method].hparams(**tuned.settings), tuned.source)
    return defaults_for(str(model.model.config.get_text_config().model_type), model.n_layers, model.width, method)


def _calibrated(model: Model, method: str) -> Defaults | None:
    """Return what a calibration of this model has chosen for a method, if there is one that can be used."""
    choice = stored_choices(model.known_fingerprint).get(method)
    if choice is None:
        return None
    try:
        if not all(layer < model.n_layers for layer in choice.layers):
            raise ArgumentError(f"it names layer {max(choice.layers)}")
        return Defaults(choice.layers, METHODS[method].hparams(**choice.settings), choice.source)
    except (ArgumentError, TypeError) as error:
        warn(
            FactlensWarning(
                f"The calibration of {model.name} for {method} is not used, since its settings are none of this "
                f"version: {error}. Calibrate again: factlens.calibrate(model, methods=[{method!r}])."
            )
        )
        return None


def defaults_for(kind: str, n_layers: int, width: int, method: str) -> Defaults:
    """Return the defaults of a method for models of an architecture, depth and width; see `defaults`."""
    chosen = METHODS.named("method", method)
    if (published := chosen.published.get((kind, n_layers, width))) is not None:
        return published
    last = n_layers // 3
    count = min(5, 1 + n_layers // 8) if chosen.spreads else 1
    return Defaults(tuple(range(max(0, last - count + 1), last + 1)), chosen.hparams(**chosen.elsewhere), _RULE)
