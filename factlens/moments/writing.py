"""Text that a model writes itself, with the keys of its tokens from the very passes that write it.

Reading a token again for its keys would cost a second pass, and a token that is turned into text need not come back as
the same one. So the rows stay rows of tokens, and the keys are caught while they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count

import torch
from torch import Tensor
from transformers import DynamicCache

from factlens.errors import FactlensError, NumericalError
from factlens.models import Model
from factlens.models.hooks import Kept, all_of, fused_activations, run_until_stopped, stopping_before
from factlens.models.interruptible import interruptible
from factlens.models.interrupts import interruption_point
from factlens.models.sampling import drawn
from factlens.moments.corpora import Corpus

# Rows that a model writes side by side, and from how many of its most probable tokens each is drawn.
TOGETHER, TOP = 64, 50
# So many tokens are looked at for each word to begin with: of a vocabulary without words any token will do.
_LOOKS = 50

Keys = dict[int, Tensor]


class Writer:
    """Rows of tokens that a model writes, always the same ones for a seed, in batches that can be begun at any of them.

    Each row begins with a word drawn from the whole vocabulary, behind what the tokenizer puts in front of every text:
    a model that begins all its texts alike covers less of what it knows. Special tokens are never drawn, so that a
    model that would end its text at once writes on.

    Parameters
    ----------
    model
        The model.
    length
        Tokens in a row.
    seed
        Names the rows.

    """

    def __init__(self, model: Model, length: int, seed: int) -> None:
        self.model, self.length, self.seed = model, length, seed

    @cached_property
    def _ordinary(self) -> list[int]:
        """The tokens that are no special ones and that the model has an embedding for."""
        tokenizer = self.model.tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {})
        special = {*tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}
        rows = getattr(self.model.embedding, "num_embeddings", None) or len(tokenizer)
        ordinary = sorted({i for i in tokenizer.get_vocab().values() if i < rows} - special)
        if not ordinary:
            raise FactlensError(
                f"The tokenizer of {self.model.name} has special tokens only, so that the model cannot write text. "
                "Give the text yourself, with moments='file.txt', or load the tokenizer that belongs to the model."
            )
        return ordinary

    @cached_property
    def _front(self) -> list[int]:
        """What the tokenizer puts in front of every text."""
        begin = self.model.tokenizer.bos_token_id
        adds = begin is not None and self.model.tokenizer("a")["input_ids"][:1] == [begin]
        return [int(begin)] if adds else []

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Return how the rows of a batch begin, ``(rows, tokens)``, and what decides each later token, in [0, 1).

        Raises
        ------
        FactlensError
            If the tokenizer has no token that is not a special one.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        shares = torch.rand(TOGETHER, self.length, generator=generator)
        drawn_ids = torch.randint(len(self._ordinary), (_LOOKS * TOGETHER,), generator=generator).tolist()
        looked_at = (self._ordinary[i] for i in drawn_ids)
        words = [i for i, _ in zip((i for i in looked_at if self._is_word(i)), range(TOGETHER), strict=False)]
        words += [self._ordinary[i] for i in drawn_ids[: TOGETHER - len(words)]]
        begun = torch.tensor([[*self._front, word] for word in words])
        return begun[:, : self.length], shares

    def _is_word(self, token: int) -> bool:
        return str(self.model.tokenizer.decode([token])).strip().isalpha()

    @torch.no_grad()
    def write(
        self, layers: Sequence[int], number: int, rows: slice, tick: Callable[[float], None] | None = None
    ) -> tuple[Tensor, Keys]:
        """Write some rows of a batch; the caller holds the unedited model.

        Parameters
        ----------
        layers
            The layers whose keys to return, in ascending order; with none, only the tokens are.
        number, rows
            Which batch, and which rows of it. They are the same whether or not others are written beside them.
        tick
            Called with the share that is done, after every token.

        Returns
        -------
        ids
            ``(rows, length)``.
        keys
            By layer, ``(rows, length, keys)``.

        Raises
        ------
        NumericalError
            If the model gives NaN.
        """
        begun, shares = self.batch(number)
        return self._written(layers, begun[rows], shares[rows], tick or (lambda _share: None))

    def _written(
        self, layers: Sequence[int], begun: Tensor, shares: Tensor, tick: Callable[[float], None]
    ) -> tuple[Tensor, Keys]:
        """Write rows side by side, or one half after the other where the memory does not suffice."""
        parts = {layer: Kept() for layer in layers}
        modules = {layer: self.model.down_projection(layer).module for layer in layers}
        hooks = [inputs.input(modules[layer], Tensor.detach) for layer, inputs in parts.items()]
        try:
            with all_of([*hooks, fused_activations(self.model.model), interruptible(self.model.blocks)]):
                ids = self._tokens(begun, shares, modules[layers[-1]] if layers else None, tick)
            return ids, {
                # Some families flatten rows and tokens into one dimension.
                layer: torch.cat([part.reshape(len(ids), -1, part.shape[-1]) for part in inputs], 1)
                for layer, inputs in parts.items()
            }
        except torch.OutOfMemoryError:
            if len(begun) == 1:
                raise
        for inputs in parts.values():
            inputs.clear()
        (a, first), (b, second) = (
            self._written(layers, *half, lambda share, i=i: tick((i + share) / 2))  # type: ignore[misc]
            for i, half in enumerate(zip(begun.tensor_split(2), shares.tensor_split(2), strict=True))
        )
        return torch.cat([a, b]), {layer: torch.cat([first[layer], second[layer]]) for layer in layers}

    def _tokens(
        self, begun: Tensor, shares: Tensor, deepest: torch.nn.Module | None, tick: Callable[[float], None]
    ) -> Tensor:
        model = self.model.model
        ids = begun.to(self.model.device)
        shares = shares.to(ids.device)
        cache = DynamicCache(config=model.config)
        never: Tensor | None = None
        last = ids
        while ids.shape[1] < self.length:
            logits = model(input_ids=last, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
            if never is None:
                never = torch.ones(logits.shape[-1], dtype=torch.bool)
                never[[i for i in self._ordinary if i < len(never)]] = False
                never = never.to(logits.device)
            # False for NaN, too; some models give special tokens minus infinity themselves.
            if not bool((logits < torch.inf).all()):
                raise NumericalError(
                    f"{self.model.name} gives NaN or infinity when it writes text. float16 often overflows: load the "
                    "model with dtype='bfloat16' or 'float32'."
                )
            last = drawn(logits.float().masked_fill(never, -torch.inf), TOP, shares[:, ids.shape[1]])
            ids = torch.cat([ids, last], 1)
            tick((ids.shape[1] - 1) / self.length)
            interruption_point()
        if deepest is not None:
            # The last token is drawn, and not read yet. Nothing above the deepest layer needs to know of it.
            with stopping_before(deepest):
                run_until_stopped(lambda: model(input_ids=last, past_key_values=cache, use_cache=True))
        return ids


@dataclass(frozen=True)
class OwnText(Corpus):
    """What a model writes itself, row by row; read as text, each row is one.

    Attributes
    ----------
    writer
        What writes it.
    """

    writer: Writer = field(repr=False)

    @classmethod
    def of(cls, model: Model, length: int, seed: int) -> OwnText:
        """Return the text of a model in rows of `length` tokens."""
        writer = Writer(model, length, seed)

        def read(skip: int) -> Iterator[str]:
            batch, inside = divmod(skip, TOGETHER)
            for number in count(batch):
                with model.unedited():
                    ids, _ = writer.write((), number, slice(None))
                for row in ids[inside if number == batch else 0 :].tolist():
                    yield str(model.tokenizer.decode(row, skip_special_tokens=True))

        identity = (
            f"text sampled from the model itself, top {TOP}, each row of {length} tokens begun with a random word, "
            f"seed {seed}"
        )
        return cls(identity, read, writer)
