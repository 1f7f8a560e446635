"""Data sets of edits: CounterFact, zsRE, MQuAKE, RippleEdits, known_1000, the user's own, and atlas's."""

from factlens.evaluation.datasets.atlas_facts import atlas_facts
from factlens.evaluation.datasets.counterfact import counterfact
from factlens.evaluation.datasets.easyedit import easyedit
from factlens.evaluation.datasets.known import known_facts
from factlens.evaluation.datasets.mquake import mquake
from factlens.evaluation.datasets.opening import load_facts, load_records
from factlens.evaluation.datasets.own import own_records
from factlens.evaluation.datasets.ripple import ripple_edits
from factlens.evaluation.datasets.zsre import zsre

__all__ = [
    "atlas_facts",
    "counterfact",
    "easyedit",
    "known_facts",
    "load_facts",
    "load_records",
    "mquake",
    "own_records",
    "ripple_edits",
    "zsre",
]
