"""The upper end of a model, from one layer on and from each subject's last token on, ready to be run many times.

While v* is optimised, nothing changes below the edited layer and left of the subject's last token. One full pass
keeps what is there: the layer's input, and the attention keys and values of all layers from it on. Every later pass
starts from these, and reads only the logits that are asked for. The numbers are those of the full pass.

Two kinds of keys: those of the memory, which are the down projection's input (ROME), and those of the attention.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import DynamicCache

from factlens.editing.prompts import Prompts
from factlens.models import Model
from factlens.models.hooks import Kept, all_of, fused_activations, on_input, on_output
from factlens.models.interruptible import interruptible
from factlens.models.masks import LayerMask, watching_mask
from factlens.models.partial import Entry, mlp_only_at, run_from

Place = Literal["mlp", "block"]


@dataclass(frozen=True)
class Tail:
    """What one full pass left of some rows.

    Attributes
    ----------
    model, layer
        The model, and the first layer to run.
    lookup
        Position of the subject's last token in each row, where the tail begins, ``(rows,)``.
    residual
        The layer's input from there on, ``(rows, tokens, width)``; shorter rows end in padding.
    positions
        Positions of these tokens, ``(rows, tokens)``.
    keys, values, states
        At the subject's last token: the down projection's input (the memory's keys), the MLP's output, the block's
        output, ``(rows, ·)``, float32 or wider.
    attention_cache
        For each layer from `layer` on: attention keys and attention values left of the tail.
    masks, alibi
        For each of these layers: what its attention adds to its scores, and BLOOM's position biases.
    """

    model: Model
    layer: int
    lookup: Tensor
    residual: Tensor
    positions: Tensor
    keys: Tensor
    values: Tensor
    states: Tensor
    attention_cache: list[tuple[Tensor, Tensor]]
    masks: list[Tensor]
    alibi: list[Tensor | None]

    @classmethod
    @torch.no_grad()
    def read(cls, model: Model, layer: int, prompts: Prompts) -> Tail:
        """Run the whole prompts once and keep what the tail needs; the caller holds ``model.exclusive()``."""
        residual, keys, values, states = Kept(), Kept(), Kept(), Kept()

        def by_token(hidden: Tensor) -> Tensor:
            # Some architectures flatten batch and tokens around their MLP (OPT).
            return hidden.reshape(*prompts.ids.shape, -1).clone()

        above = range(layer, model.n_layers)
        watched = [LayerMask(rows=len(prompts.ids)) for _ in above]
        attention = DynamicCache()
        hooks = [
            residual.input(model.blocks[layer], by_token),
            keys.input(model.down_projection(layer).module, by_token),
            values.output(model.mlp(layer), by_token),
            states.output(model.blocks[layer], by_token),
            *(watching_mask(model.blocks[i], mask) for i, mask in zip(above, watched, strict=True)),
            on_input(model.head, lambda hidden: hidden[:, :1]),
            interruptible(model.blocks),
        ]
        with all_of(hooks):
            model.model(input_ids=prompts.ids, attention_mask=prompts.mask, past_key_values=attention, use_cache=True)
        places = _Places.of(prompts)
        rows = torch.arange(len(prompts.ids), device=prompts.ids.device)
        wide = torch.promote_types(model.dtype, torch.float32)
        looked_up = [read[0][rows, prompts.lookup].to(wide) for read in (keys, values, states)]
        return cls(
            model=model,
            layer=layer,
            lookup=prompts.lookup,
            residual=residual[0][rows[:, None], places.tail],
            positions=places.tail,
            keys=looked_up[0],
            values=looked_up[1],
            states=looked_up[2],
            attention_cache=[
                (places.before(attention.layers[i].keys), places.before(attention.layers[i].values)) for i in above
            ],
            masks=places.masks(watched, residual[0]),
            alibi=[places.alibi(mask.alibi) for mask in watched],
        )

    def only(self, rows: Tensor) -> Tail:
        """Return the tail of some of the rows."""
        chosen: dict[str, Any] = {}
        for name in (item.name for item in fields(self)):
            value = getattr(self, name)
            if isinstance(value, Tensor):
                chosen[name] = value[rows]
        heads = [1 if biases is None else len(biases) // len(self.lookup) for biases in self.alibi]
        return replace(
            self,
            **chosen,
            attention_cache=[
                (attention_keys[rows], attention_values[rows])
                for attention_keys, attention_values in self.attention_cache
            ],
            masks=_each(self.masks, lambda mask: mask[rows]),
            alibi=[
                None if biases is None else biases.unflatten(0, (-1, each))[rows].flatten(0, 1)
                for biases, each in zip(self.alibi, heads, strict=True)
            ],
        )

    def logits(self, site: Place, moved: Tensor, reads: Tensor) -> Tensor:
        """Run the tail with something added at each row's subject, and read some logits.

        Parameters
        ----------
        site
            Where to add it: to the output of the layer's MLP or of its block.
        moved
            What to add, ``(rows, width)``.
        reads
            ``(reads, 2)``: row and position in the prompt.

        Returns
        -------
        torch.Tensor
            ``(reads, vocabulary)``, in the model's number format.
        """
        model, (count, tokens) = self.model, self.positions.shape
        row, offset = reads[:, 0], reads[:, 1] - self.lookup[reads[:, 0]]

        def add(output: Tensor) -> Tensor:
            changed = output.reshape(count, tokens, -1).clone()
            changed[:, 0] += moved.to(output.dtype)
            return changed.reshape(output.shape)

        def entering(layer: int, hidden: Tensor) -> Entry:
            above = layer - self.layer
            return Entry(self.residual if above == 0 else hidden, self.masks[above], self.alibi[above])

        module = model.mlp(self.layer) if site == "mlp" else model.blocks[self.layer]
        # Of the last block nothing is read but these places.
        read = torch.zeros(count, tokens, dtype=torch.bool, device=row.device)
        read[row, offset] = True
        contexts = [
            fused_activations(model.model),
            mlp_only_at(model, model.n_layers - 1, read),
            on_output(module, add),
            on_input(model.head, lambda hidden: hidden[row, offset][None]),
        ]
        return run_from(
            model,
            self.layer,
            count,
            contexts,
            entering=entering,
            prefix=self.attention_cache,
            positions=self.positions,
        )[0]


@dataclass(frozen=True)
class _Places:
    """Where tokens stand in the prompt and in the tail's attention: each row's prefix, then its tail.

    Prefixes end together, so that tokens that are neighbours in the prompt stay neighbours; some layers count on that
    (GPT-Neo's local attention).

    Attributes
    ----------
    prefix, in_prefix
        Position in the prompt of what stands there, ``(rows, longest prefix)``, and whether there is anything.
    tail, in_tail
        The same of the tail, ``(rows, longest tail)``.
    """

    prefix: Tensor
    in_prefix: Tensor
    tail: Tensor
    in_tail: Tensor

    @classmethod
    def of(cls, prompts: Prompts) -> _Places:
        lookup, device = prompts.lookup[:, None], prompts.ids.device
        prefix = torch.arange(int(lookup.max()), device=device) - (int(lookup.max()) - lookup)
        tail = lookup + torch.arange(int((prompts.lengths - prompts.lookup).max()), device=device)
        longest = prompts.ids.shape[1] - 1
        return cls(prefix.clamp(min=0), prefix >= 0, tail.clamp(max=longest), tail < prompts.lengths[:, None])

    def before(self, attention_states: Tensor) -> Tensor:
        """Cut attention keys or values, ``(rows, heads, tokens, width)``, down to the prefixes."""
        index = self.prefix[:, None, :, None].expand(-1, attention_states.shape[1], -1, attention_states.shape[3])
        return attention_states.gather(2, index)

    def masks(self, watched: list[LayerMask], like: Tensor) -> list[Tensor]:
        """Cut each layer's mask down to the tail's tokens, which see the prefix of their row and each other."""
        # Half of the lowest number: padding that sees nothing gets equal shares, where minus infinity would give NaN.
        lowest = max(torch.finfo(like.dtype).min, torch.finfo(torch.float32).min) / 2
        seen, is_token = torch.cat([self.prefix, self.tail], 1), torch.cat([self.in_prefix, self.in_tail], 1)

        def cut(mask: LayerMask) -> Tensor:
            full = mask.full(like.shape[1], like)
            full = full.expand(len(seen), *full.shape[1:])
            heads, total = full.shape[1], full.shape[-1]
            of_tail = full.gather(2, self.tail[:, None, :, None].expand(-1, heads, -1, total))
            visible = of_tail.gather(3, seen[:, None, None].expand(-1, heads, of_tail.shape[2], -1))
            return visible.masked_fill(~is_token[:, None, None], lowest).clamp(min=lowest)

        # The model gives many layers one and the same mask.
        cut_masks: dict[int, Tensor] = {}
        for mask in watched:
            if id(mask.mask) not in cut_masks:
                cut_masks[id(mask.mask)] = cut(mask)
        return [cut_masks[id(mask.mask)] for mask in watched]

    def alibi(self, biases: Tensor | None) -> Tensor | None:
        """Cut position biases, ``(rows · heads, 1, tokens)``, down to what the tail sees."""
        if biases is None:
            return None
        each = biases.unflatten(0, (len(self.tail), -1))
        seen = torch.cat([self.prefix, self.tail], 1)
        visible: Tensor = each.gather(3, seen[:, None, None].expand(-1, *each.shape[1:3], -1)).flatten(0, 1)
        return visible


def _each(tensors: list[Tensor], change: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Apply `change` once to each tensor of a list in which many are the same."""
    distinct = {id(tensor): tensor for tensor in tensors}
    done = {key: change(tensor) for key, tensor in distinct.items()}
    return [done[id(tensor)] for tensor in tensors]
