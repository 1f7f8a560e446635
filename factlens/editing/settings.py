"""Which layers and settings a method takes for a model: calibrated, tuned, published for its like, or by a look."""

from __future__ import annotations

from typing import Any

from factlens.editing.calibrated import stored_choices
from factlens.editing.hparams import Defaults, Hparams
from factlens.editing.looking import Look, looked
from factlens.editing.methods import DEFAULT_METHOD, METHODS
from factlens.errors import ArgumentError, FactlensWarning
from factlens.models import Model
from factlens.models.given import a_model
from factlens.warned import warn

_RULE = "a rule: a third of the way up, where published layers of the GPT-2 family lie"


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
    ones share. Its layer is the last one whose MLP has three fifths of the largest effect on facts that it knows, which
    `factlens.edit` finds out when it is first needed (`factlens.editing.looking`); until then, and where the model
    knows none, the one a third of the way up, where ROME's layers of the GPT-2 family lie (0.33 to 0.35; 0.16 to 0.34
    in other families). The methods that spread an edit over layers take up to five that end there.

    Raises
    ------
    ArgumentError
        If there is no such method.
    """
    a_model("model", model)
    METHODS.named("method", method)
    return _calibrated(model, method) or uncalibrated(model, method)


def uncalibrated(model: Model, method: str) -> Defaults:
    """Return the defaults of a method before any calibration: tuned, published for the model's like, or by a look."""
    if (settled := _tuned_or_published(model, method)) is not None:
        return settled
    look = looked(model)
    if look is None:
        return defaults_for(_kind(model), model.n_layers, model.width, method)
    return by_look(model, method, look)


def is_open(model: Model, method: str) -> bool:
    """Return whether nothing was measured and nothing published of where to edit the model, so that a look decides."""
    return _calibrated(model, method) is None and _tuned_or_published(model, method) is None


def by_look(model: Model, method: str, look: Look) -> Defaults:
    """Return the defaults of a method where a look has found the layer."""
    return Defaults(_layers_up_to(look.layer, model.n_layers, method), elsewhere(method), look.source)


def _tuned_or_published(model: Model, method: str) -> Defaults | None:
    if (tuned := model.tuned.get(method)) is not None:
        return Defaults(tuned.layers, METHODS[method].hparams(**tuned.settings), tuned.source)
    return METHODS[method].published.get((_kind(model), model.n_layers, model.width))


def _kind(model: Model) -> str:
    return str(model.model.config.get_text_config().model_type)


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
    return Defaults(_layers_up_to(n_layers // 3, n_layers, method), elsewhere(method), _RULE)


def elsewhere(method: str) -> Hparams:
    """Return the settings of a method for models without published ones."""
    chosen = METHODS[method]
    settings: Hparams = chosen.hparams(**chosen.elsewhere)
    return settings


def _layers_up_to(last: int, n_layers: int, method: str) -> tuple[int, ...]:
    count = min(5, 1 + n_layers // 8) if METHODS[method].spreads else 1
    return tuple(range(max(0, last - count + 1), last + 1))
