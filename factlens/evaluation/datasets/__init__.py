"""Data sets of edits: CounterFact, zsRE, known_1000, the user's own, and atlas's."""

from factlens.evaluation.datasets.atlas_facts import atlas_facts
from factlens.evaluation.datasets.counterfact import counterfact
from factlens.evaluation.datasets.known import known_facts
from factlens.evaluation.datasets.opening import load_facts, load_records
from factlens.evaluation.datasets.own import own_records
from factlens.evaluation.datasets.zsre import zsre

__all__ = ["atlas_facts", "counterfact", "known_facts", "load_facts", "load_records", "own_records", "zsre"]
