"""When a trace has enough noise samples: the leading cell of each kind is sure to be (nearly) the best.

The rule behind ``samples="auto"``. A declared peak is *wrong* if its true mean effect, over all noise, is less than
`SHARE` of the largest of its kind. So that is what is tested. Let e_i,s be the effect of cell i for noise sample s,
and i the cell whose mean is largest. For every other cell j of the kind the differences e_i,s - SHARE · e_j,s are
paired, one for each sample. The leading cell is separated from j if Student's one-sided t test says that their mean is
above zero, and separated altogether if it is from every j. Cells that are as good as the leading one, its neighbours
most of all, pass easily, because they rise and fall with it. All tests have to succeed, so no correction for their
number is needed (an intersection-union test; Berger 1982). Where it is looked several times, each look has an equal
part of `ERROR` (Bonferroni).
"""

from __future__ import annotations

import numpy as np

from factlens.tracing.statistics import spread_at_hand

SHARE = 0.9
"""What a peak must have of the largest true effect to be right."""
ERROR = 0.05
"""How often the declared peak of a kind may be wrong."""
LOOKS = (5,)
"""After how many samples it is looked whether they are enough. Fewer say too little about their own spread, and every
further look makes all of them stricter."""
MOST = 10
"""How many samples there are at most: as many as are taken by default."""


def separated(effects: np.ndarray, looks: int = len(LOOKS)) -> bool:
    """Return whether the leading cell is separated from all others.

    Parameters
    ----------
    effects
        Effects of all cells of a kind, ``(cells, n)``, larger for a surer answer; the same n noise samples for all.
    looks
        How many times this is asked while n grows.
    """
    from scipy.stats import t

    count = effects.shape[-1]
    if count < 2:
        return False
    effects = effects.astype(np.float64)
    means = effects.mean(-1)
    best = int(means.argmax())
    if not means[best] > 0:
        return False
    differences = np.delete(effects[best] - SHARE * effects, best, 0)
    error = spread_at_hand(differences) / np.sqrt(count)
    return bool((differences.mean(-1) > float(t.isf(ERROR / looks, count - 1)) * error).all())
