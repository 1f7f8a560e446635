"""Models: loading and checking them, naming their parts, keeping track of what was done to their weights."""

from factlens.models.families import FAMILIES, Family
from factlens.models.loading import load, wrap
from factlens.models.model import Answer, Model
from factlens.models.record import ModelEvent
from factlens.models.weights import Dense, LowRank

__all__ = ["FAMILIES", "Answer", "Dense", "Family", "LowRank", "Model", "ModelEvent", "load", "wrap"]
