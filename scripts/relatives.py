"""Train relatives of atlas in other shapes, to see whether what holds for atlas and SmolLM2 holds elsewhere.

    python scripts/relatives.py NAME [--steps N] [--threads N]

A relative learns from atlas's documents, of fewer subjects, as another architecture: gated, parallel, or deep and
narrow. It is saved into .cache/models/NAME, a folder that ``factlens.load`` takes. Some ten minutes each.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from factlens.models.atlas.train import END, Recipe, save, train

FOLDER = Path(__file__).resolve().parents[1] / ".cache" / "models"
FEW = Recipe(left_out=(), subjects=24, vocabulary=2048, batch=16, window=48, steps=700)
#: By name: how the recipe differs, the architecture, and what its config says beside the recipe's sizes.
RELATIVES: dict[str, tuple[Recipe, str, dict[str, Any]]] = {
    "deep-llama": (replace(FEW, layers=12, width=128, heads=4), "llama", {"num_key_value_heads": 2}),
    "parallel-neox": (replace(FEW, layers=8, width=128, heads=4), "gpt_neox", {"use_parallel_residual": True}),
    "narrow-qwen3": (
        replace(FEW, layers=16, width=96, heads=4),
        "qwen3",
        {"num_key_value_heads": 2, "head_dim": 24},
    ),
}


def build(kind: str, more: dict[str, Any], recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Build an untrained model of an architecture, in the recipe's size."""
    end = tokenizer.convert_tokens_to_ids(END)
    gated = kind != "gpt_neox"
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        max_position_embeddings=recipe.positions,
        hidden_size=recipe.width,
        intermediate_size=recipe.width * (8 if gated else 12) // 3,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        **more,
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model


def main() -> None:
    """Read the command line, train, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("name", choices=RELATIVES)
    parser.add_argument("--steps", type=int, help="train for so many steps instead of the recipe's")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    recipe, kind, more = RELATIVES[arguments.name]
    if arguments.steps is not None:
        recipe = replace(recipe, steps=arguments.steps)
    model, tokenizer, _ = train(recipe, 0, lambda recipe, tokenizer: build(kind, more, recipe, tokenizer))
    save(model, tokenizer, FOLDER / arguments.name)
    logging.info("saved to %s", FOLDER / arguments.name)


if __name__ == "__main__":
    main()
