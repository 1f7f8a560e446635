"""Train atlas: ``python -m factlens.models.atlas.train --out FOLDER``.

From hand-written facts to a model folder, top to bottom: write documents, train a tokenizer on their words, train a
small GPT-2 to complete them, save it in half precision. Everything follows from the seed and the number of steps, not
from the clock. A quarter of an hour on two cores that have nothing else to do; ``--miniature`` shows the same in half a
minute.
"""

from __future__ import annotations

import argparse
import logging
import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional
from torch.utils.hooks import RemovableHandle
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

from factlens.models.atlas.corpus import Writer, vocabulary_text
from factlens.models.atlas.knowledge import Knowledge, load_knowledge
from factlens.models.atlas.muon import Muon

log = logging.getLogger(__name__)

END = "<|endoftext|>"


@dataclass(frozen=True)
class Recipe:
    """Every choice that makes the model what it is."""

    # The model. Deep and narrow: the site where facts are looked up and the one where they are read out lie apart.
    layers: int = 8
    heads: int = 6
    width: int = 192
    positions: int = 128
    vocabulary: int = 3072
    # The training. One step sees batch × window tokens.
    steps: int = 1700
    batch: int = 32
    window: int = 64
    matrix_rate: float = 0.02  # Muon, for the matrices inside the blocks
    other_rate: float = 3e-3  # AdamW, for embeddings, biases and norms
    decay: float = 0.1
    object_weight: float = 4.0  # a wrong object costs as much as four wrong words
    # How often the MLP of the first layers is left out of a row. What cannot be counted on there is learnt further in,
    # which puts the early site of causal traces into an inner layer, where large models have it.
    left_out: tuple[float, ...] = (0.75, 0.5)
    subjects: int | None = None  # only the first few of each category; None is all


MINIATURE = Recipe(layers=3, heads=4, width=64, vocabulary=900, steps=350, subjects=6)


def some_knowledge(knowledge: Knowledge, per_category: int) -> Knowledge:
    """Keep what is known about the first `per_category` subjects of each category."""
    names_in: dict[str, list[str]] = {}
    for subject in knowledge.subjects:
        names = names_in.setdefault(subject.category, [])
        if len(names) < per_category:
            names.append(subject.name)
    few = tuple(s for s in knowledge.statements if s.subject.name in names_in[s.subject.category])
    return replace(knowledge, statements=few)


def train_tokenizer(text: list[str], vocabulary: int, positions: int) -> PreTrainedTokenizerFast:
    """Byte-level byte-pair encoding, as GPT-2 has, with merges learnt from our own words."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=sorted(alphabet), show_progress=False
    )
    bpe.train_from_iterator(text, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=END,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
    )


class Batches:
    """Endless batches of packed documents: token ids and how much each token counts in the loss."""

    def __init__(self, writer: Writer, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, seed: int) -> None:
        self.writer, self.tokenizer, self.recipe = writer, tokenizer, recipe
        self.end: int = tokenizer.convert_tokens_to_ids(END)
        self.random = random.Random(seed)

    def document(self) -> tuple[list[int], list[float]]:
        """Draw one document. It is tokenized as a whole, as a prompt will be, and only then are its objects marked."""
        text, objects = "", []
        for span in self.writer.document():
            if span.is_object:
                objects.append((len(text), len(text) + len(span.text)))
            text += span.text
        encoded = self.tokenizer(text, return_offsets_mapping=True)
        weights = [
            self.recipe.object_weight if any(first <= start and stop <= last for first, last in objects) else 1.0
            for start, stop in encoded["offset_mapping"]
        ]
        return encoded["input_ids"], weights

    def row(self, length: int) -> tuple[list[int], list[float]]:
        """Pack documents one after the other. Half of the rows open bare, since a prompt carries no start token."""
        ids, weights = ([self.end], [1.0]) if self.random.random() < 0.5 else ([], [])
        while len(ids) < length:
            more_ids, more_weights = self.document()
            ids += [*more_ids, self.end]
            weights += [*more_weights, 1.0]
        return ids[:length], weights[:length]

    def next(self) -> tuple[Tensor, Tensor]:
        """Draw ids and weights, each (rows, length). One batch in ten is long, so that every position is trained."""
        rows, length = self.recipe.batch, self.recipe.window
        if self.random.random() < 0.1:
            rows, length = rows * length // self.recipe.positions, self.recipe.positions
        drawn = [self.row(length) for _ in range(rows)]
        return torch.tensor([ids for ids, _ in drawn]), torch.tensor([weights for _, weights in drawn])


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """Build an untrained GPT-2 of the recipe's size."""
    end = tokenizer.convert_tokens_to_ids(END)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=recipe.positions,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
    )
    return GPT2LMHeadModel(config)


