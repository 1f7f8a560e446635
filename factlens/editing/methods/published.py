"""Which models methods have published settings for, and where these are from."""

from __future__ import annotations

Key = tuple[str, int, int]
"""Architecture, depth and width, which a local copy of a model under any name keeps."""

GPT2_MEDIUM, GPT2_LARGE, GPT2_XL = ("gpt2", 24, 1024), ("gpt2", 36, 1280), ("gpt2", 48, 1600)
GPTJ, NEOX = ("gptj", 28, 4096), ("gpt_neox", 44, 6144)
LLAMA3, QWEN25 = ("llama", 32, 4096), ("qwen2", 28, 3584)
MENG22, MENG23 = "Meng et al. 2022, published code", "Meng et al. 2023, published code"
FANG25, WANG24 = "Fang et al. 2025, published code", "Wang et al. 2024 (EasyEdit), published settings"
