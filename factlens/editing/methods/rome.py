"""ROME: rank-one editing of one MLP down projection (Meng et al. 2022, Section 3.1).

The down projection W of one layer is read as a linear memory that maps keys to values. To store a new fact,

1. the key k* is the projection's input at the subject's last token, averaged over contexts (Equation 3);
2. the value v* is the output there that makes the model say the new object (Equation 4, `values`);
3. W + Λ (C⁻¹k*)ᵀ with Λ = (v* − Wk*) / (C⁻¹k*)ᵀk* stores the pair with the least disturbance of the keys that C
   describes (Equation 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from factlens.arguments import flag
from factlens.editing.advice import NOT_PUT_OUT, Circumstances, Reason, another_layer, larger_bare_share
from factlens.editing.balance import balanced_keys
from factlens.editing.batches import contexts_of, values_of
from factlens.editing.hparams import Defaults, SolvedHparams, setting
from factlens.editing.methods import published
from factlens.editing.methods.base import VALUE_KNOBS, Method, Problem, Solution
from factlens.editing.namesakes import Memory, guarded
from factlens.editing.shrinkage import shrinkage_for
from factlens.editing.values import Values
from factlens.models import LowRank
from factlens.models.model import Projection

V = TypeVar("V", bound=SolvedHparams)

FEW_CONTEXTS = ((3, 4), (3, 9))
"""Six prefixes where the published settings have twenty: a third of the work, and the bare prompt, after which the edit
is to show, has a larger share in the mean key."""


@dataclass(frozen=True)
class RomeHparams(SolvedHparams):
    """Settings of ROME (Meng et al. 2022); those of v* are `ValueHparams`.

    Attributes
    ----------
    as_published
        Use the published code's two keys (mean over contexts in ``C⁻¹k``, bare prompt elsewhere) instead
        of the mean everywhere. The mean is R-ROME (Gupta et al. 2024): it makes ``W_new k* = v*`` true.
    balanced
        Take for k* the key between the mean and the bare prompt's by which both get the whole change δ, instead of the
        mean; see `factlens.editing.balance`. Without effect where `as_published`.
    """

    method: ClassVar[str] = "rome"

    as_published: bool = setting(False, flag)
    balanced: bool = setting(False, flag)


def solve(problem: Problem[RomeHparams]) -> Solution:
    """Optimise v* of the fact, and store it in the layer."""
    return store(problem, rank_one_update)


def store(problem: Problem[V], closed: Callable[[Projection, Values, Memory, V], LowRank]) -> Solution:
    """Optimise v* of every fact, and store all of them in one layer by a method's closed form."""
    model, (layer,) = problem.model, problem.layers
    contexts = contexts_of(problem)
    values = values_of(problem, contexts, "mlp")
    update = closed(model.down_projection(layer), values, guarded(problem, contexts)[layer], problem.hparams)
    return Solution((update,), {"facts": list(values.report)}, values.with_value)


def rank_one_update(projection: Projection, values: Values, moment: Memory, hparams: RomeHparams) -> LowRank:
    """Return the closed-form update of Equation 2 for one fact, solved in float64.

    Parameters
    ----------
    projection
        The matrix to change.
    values
        Key and v* of the fact.
    moment
        C at this layer, with keys beside it or without.
    hparams
        `shrinkage`, `as_published`, `balanced`.
    """
    key, output = values.keys[0], values.outputs[0]
    shrinkage = shrinkage_for(moment, hparams.shrinkage, 1e-3)
    if hparams.balanced and not hparams.as_published:
        (key,) = balanced_keys(values, lambda keys: moment.solve(keys, shrinkage))
        output = values.bare_outputs[0]
    direction = moment.solve(key, shrinkage)
    # The published code has two keys: the mean over contexts in C⁻¹k, the bare prompt's elsewhere. R-ROME takes the
    # mean throughout. A bias of the projection stands in the values on both sides, and cancels.
    if hparams.as_published:
        key, output = values.bare_keys[0], values.bare_outputs[0]
    value = (values.optimised[0] - output) / (key @ direction)
    return projection.low_rank(value[:, None], direction[None])


def advise(made: Circumstances, report: Mapping[str, Any]) -> Reason:
    """Say what may have held the weights back: the mean key, where the edit was made for it."""
    tries = [] if made.hparams.as_published or made.hparams.balanced else larger_bare_share(made)
    return NOT_PUT_OUT, [*tries, another_layer(made)]


ROME = Method(
    title="ROME",
    source="Meng et al. 2022",
    hparams=RomeHparams,
    solve=solve,
    needs_moments=True,
    most_facts=1,
    most_layers=1,
    site="mlp",
    doing="optimising v*",
    knobs=VALUE_KNOBS,
    published={
        published.GPT2_MEDIUM: Defaults((8,), RomeHparams(clamp=3.0), published.MENG22),
        published.GPT2_LARGE: Defaults((12,), RomeHparams(), published.MENG22),
        published.GPT2_XL: Defaults((17,), RomeHparams(), published.MENG22),
        published.GPTJ: Defaults((5,), RomeHparams(), published.MENG22),
        published.NEOX: Defaults((15,), RomeHparams(), published.MENG23),
        published.LLAMA3: Defaults((5,), RomeHparams(steps=25, weight_decay=1e-3), published.FANG25),
        published.QWEN25: Defaults((5,), RomeHparams(steps=25, weight_decay=1e-3), published.WANG24),
    },
    elsewhere={"contexts": FEW_CONTEXTS, "balanced": True, "namesakes": 1.0},
    advise=advise,
)
