"""The settings of the editing methods: published where there are any, tuned for atlas, a rule for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar, Self

from factlens.arguments import a_seed, flag, items, number, optional, refuse, shown, some_texts, whole
from factlens.errors import ArgumentError
from factlens.models import Model
from factlens.models.given import a_model
from factlens.slots import SLOT

ROME_CONTEXTS = ((10, 4), (10, 9))
"""Prefixes as ROME's code samples them: its "length 5 and 10" count the first token."""
MEMIT_OPENINGS = ("The", "Therefore", "Because", "I", "You")
"""The words that MEMIT's code lets the model continue by ten tokens."""


_LARGEST = 1e37
"""What float32 still holds after the first step of Adam has divided it by 0.1."""


def _setting(default: Any, check: Callable[..., Any], *args: Any, **limits: Any) -> Any:
    """Return a field of a settings class, with what checks its value: a function of `factlens.arguments`."""
    return field(default=default, metadata={"check": lambda name, value: check(name, value, *args, **limits)})


def _number(default: float | None, **limits: float) -> Any:
    return _setting(default, _bounded if default is not None else partial(optional, _bounded), **limits)


def _bounded(name: str, value: Any, /, **limits: Any) -> float:
    found = number(name, value, **limits)
    if abs(found) > _LARGEST:
        refuse(name, value, f"at most {_LARGEST:g}")
    return found


def _contexts(name: str, value: Any) -> tuple[tuple[int, int], ...]:
    """Return pairs of how many prefixes of how many tokens."""
    wanted, example = "pairs of how many prefixes and how many tokens each has", "((10, 4), (10, 9))"
    pairs = []
    for i, pair in enumerate(items(name, value, wanted, example)):
        both = list(items(f"{name}[{i}]", pair, "a pair of how many prefixes and how many tokens", "(10, 4)"))
        if len(both) != 2:
            refuse(f"{name}[{i}]", pair, "a pair of how many prefixes and how many tokens", "(10, 4)")
        pairs.append((whole(f"{name}[{i}][0]", both[0], least=1), whole(f"{name}[{i}][1]", both[1], least=1)))
    return tuple(pairs)


def _templates(name: str, value: Any) -> tuple[str, ...]:
    """Return prompts with a place for the subject."""
    found = some_texts(name, value, example="('{} is a',)")
    for i, template in enumerate(found):
        if template.count(SLOT) > 1:
            refuse(f"{name}[{i}]", template, f"a prompt that has {SLOT!r} once, where the subject stands", "'{} is a'")
    return found