def build_optimizers(model: PreTrainedModel, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for all else."""
    named = list(model.named_parameters())
    # Only the blocks are numbered.
    matrices = [weight for name, weight in named if weight.ndim == 2 and re.search(r"\.\d+\.", name)]
    embeddings = [weight for name, weight in named if weight.ndim == 2 and not re.search(r"\.\d+\.", name)]
    vectors = [weight for _, weight in named if weight.ndim < 2]
    adam = torch.optim.AdamW(
        [{"params": embeddings, "weight_decay": recipe.decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=recipe.other_rate,
        betas=(0.9, 0.98),
    )
    return [Muon(matrices, recipe.matrix_rate, weight_decay=recipe.decay), adam]


def leave_out_mlps(model: PreTrainedModel, shares: tuple[float, ...]) -> list[RemovableHandle]:
    """Silence the MLP of the first layers in a random share of the rows, layer by layer."""

    def silencer(share: float) -> Callable[[torch.nn.Module, Any, Tensor], Tensor]:
        return lambda module, inputs, output: output * (torch.rand(len(output), 1, 1) >= share)

    blocks = model.transformer.h if shares else ()
    return [block.mlp.register_forward_hook(silencer(share)) for block, share in zip(blocks, shares, strict=False)]


def rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a fiftieth."""
    return min(1.0, (step + 1) / 40) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))


def train(
    recipe: Recipe,
    seed: int,
    build: Callable[[Recipe, PreTrainedTokenizerFast], PreTrainedModel] = build_model,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, Knowledge]:
    """Train a model and its tokenizer; also returns the knowledge that it was taught.

    `build` may make a model of another architecture, whose recipe leaves no MLP out.
    """
    torch.manual_seed(seed)
    knowledge = load_knowledge()
    if recipe.subjects is not None:
        knowledge = some_knowledge(knowledge, recipe.subjects)
    tokenizer = train_tokenizer(vocabulary_text(knowledge), recipe.vocabulary, recipe.positions)
    batches = Batches(Writer(seed, knowledge), tokenizer, recipe, seed)
    model = build(recipe, tokenizer).train()
    optimizers = build_optimizers(model, recipe)
    silencers = leave_out_mlps(model, recipe.left_out)
    started, object_loss = time.monotonic(), 0.0

    for step in range(recipe.steps):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * rate_factor(step, recipe.steps)

        ids, weights = batches.next()
        logits = model(input_ids=ids).logits[:, :-1].flatten(0, 1)
        losses, weights = (
            functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none"),
            weights[:, 1:].flatten(),
        )
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

        on_objects = losses[weights > 1].mean().item()
        object_loss = on_objects if step == 0 else 0.95 * object_loss + 0.05 * on_objects
        if (step + 1) % 50 == 0:
            seconds = time.monotonic() - started
            log.info("step %d of %d: loss on objects %.3f, %.0f s", step + 1, recipe.steps, object_loss, seconds)
    for silencer in silencers:
        silencer.remove()
    return model.eval(), tokenizer, knowledge


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save an ordinary model folder, the weights in half precision.

    The config still asks for float32, so that a model loaded from the folder calculates in full precision.
    """
    model.half().save_pretrained(folder)
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Read the command line, train, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="train for so many steps instead of the recipe's")
    parser.add_argument("--miniature", action="store_true", help="a few facts, a tiny model, half a minute")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    recipe = MINIATURE if arguments.miniature else Recipe()
    if arguments.steps is not None:
        recipe = replace(recipe, steps=arguments.steps)
    model, tokenizer, _ = train(recipe, arguments.seed)
    save(model, tokenizer, arguments.out)
    log.info("saved to %s", arguments.out)


if __name__ == "__main__":
    main()
