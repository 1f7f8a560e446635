"""Two traces with the same rows, so that they can be compared cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factlens.errors import FactError
from factlens.tracing.averages import ROLES, tokens_of_roles
from factlens.tracing.result import Trace


@dataclass(frozen=True, eq=False)
class SideBySide:
    """What two traces have in common, in one shape.

    Attributes
    ----------
    kinds
        The kinds that both have.
    rows
        What each row is: a token where the prompts are the same, else a role that tokens play in both.
    subject
        Whether a row belongs to the subject.
    token_ids
        Ids of the tokens; None where rows are roles.
    a, b
        The scores of both: shape ``(kind, row, layer)``, float32, NaN where not computed.
    by_role
        Whether rows are roles: each the mean over the tokens that play it, as in Meng et al. (2022), Figure 2.
    """

    kinds: tuple[str, ...]
    rows: tuple[str, ...]
    subject: tuple[bool, ...]
    token_ids: tuple[int | None, ...]
    a: np.ndarray
    b: np.ndarray
    by_role: bool


def side_by_side(a: Trace, b: Trace) -> SideBySide:
    """Bring two traces into one shape: by token where their prompts are the same, else by role.

    Raises
    ------
    FactError
        If the traces have no kind in common, were measured in different metrics, or have different numbers of layers.
    """
    kinds = tuple(kind for kind in a.kinds if kind in b.kinds)
    if not kinds:
        raise FactError(f"These traces have no kind in common: {', '.join(a.kinds)}, and {', '.join(b.kinds)}.")
    if a.measure != b.measure:
        raise FactError(f"These traces measure different things: {a.metric} and {b.metric}.")
    if a.n_layers != b.n_layers:
        raise FactError(f"These traces are of models with {a.n_layers} and {b.n_layers} layers: no cell is alike.")
    grids = [trace.scores.sel(kind=list(kinds)).values.astype(np.float32) for trace in (a, b)]
    if a.token_ids == b.token_ids and a.subject_range == b.subject_range:
        start, stop = a.subject_range
        subject = tuple(start <= i < stop for i in range(len(a.tokens)))
        return SideBySide(kinds, a.tokens, subject, a.token_ids, grids[0], grids[1], by_role=False)
    both = [tokens_of_roles(len(trace.tokens), trace.subject_range, trace.template_tokens) for trace in (a, b)]
    played = [i for i in range(len(ROLES)) if both[0][i] and both[1][i]]
    means = [
        np.stack([grid[:, list(roles[i])].mean(1) for i in played], 1) for grid, roles in zip(grids, both, strict=True)
    ]
    rows = tuple(ROLES[i] for i in played)
    subject = tuple("subject token" in row for row in rows)
    return SideBySide(kinds, rows, subject, (None,) * len(rows), means[0], means[1], by_role=True)
