"""`Method`: what an editing method says of itself, so that nothing else needs to know its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from torch import Tensor

from factlens.editing.advice import NOT_PUT_OUT, Circumstances, Reason, another_layer
from factlens.editing.hparams import Defaults, Hparams
from factlens.editing.methods.published import Key
from factlens.editing.prompts import Context
from factlens.editing.tail import Place
from factlens.editing.taking import Said
from factlens.editing.values import Values
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.weights import WeightTerm
from factlens.moments import SecondMoment
from factlens.progress import Share

H = TypeVar("H", bound=Hparams)
H_co = TypeVar("H_co", bound=Hparams, covariant=True)


@dataclass(frozen=True)
class Problem(Generic[H_co]):
    """What a method has to solve; everything is checked, and the caller holds ``model.exclusive()``.

    Attributes
    ----------
    model
        The model, with the edits it carries already. Its weights are as before when the solver returns.
    facts
        What to change, each with its target.
    layers
        The layers to edit, in ascending order.
    moments
        Second moments of the keys of these layers; empty for a method that needs none.
    hparams
        The settings.
    progress
        Called with the share that is done.
    contexts
        What the facts are looked at behind, where that is known already. Default: sampled from the model.
    values
        The values of the facts, where they are known already. Default: optimised. A value depends on the fact, the last
        layer and the settings of `factlens.editing.hparams.ValueHparams` alone, so that many problems can share it.
    """

    model: Model
    facts: Sequence[Fact]
    layers: tuple[int, ...]
    moments: Mapping[int, SecondMoment]
    hparams: H_co
    progress: Share | None = None
    contexts: Sequence[Context] | None = None
    values: Values | None = None


@dataclass(frozen=True)
class Solution:
    """What a method found.

    Attributes
    ----------
    updates
        The terms to add to the weights.
    report
        What happened: for all facts together, or under ``"facts"`` for each; losses and norms.
    with_value
        What the model says of each fact's target with v* put in; empty for a method that has no v*.
    keys
        Keys at each layer, ``(keys, facts)``, where later edits need to know them.
    """

    updates: tuple[WeightTerm, ...]
    report: dict[str, Any] = field(default_factory=dict)
    with_value: tuple[Said, ...] = ()
    keys: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Knob:
    """A setting that the page offers; all others can be had in code.

    Attributes
    ----------
    name
        The setting, a number.
    label, help
        What the page calls it, and what it does.
    step
        By how much an arrow changes it; None leaves that to the browser. Its range is that of the setting.
    instead_of
        The setting that must be open (None) for this one to count; it is offered only then.
    """

    name: str
    label: str
    help: str
    step: float | None = None
    instead_of: str | None = None


STEPS = Knob("steps", "steps", "most steps of the optimiser", 1)
LEARNING_RATE = Knob("learning_rate", "learning rate", "of the optimiser", 1e-4)
VALUE_KNOBS = (
    Knob("clamp", "clamp", "longest change of the value, in lengths of the old one", 0.5),
    Knob("kl_factor", "KL factor", "weight of leaving alone what kind of thing the subject is", 0.0625),
    STEPS,
    replace(LEARNING_RATE, step=0.05),
)
RIDGE = Knob("ridge", "ridge", "larger: a weaker, safer change", 0.1)
_STRENGTH = Knob("strength", "strength", "how much of its change a fact gets by itself; smaller: weaker, safer", 0.05)


def weight_knobs(weight: Knob) -> tuple[Knob, Knob]:
    """Return what sets the weight against new keys: the weight itself, or the strength that it follows from."""
    return weight, replace(_STRENGTH, instead_of=weight.name)


def _not_put_out(made: Circumstances, report: Mapping[str, Any]) -> Reason:
    return NOT_PUT_OUT, [another_layer(made)]


@dataclass(frozen=True)
class Method(Generic[H]):
    """An editing method.

    Attributes
    ----------
    title
        What it is called in sentences and on the page: ``"ROME"``, ``"fine-tuning"``.
    hparams
        The class of its settings, whose fields have their defaults and checks.
    solve
        From a problem to what is added to the weights.
    source
        The paper.
    needs_moments
        Whether it needs second moments of the keys.
    most_facts, most_layers
        How many facts it stores at once, and how many layers it edits, at most; None for no limit.
    spreads
        Whether it spreads an edit over several layers by default.
    site
        Where the value that it optimises is put in, at the last of its layers: the output of the MLP or of the block;
        None for a method that optimises no value.
    doing
        What it does most of the time, for a line of progress: ``"optimising v*"``.
    knobs
        The settings that the page offers.
    published
        Layers and settings that were published, by model.
    elsewhere
        Settings for models without published ones that differ from those of the class.
    tries
        Settings that a calibration tries, each with the values to try, the likeliest first.
    advise
        Why the weights do not say a target (though v* does, where there is one), and what to change: from how the edit
        was made, and what was reported of the fact.
    """

    title: str
    hparams: type[H]
    solve: Callable[[Problem[H]], Solution]
    source: str = ""
    needs_moments: bool = False
    most_facts: int | None = None
    most_layers: int | None = None
    spreads: bool = False
    site: Place | None = None
    doing: str = "computing the edit"
    knobs: tuple[Knob, ...] = ()
    published: Mapping[Key, Defaults] = field(default_factory=dict)
    elsewhere: Mapping[str, Any] = field(default_factory=dict)
    tries: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    advise: Callable[[Circumstances, Mapping[str, Any]], Reason] = _not_put_out
