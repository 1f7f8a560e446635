"""What the settings of all editing methods have in common; each method's own stand in its file in `methods`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar, Self

from factlens.arguments import a_seed, items, number, optional, refuse, shown, some_texts, whole
from factlens.errors import ArgumentError, RenamedWarning
from factlens.moments.second import Shrinkage
from factlens.moments.second import a_shrinkage as shrinkage_of
from factlens.slots import SLOT
from factlens.warned import warn

_LARGEST = 1e37
"""What float32 still holds after the first step of Adam has divided it by 0.1."""


def setting(default: Any, check: Callable[..., Any], *args: Any, **limits: Any) -> Any:
    """Return a field of a settings class, with what checks its value, as `factlens.arguments` does, and its limits."""
    checked = partial(_checked, check, args, limits)
    return field(default=default, metadata={"check": checked, "limits": limits})


def _checked(check: Callable[..., Any], args: tuple[Any, ...], limits: dict[str, Any], name: str, value: Any) -> Any:
    return check(name, value, *args, **limits)


def a_number(default: float | None, *, open: bool = False, **limits: float) -> Any:
    """Return a field of a settings class that holds a number; None is allowed where it is the default, or `open`."""
    return setting(default, partial(optional, _bounded) if open or default is None else _bounded, **limits)


def _bounded(name: str, value: Any, /, **limits: Any) -> float:
    checked = number(name, value, **limits)
    if abs(checked) > _LARGEST:
        refuse(name, value, f"at most {_LARGEST:g}")
    return checked


def a_shrinkage() -> Any:
    """Return a field of a settings class for the shrinkage of C: a ridge, or a word by which it is estimated.

    None, the default, leaves it to `factlens.editing.shrinkage`.
    """
    return setting(None, partial(optional, _shrinkage))


def _shrinkage(name: str, value: Any) -> Shrinkage:
    checked = shrinkage_of(name, value)
    return checked if isinstance(checked, str) else _bounded(name, checked, least=0)


def some_contexts(name: str, value: Any) -> tuple[tuple[int, int], ...]:
    """Return pairs of how many prefixes of how many tokens."""
    expected, example = "pairs of how many prefixes and how many tokens each has", "((10, 4), (10, 9))"
    pairs = []
    for i, pair in enumerate(items(name, value, expected, example)):
        both = list(items(f"{name}[{i}]", pair, "a pair of how many prefixes and how many tokens", "(10, 4)"))
        if len(both) != 2:
            refuse(f"{name}[{i}]", pair, "a pair of how many prefixes and how many tokens", "(10, 4)")
        pairs.append((whole(f"{name}[{i}][0]", both[0], least=1), whole(f"{name}[{i}][1]", both[1], least=1)))
    return tuple(pairs)


def some_templates(name: str, value: Any) -> tuple[str, ...]:
    """Return prompts with a place for the subject."""
    templates = some_texts(name, value, example="('{} is a',)")
    for i, template in enumerate(templates):
        if template.count(SLOT) > 1:
            refuse(f"{name}[{i}]", template, f"a prompt that has {SLOT!r} once, where the subject stands", "'{} is a'")
    return templates


@dataclass(frozen=True)
class Hparams:
    """Settings of a method; a subclass for each. What makes no sense is refused when they are made.

    Attributes
    ----------
    seed
        Seed of what is drawn, and of the default corpus.
    """

    method: ClassVar[str] = "The method"
    """The method's name, for errors."""

    seed: int = setting(0, a_seed)

    def __post_init__(self) -> None:
        for item in fields(self):
            checked = item.metadata["check"](item.name, getattr(self, item.name))
            object.__setattr__(self, item.name, checked)

    @classmethod
    def range_of(cls, name: str) -> tuple[float | None, float | None]:
        """Return the least and the largest value of a setting that is a number; None where there is no such limit."""
        limits = next(item.metadata["limits"] for item in fields(cls) if item.name == name)
        return limits.get("least", limits.get("above")), limits.get("most", limits.get("below"))

    def with_changes(self, **changes: Any) -> Self:
        """Return the settings with some replaced.

        Raises
        ------
        ArgumentError
            If a name is not a setting, or a value is of the wrong type or makes no sense.
        """
        names = [item.name for item in fields(self)]
        unknown = sorted(set(changes) - set(names))
        if unknown:
            raise ArgumentError(
                f"{self.method} has no setting {', '.join(map(shown, unknown))}; it has {', '.join(names)}."
            )
        return replace(self, **changes)


