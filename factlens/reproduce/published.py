"""Published numbers, to stand next to one's own: Meng et al. 2022 and 2023, Hase et al. 2023, Fang et al. 2025.

Models go by the name at the end of their Hub id. Success and score in percent, fluency times 100, as printed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Tracing(NamedTuple):
    """Average effects in percent of probability (Meng et al. 2022, section 2.2 and appendix B).

    Attributes
    ----------
    total
        ATE.
    state, state_layer
        Largest average effect of a hidden state, at the last subject token, and its layer.
    mlp, attn
        Largest average effects at the last subject token.
    """

    total: float
    state: float
    state_layer: int
    mlp: float
    attn: float


TRACING: Mapping[str, Tracing] = {"gpt2-xl": Tracing(18.6, 8.7, 15, 6.6, 1.6)}

EDITED_IN_GPT2_XL = "ROME edits layer 17"
"""Where the published settings edit (Meng et al. 2022)."""

COLUMNS = ("score", "rewrite_success", "paraphrase_success", "neighbour_success", "fluency", "consistency")
"""The metrics of the published tables: S, ES, PS, NS, GE, RS."""

TABLE4_METHODS = ("ft", "ft_l", "rome", "memit")
"""What is compared on single edits: those of Table 4, and MEMIT."""
SEQUENTIAL_METHODS = ("rome", "memit", "alphaedit", "ft")
"""What is compared on many edits."""

_ROME = "Meng et al. 2022, Table 4"
COUNTERFACT: Mapping[str, tuple[str, Mapping[str, tuple[float, ...]]]] = {
    "gpt2-xl": (
        _ROME,
        {
            "unedited": (30.5, 22.2, 24.7, 78.1, 626.6, 31.9),
            "ft": (65.1, 100.0, 87.9, 40.4, 607.1, 40.5),
            "ft_l": (66.9, 99.1, 48.7, 70.3, 621.4, 37.4),
            "rome": (89.2, 100.0, 96.4, 75.4, 621.9, 41.9),
        },
    ),
    "gpt-j-6b": (
        _ROME,
        {
            "unedited": (23.6, 16.3, 18.6, 83.0, 621.8, 29.8),
            "ft": (25.5, 100.0, 96.6, 10.3, 387.8, 24.6),
            "ft_l": (68.7, 99.6, 47.9, 78.6, 622.8, 35.5),
            "rome": (91.5, 99.9, 99.1, 78.9, 620.1, 43.0),
        },
    ),
    "gpt2-medium": (
        "Meng et al. 2022, appendix",
        {"unedited": (33.4, 25.0, 27.4, 74.9, 625.8, 31.4), "rome": (87.4, 100.0, 96.4, 71.8, 625.0, 41.7)},
    ),
    "gpt2-large": (
        "Meng et al. 2022, appendix",
        {"unedited": (32.8, 23.9, 27.4, 75.7, 625.4, 31.8), "rome": (88.2, 99.9, 96.3, 73.4, 622.5, 41.9)},
    ),
}
"""Single edits of CounterFact, by model: the source, and a row for each method."""

SEQUENTIAL_COLUMNS = ("rewrite_success", "paraphrase_success", "neighbour_success", "fluency", "consistency")
SEQUENTIAL: Mapping[str, tuple[str, Mapping[str, tuple[float, ...]]]] = {
    name: ("Fang et al. 2025, Table 1: 2,000 edits of CounterFact in batches of 100", rows)
    for name, rows in {
        "gpt2-xl": {
            "alphaedit": (99.5, 93.95, 66.39, 597.9, 39.4),
            "memit": (94.7, 85.82, 60.5, 477.3, 22.7),
            "rome": (54.6, 51.18, 52.68, 366.0, 0.72),
        },
        "gpt-j-6b": {"alphaedit": (99.75, 96.38, 75.48, 618.5, 42.1)},
        "meta-llama-3-8b": {
            "alphaedit": (98.9, 94.22, 67.88, 622.5, 32.4),
            "memit": (65.65, 64.65, 51.56, 437.4, 6.6),
        },
    }.items()
}


EXPLAINED: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "gpt-j-6b": (
        "Hase et al. 2023: 652 facts of CounterFact, ROME",
        {"layer": 0.947, "layer and tracing effect": 0.948},
    ),
}
"""R² of the rewrite score, regressed on the edited layer, and on layer and tracing effect, by model."""


def key_of(model: str) -> str:
    """Return the name under which a model's published numbers are kept: the end of its Hub id or path."""
    return model.rstrip("/").rsplit("/", 1)[-1].lower()
