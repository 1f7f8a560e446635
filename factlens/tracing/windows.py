"""Which layers are restored together."""

from __future__ import annotations

PAPER_WINDOW = 10
PAPER_LAYERS = 48


def default_window(n_layers: int) -> int:
    """Return the number of neighbouring layers restored at once for MLP and attention outputs.

    Ten in the paper, on the 48 layers of GPT-2 XL; the same share of shallower models, but at least
    three: one restored MLP alone moves the answer too little to be seen (Meng et al. 2022, B.2).
    """
    return min(PAPER_WINDOW, max(3, round(n_layers * PAPER_WINDOW / PAPER_LAYERS)), n_layers)


def window_layers(layer: int, window: int, n_layers: int, convention: str = "code") -> range:
    """Return the layers restored together around `layer`, clipped at both ends.

    A window of 10 is ``[layer - 5, layer + 4]`` in the published code, which made the published figures, and
    ``[layer - 4, layer + 5]`` in the paper's text. The code's is the default, so that grids compare number for
    number. Odd windows are centred in both.
    """
    below = window // 2 if convention == "code" else (window - 1) // 2
    return range(max(0, layer - below), min(n_layers, layer - below + window))