@dataclass(frozen=True)
class Hparams:
    """Settings of a method; a subclass for each. What makes no sense is refused when they are made."""

    method: ClassVar[str]

    seed: int = _setting(0, a_seed)

    def __post_init__(self) -> None:
        for setting in fields(self):
            checked = setting.metadata["check"](setting.name, getattr(self, setting.name))
            object.__setattr__(self, setting.name, checked)

    def with_changes(self, **changes: Any) -> Self:
        """Return the settings with some replaced.

        Raises
        ------
        ArgumentError
            If a name is not a setting, or a value is of the wrong type or makes no sense.
        """
        names = [known.name for known in fields(self)]
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
        Factor of the KL divergence of what shall stay.
    keep
        What shall stay as it was: templates whose prediction at the subject's last token is held.
    clamp
        Largest ``‖δ‖`` in multiples of ``‖v₀‖``.
    stop_loss
        The optimisation of a fact ends when its loss falls below this.
    contexts
        Prefixes sampled from the model: how many of how many new tokens.
    openings
        Words that the model continues by ten tokens, for more prefixes.
    bare_share
        Share of the bare prompt in the mean key. None: as published, see `factlens.editing.contexts.contexts_for`. A
        subject that begins the text has keys of its own there, which a mean over many contexts misses.
    keep_samples, keep_tokens
        What the model itself writes about the subject shall stay, too: so many continuations of it of so many tokens,
        but for those that mention the old or the new object. The prediction is held at each of their tokens. Not part
        of the published methods (0 there); on atlas it keeps half of the subject's other facts that ROME loses.
    """

    steps: int = _setting(20, whole, least=1)
    learning_rate: float = _number(0.5, above=0)
    weight_decay: float = _number(0.5, least=0)
    kl_factor: float = _number(0.0625, least=0)
    keep: tuple[str, ...] = _setting(("{} is a",), _templates)
    clamp: float = _number(4.0, above=0)
    stop_loss: float = _number(5e-2, least=0)
    contexts: tuple[tuple[int, int], ...] = _setting(ROME_CONTEXTS, _contexts)
    openings: tuple[str, ...] = _setting((), some_texts)
    bare_share: float | None = _number(None, least=0, most=1)
    keep_samples: int = _setting(0, whole, least=0)
    keep_tokens: int = _setting(10, whole, least=1)


@dataclass(frozen=True)
class RomeHparams(ValueHparams):
    """Settings of ROME (Meng et al. 2022); those of v* are `ValueHparams`.

    Attributes
    ----------
    shrinkage
        Ridge on C, as a share of its mean diagonal; see `factlens.moments.SecondMoment.solve`.
    as_published
        Use the published code's two keys (mean over contexts in ``C⁻¹k``, bare prompt elsewhere) instead
        of the mean everywhere. The mean is R-ROME (Gupta et al. 2024): it makes ``W_new k* = v*`` true.
    """

    method: ClassVar[str] = "rome"

    shrinkage: float = _number(1e-3, least=0)
    as_published: bool = _setting(False, flag)


@dataclass(frozen=True)
class MemitHparams(ValueHparams):
    """Settings of MEMIT (Meng et al. 2023); those of z are `ValueHparams`.

    Attributes
    ----------
    moment_weight
        λ in ``(λ C + K Kᵀ)⁻¹``: how many keys of ordinary text the new ones have to hold out against.
    shrinkage
        As for ROME.
    """

    method: ClassVar[str] = "memit"

    clamp: float = _number(0.75, above=0)
    contexts: tuple[tuple[int, int], ...] = _setting((), _contexts)
    openings: tuple[str, ...] = _setting(MEMIT_OPENINGS, some_texts)
    moment_weight: float = _number(15_000.0, above=0)
    shrinkage: float = _number(0.0, least=0)


@dataclass(frozen=True)
class EmmetHparams(ValueHparams):
    """Settings of EMMET (Gupta et al. 2024), which stores many facts in one layer as exactly as ROME stores one.

    Attributes
    ----------
    ridge
        Ridge on ``Kᵀ C⁻¹ K``, for more than one fact. With one fact there is none, and the method is R-ROME.
    shrinkage
        As for ROME.
    """

    method: ClassVar[str] = "emmet"

    ridge: float = _number(0.1, least=0)
    shrinkage: float = _number(1e-3, least=0)


@dataclass(frozen=True)
class AlphaEditHparams(ValueHparams):
    """Settings of AlphaEdit (Fang et al. 2025): MEMIT confined to what the keys of ordinary text do not use.

    Attributes
    ----------
    nullspace
        Directions in which C has less than this (as a share of its mean diagonal where `relative`) count as unused.
    relative
        Whether `nullspace` is a share. The published 0.02 is absolute, and means something else for every model.
    ridge
        L2 in ``(P (K Kᵀ + Kₚ Kₚᵀ) + L2 I)⁻¹``.
    """

    method: ClassVar[str] = "alphaedit"

    clamp: float = _number(0.75, above=0)
    contexts: tuple[tuple[int, int], ...] = _setting((), _contexts)
    openings: tuple[str, ...] = _setting(MEMIT_OPENINGS, some_texts)
    nullspace: float = _number(2e-2, above=0)
    relative: bool = _setting(False, flag)
    ridge: float = _number(10.0, above=0)


@dataclass(frozen=True)
class FineTuneHparams(Hparams):
    """Settings of fine-tuning the down projection on the facts themselves (the FT and FT+L of Meng et al. 2022).

    Attributes
    ----------
    steps, learning_rate
        Of Adam, on all facts at once.
    stop_loss
        It ends when the mean negative log-likelihood of the targets falls below this.
    limit
        No weight moves further than this (the L∞ constraint of FT+L); None for no limit.
    """

    method: ClassVar[str] = "ft"

    steps: int = _setting(25, whole, least=1)
    learning_rate: float = _number(5e-4, above=0)
    stop_loss: float = _number(1e-2, least=0)
    limit: float | None = _number(None, above=0)


@dataclass(frozen=True)
class ConstrainedFineTuneHparams(FineTuneHparams):
    """As `FineTuneHparams`, with a limit."""

    method: ClassVar[str] = "ft_l"

    limit: float | None = _number(5e-4, above=0)


@dataclass(frozen=True)
class LoraHparams(FineTuneHparams):
    """Settings of fine-tuning a low-rank addition to the down projections (Hu et al. 2022).

    Attributes
    ----------
    rank, alpha
        Rank of the addition, and its scale times the rank.
    """

    method: ClassVar[str] = "lora"

    steps: int = _setting(70, whole, least=1)
    learning_rate: float = _number(5e-3, above=0)
    rank: int = _setting(8, whole, least=1)
    alpha: int = _setting(32, whole, least=1)


@dataclass(frozen=True)
class Defaults:
    """Where a method edits a model, and with which settings."""

    layers: tuple[int, ...]
    hparams: Hparams
    source: str = field(default="")


# Keyed by architecture, depth and width, which a local copy under any name keeps.
_GPT2_MEDIUM, _GPT2_LARGE, _GPT2_XL = ("gpt2", 24, 1024), ("gpt2", 36, 1280), ("gpt2", 48, 1600)
_GPTJ, _NEOX = ("gptj", 28, 4096), ("gpt_neox", 44, 6144)
_LLAMA3, _QWEN25 = ("llama", 32, 4096), ("qwen2", 28, 3584)
_Key = tuple[str, int, int]

_MENG22, _MENG23 = "Meng et al. 2022, published code", "Meng et al. 2023, published code"
_FANG25, _WANG24 = "Fang et al. 2025, published code", "Wang et al. 2024 (EasyEdit), published settings"
_PUBLISHED: dict[str, dict[_Key, Defaults]] = {
    "rome": {
        _GPT2_MEDIUM: Defaults((8,), RomeHparams(clamp=3.0), _MENG22),
        _GPT2_LARGE: Defaults((12,), RomeHparams(), _MENG22),
        _GPT2_XL: Defaults((17,), RomeHparams(), _MENG22),
        _GPTJ: Defaults((5,), RomeHparams(), _MENG22),
        _NEOX: Defaults((15,), RomeHparams(), _MENG23),
        _LLAMA3: Defaults((5,), RomeHparams(steps=25, weight_decay=1e-3), _FANG25),
        _QWEN25: Defaults((5,), RomeHparams(steps=25, weight_decay=1e-3), _WANG24),
    },
    "memit": {
        _GPT2_XL: Defaults((13, 14, 15, 16, 17), MemitHparams(moment_weight=20_000), _MENG23),
        _GPTJ: Defaults((3, 4, 5, 6, 7, 8), MemitHparams(steps=25), _MENG23),
        _LLAMA3: Defaults((4, 5, 6, 7, 8), MemitHparams(steps=25, learning_rate=0.1), _FANG25),
    },
    "alphaedit": {
        _GPT2_XL: Defaults((13, 14, 15, 16, 17), AlphaEditHparams(), _FANG25),
        _GPTJ: Defaults((3, 4, 5, 6, 7, 8), AlphaEditHparams(steps=25), _FANG25),
        _LLAMA3: Defaults((4, 5, 6, 7, 8), AlphaEditHparams(steps=25, learning_rate=0.1), _FANG25),
    },
    "ft_l": {_GPT2_XL: Defaults((0,), ConstrainedFineTuneHparams(), _MENG22)},
    "ft": {_GPTJ: Defaults((21,), FineTuneHparams(), _MENG23), _LLAMA3: Defaults((21,), FineTuneHparams(), _FANG25)},
}

_RULE = "a rule: the layers where published settings of other models lie"
_TUNED = "tuned with benchmarks/edit_quality.py"
# What the model itself writes about the subject is held more strongly than published: see `ValueHparams.keep_samples`.
_ATLAS_VALUE: dict[str, Any] = {
    "steps": 40,
    "learning_rate": 0.3,
    "clamp": 6.0,
    "kl_factor": 1.0,
    "bare_share": 0.2,
    "keep_samples": 16,
    "contexts": ROME_CONTEXTS,
    "openings": (),
}
_ATLAS: dict[str, Defaults] = {
    "rome": Defaults((3,), RomeHparams(**_ATLAS_VALUE), _TUNED),
    "memit": Defaults((2, 3, 4), MemitHparams(**_ATLAS_VALUE, moment_weight=500.0), _TUNED),
    "emmet": Defaults((3,), EmmetHparams(**_ATLAS_VALUE, ridge=300.0), _TUNED),
    "alphaedit": Defaults((1, 2, 3), AlphaEditHparams(**_ATLAS_VALUE, nullspace=0.1, relative=True, ridge=1.0), _TUNED),
    "ft": Defaults((3,), FineTuneHparams(steps=60, learning_rate=1e-3), _TUNED),
    "ft_l": Defaults((3,), ConstrainedFineTuneHparams(steps=60, learning_rate=1e-3, limit=1e-2), _TUNED),
    "lora": Defaults((3,), LoraHparams(learning_rate=2e-3), _TUNED),
}
_SETTINGS: dict[str, type[Hparams]] = {
    kind.method: kind
    for kind in (
        RomeHparams,
        MemitHparams,
        EmmetHparams,
        AlphaEditHparams,
        FineTuneHparams,
        ConstrainedFineTuneHparams,
        LoraHparams,
    )
}
METHODS = tuple(_SETTINGS)
"""What `factlens.edit` takes as a method."""


def a_method(name: str, value: Any) -> str:
    """Return the argument `name` if it is an editing method's name.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    if not isinstance(value, str) or value not in _SETTINGS:
        raise ArgumentError(f"There is no editing method {shown(value)}: {name} must be one of {', '.join(METHODS)}.")
    return value