@dataclass(frozen=True)
class ValueHparams(Hparams):
    """Settings of every method that optimises a value v*.

    Attributes
    ----------
    seed
        Seed of the contexts and of the default corpus.
    steps
        Most evaluations of the loss of v*; the last takes no step, as in the published code.
    learning_rate
        Of Adam.
    weight_decay
        Factor of ``‖δ‖ / ‖v₀‖²`` in the loss (the published code squares only the denominator).
    kl_factor
        Factor of the KL divergence of what should stay.
    keep
        What should stay as it was: templates whose prediction at the subject's last token is held.
    clamp
        Largest ``‖δ‖`` in multiples of ``‖v₀‖``.
    stop_loss
        The optimisation of a fact ends when its loss falls below this.
    contexts
        Prefixes sampled from the model: how many of how many new tokens. ROME's "length 5 and 10" count the first one.
    openings
        Words that the model continues by ten tokens, for more prefixes.
    bare_share
        Share of the bare prompt in the mean key. None: as published, see `factlens.editing.contexts.contexts_for`. A
        subject that begins the text has keys of its own there, which a mean over many contexts misses.
    keep_samples, keep_tokens
        What the model itself writes about the subject should stay, too: so many continuations of so many tokens,
        without those that mention the old or the new object. The prediction is held at each of their tokens. Not part
        of the published methods (0 there); on atlas it keeps half of the subject's other facts that ROME loses.
    """

    steps: int = setting(20, whole, least=1)
    learning_rate: float = a_number(0.5, above=0)
    weight_decay: float = a_number(0.5, least=0)
    kl_factor: float = a_number(0.0625, least=0)
    keep: tuple[str, ...] = setting(("{} is a",), some_templates)
    clamp: float = a_number(4.0, above=0)
    stop_loss: float = a_number(5e-2, least=0)
    contexts: tuple[tuple[int, int], ...] = setting(((10, 4), (10, 9)), some_contexts)
    openings: tuple[str, ...] = setting((), some_texts)
    bare_share: float | None = a_number(None, least=0, most=1)
    keep_samples: int = setting(0, whole, least=0)
    keep_tokens: int = setting(10, whole, least=1)


@dataclass(frozen=True)
class SolvedHparams(ValueHparams):
    """Settings of every method that puts values into the weights by solving with C.

    Attributes
    ----------
    shrinkage
        Ridge on C, as a share of its mean diagonal; or ``"auto"`` or ``"diagonal"``, by which it is estimated. See
        `factlens.moments.SecondMoment.solve`. None: what the method takes by itself, and at least 1e-2 where C is of
        few tokens; see `factlens.editing.shrinkage`.
    namesakes
        Weight that keys of made-up subjects with the same last word have beside C, for each fact: 1 counts them as much
        as all ordinary text. See `factlens.editing.namesakes`. Not part of the published methods (0 there).
    """

    shrinkage: float | str | None = a_shrinkage()
    namesakes: float = a_number(0.0, least=0)


@dataclass(frozen=True)
class Defaults:
    """Where a method edits a model, and with which settings.

    Attributes
    ----------
    layers
        The layers.
    hparams
        The settings.
    source
        Where both are from.
    """

    layers: tuple[int, ...]
    hparams: Hparams
    source: str = ""


def __getattr__(name: str) -> Any:
    """Find the classes of settings, which stood here before each method had a file."""
    if name.startswith("_"):  # which Python asks every module for
        raise AttributeError(name)
    from factlens.editing.methods import METHODS

    for method in METHODS.values():
        if name == method.hparams.__name__:
            warn(RenamedWarning(f"factlens.editing.hparams.{name} is now {method.hparams.__module__}.{name}."))
            return method.hparams
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
