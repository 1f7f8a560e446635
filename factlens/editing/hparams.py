"""The settings of ROME: published ones for the models that have them, tuned ones for atlas, a rule for the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from factlens.errors import FactError
from factlens.models import Model


@dataclass(frozen=True)
class RomeHparams:
    """Settings of one ROME edit.

    Attributes
    ----------
    steps
        Most evaluations of the loss of v*; the last takes no step, as in the published code.
    learning_rate
        Of Adam.
    weight_decay
        Factor of ``‖δ‖ / ‖v₀‖²`` in the loss (the published code squares only the denominator).
    kl_factor
        Factor of the KL divergence that keeps "{subject} is a" as it was.
    clamp
        Largest ``‖δ‖`` in multiples of ``‖v₀‖``.
    stop_loss
        The optimisation ends when the loss falls below this.
    contexts
        Prefixes sampled from the model: how many of how many new tokens.
    seed
        Seed of the prefixes and of the default corpus.
    shrinkage
        Ridge on C, as a share of its mean diagonal; see `factlens.moments.SecondMoment.solve`.
    as_published
        Use the published code's two keys (mean over contexts in ``C⁻¹k``, bare prompt elsewhere) instead
        of the mean everywhere. The mean is R-ROME (Gupta et al. 2024): it makes ``W_new k* = v*`` true.
    """

    steps: int = 20
    learning_rate: float = 0.5
    weight_decay: float = 0.5
    kl_factor: float = 0.0625
    clamp: float = 4.0
    stop_loss: float = 5e-2
    contexts: tuple[tuple[int, int], ...] = ((10, 4), (10, 9))
    seed: int = 0
    shrinkage: float = 1e-3
    as_published: bool = False

    def with_changes(self, **changes: object) -> RomeHparams:
        """Return the settings with some replaced.

        Raises
        ------
        FactError
            If a name is not a setting, or a value makes no sense.
        """
        unknown = sorted(set(changes) - set(self.__dataclass_fields__))
        if unknown:
            raise FactError(
                f"ROME has no setting {', '.join(map(repr, unknown))}; it has {', '.join(self.__dataclass_fields__)}."
            )
        new = replace(self, **changes)  # type: ignore[arg-type]
        for name in ("steps", "learning_rate", "clamp"):
            if not getattr(new, name) > 0:
                raise FactError(f"{name} must be positive, not {getattr(new, name)!r}.")
        return new


# Keyed by architecture, depth and width, which a local copy under any name keeps. Published configurations of Meng et
# al. (2022, 2023), except atlas, tuned with benchmarks/edit_layers.py.
_PUBLISHED: dict[tuple[str, int, int], tuple[int, RomeHparams]] = {
    ("gpt2", 24, 1024): (8, RomeHparams(clamp=3.0)),
    ("gpt2", 36, 1280): (12, RomeHparams()),
    ("gpt2", 48, 1600): (17, RomeHparams()),
    ("gptj", 28, 4096): (5, RomeHparams()),
    ("gpt_neox", 44, 6144): (15, RomeHparams()),
}
_ATLAS = (3, RomeHparams(steps=25, learning_rate=0.3))


def rome_defaults(model: Model) -> tuple[int, RomeHparams]:
    """Return the default layer and settings for a model.

    A model without published settings gets those of GPT-2 XL, and the layer a third of the way up, where the
    published ones lie.
    """
    if model.name == "atlas":
        return _ATLAS
    key = (str(model.model.config.model_type), model.n_layers, model.width)
    return _PUBLISHED.get(key, (model.n_layers // 3, RomeHparams()))