def defaults(model: Model, method: str) -> Defaults:
    """Return the default layers and settings of a method for a model, and where they are from.

    A model without published settings gets those that the published ones share. Its layer is the one a third of the
    way up, where ROME's layers of the GPT-2 family lie (0.33 to 0.35; 0.18 to 0.34 in other families); the methods
    that spread an edit over layers take up to five that end there.

    Raises
    ------
    FactError
        If there is no such method.
    """
    a_model("model", model)
    method = a_method("method", method)
    if model.name == "atlas" and method in _ATLAS:
        return _ATLAS[method]
    return defaults_for(str(model.model.config.get_text_config().model_type), model.n_layers, model.width, method)


def defaults_for(kind: str, n_layers: int, width: int, method: str) -> Defaults:
    """Return the defaults of a method for models of an architecture, depth and width; see `defaults`."""
    key = (kind, n_layers, width)
    if (known := _PUBLISHED.get(method, {}).get(key)) is not None:
        return known
    last = n_layers // 3
    spread = min(5, 1 + n_layers // 8) if method in ("memit", "alphaedit") else 1
    hparams = _SETTINGS[method]()
    if isinstance(hparams, AlphaEditHparams):
        hparams = replace(hparams, relative=True)
    return Defaults(tuple(range(max(0, last - spread + 1), last + 1)), hparams, _RULE)
