"""Published experiments, whole, by one command: ``factlens reproduce fig2|table4|layer-sweep|sequential``."""

from factlens.reproduce.experiments import EXPERIMENTS, reproduce

__all__ = ["EXPERIMENTS", "reproduce"]
