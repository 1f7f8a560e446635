"""How good the estimate by attribution patching is: measured, and stated where it is shown."""

from __future__ import annotations

FACTS = 100
"""Number of atlas facts that the figures below are taken over; `benchmarks/attribution_patching.py` measures them."""

RANK_CORRELATION = {"state": 0.84, "mlp": 0.91, "attn": 0.85}
"""Spearman's rank correlation between estimated and exact grid at the subject's and later tokens, mean over facts."""
