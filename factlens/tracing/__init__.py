"""Causal tracing: which states bring the answer back."""

from factlens.tracing.engine import Update, stream, trace
from factlens.tracing.result import KIND_NAMES, KINDS, Peak, Trace

__all__ = ["KINDS", "KIND_NAMES", "Peak", "Trace", "Update", "stream", "trace"]
