"""How much a sum over correlated tokens can be trusted: the effective sample size, by the method of batch means."""

from __future__ import annotations

from torch import Tensor

# With fewer, the scatter between groups is itself only a guess.
FEWEST_GROUPS = 8


def effective_size(spread: Tensor, diagonal: Tensor, count: int, group: int, groups: int) -> float | None:
    """Return how many independent tokens would give ``C`` with as little error, or None with too few groups to say.

    The tokens are cut into consecutive groups. For each component of the keys, ``k²`` has a mean in every group; were
    the tokens independent, these means would scatter with the variance of ``k²`` over the number of tokens in a
    group. By how much they scatter more, the tokens count less; that factor is averaged over the components, so that
    no large one decides for all.

    This is an estimate from ``C``'s diagonal alone, and resemblance between whole groups (a corpus sorted by topic)
    escapes it. It never exceeds the number of tokens.

    Parameters
    ----------
    spread
        ``Σ k⁴`` over tokens, and sum and sum of squares over groups of their ``Σ k²``: ``(3, keys)``.
    diagonal
        ``Σ k²`` over tokens, ``(keys,)``.
    count, group, groups
        Number of tokens, of tokens in a group, and of groups.
    """
    if groups < FEWEST_GROUPS:
        return None
    fourth, of_groups, squared = spread
    apart = fourth / count - (diagonal / count).square()
    together = (squared - of_groups.square() / groups) / (groups - 1) / group
    # Components that never vary (dead neurons) say nothing; round-off must not speak for them.
    varies = apart > 1e-9 * fourth / count
    if not bool(varies.any()):
        return None
    inflation = float((together[varies] / apart[varies]).mean())
    return count / max(1.0, inflation)
