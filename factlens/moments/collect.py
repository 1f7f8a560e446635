"""Collect second moments of keys: one pass over a text for all wanted layers, stopped at the deepest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event

import torch
from torch import Tensor

from factlens.errors import FactlensError, Interrupted, NumericalError
from factlens.models import Model
from factlens.models.hooks import all_of, fused_activations, on_input, run_until_stopped, stopping_before
from factlens.models.interrupts import interruption_point, interrupts_held, stopped_by
from factlens.moments.checkpoint import Checkpoint, Position
from factlens.moments.corpora import Source, open_corpus
from factlens.moments.rows import TokenRows, row_length
from factlens.moments.second import SecondMoment
from factlens.moments.sums import GROUP, Sums

SEQUENCE = 64
# Groups in one forward pass: on the CPU as many as its caches like, elsewhere enough to keep a device busy.
_ON_CPU, _ELSEWHERE = 4, 16


@torch.no_grad()
def collect(
    model: Model,
    layers: Iterable[int],
    texts: Source,
    *,
    tokens: int,
    corpus: str | None = None,
    sequence: int | None = None,
    checkpoint: str | Path | None = None,
    every: float = 30.0,
    progress: Callable[[float], None] | None = None,
    stop: Event | None = None,
) -> dict[int, SecondMoment]:
    """Collect the second moments of the keys at some layers, on the unedited weights.

    Texts are joined by the end-of-sequence token and cut into rows, which the model reads apart from each other.
    Products are formed in float32 and added up in float64.

    Parameters
    ----------
    model
        The model.
    layers
        The layers whose down projection's input is wanted.
    texts
        Ordinary text: strings, or what `factlens.moments.open_corpus` takes. Only as much of it is read as is needed.
    tokens
        How many tokens to use, rounded up to whole rows, or less if the text ends before.
    corpus
        What the text is, in words that identify it; kept with the result. Default: what `open_corpus` says.
    sequence
        How many tokens the model reads together, at most: a longer context costs memory. Default: 64.
    checkpoint
        Write here how far the pass has come, and begin from what is written there if it is of the same pass. So
        the same call goes on after a kill, and gives the same result. The file is deleted at the end.
    every
        Seconds between two writes of the checkpoint.
    progress
        Called with the share done, at the start and after every batch.
    stop
        Set it from another thread to end the pass; as with Ctrl-C, the checkpoint is written before it ends.

    Returns
    -------
    dict of int to SecondMoment
        One statistic per layer.

    Raises
    ------
    FactlensError
        If the text has not a single row of tokens, or cannot be read.
    LayerError
        If the model has no such layer.
    NumericalError
        If the model gives NaN or infinity.
    Interrupted
        If `stop` was set.
    """
    layers = sorted({model.check_layer(layer) for layer in layers})
    if not layers:
        raise FactlensError("layers is empty: name the layers whose second moments are wanted.")
    if tokens < 1:
        raise FactlensError(f"tokens is how many tokens to use: a positive number, not {tokens!r}.")
    source = open_corpus(texts, name=corpus)
    length = row_length(model, sequence, SEQUENCE)
    dtype = str(model.dtype).removeprefix("torch.")
    in_group = max(1, GROUP // length)
    batch = in_group * (_ON_CPU if model.device.type == "cpu" else _ELSEWHERE)
    wanted = -(-tokens // length)
    kept = None
    if checkpoint is not None:
        key: dict[str, object] = {"fingerprint": model.fingerprint, "layers": layers, "corpus": source.identity}
        key |= {"tokens": tokens, "dtype": dtype, "sequence": length, "batch": batch}
        kept = Checkpoint(Path(checkpoint), key, every)
    at = kept.load(layers, in_group * length) if kept is not None else None
    at = at or Position(0, 0, [], {layer: Sums(in_group * length) for layer in layers})
    rows = TokenRows(model, source.read(at.read), length, read=at.read, left=at.left)
    report = progress or (lambda _share: None)
    report(min(1.0, at.seen / tokens))
    # Texts that the model writes itself take a while each: a stop ends them between two tokens.
    ended = nullcontext() if stop is None else stopped_by(stop)
    with (
        interrupts_held() as interrupted,
        model.exclusive(interrupted, stop),
        model.unedited(),
        ended,
        _keeping(kept, at),
    ):
        while at.seen < tokens and (ids := rows.take(min(batch, wanted - at.seen // length))) is not None:
            for layer, keys in _keys(model, layers, ids.to(model.device)).items():
                at.sums[layer].add(keys.flatten(0, -2))
                if not at.sums[layer].finite:
                    raise NumericalError(
                        f"The keys of layer {layer} of {model.name} are NaN or infinite. float16 often overflows: load "
                        "the model with dtype='bfloat16' or 'float32'."
                    )
            at.seen += ids.numel()
            at.read, at.left = rows.read, list(rows.left)
            report(min(1.0, at.seen / tokens))
            if kept is not None and at.seen < tokens and kept.due:
                kept.save(at)
            if stop is not None and stop.is_set():
                raise Interrupted("Collecting second moments was stopped.")
            interruption_point()
    if at.seen == 0:
        raise FactlensError(f"The corpus {source.identity!r} is too short: it has fewer than {length} tokens.")
    if at.seen < tokens:
        report(1.0)
    if kept is not None:
        kept.remove()
    return {
        layer: SecondMoment(
            total=sums.matrix(),
            count=at.seen,
            layer=layer,
            fingerprint=model.fingerprint,
            corpus=source.identity,
            dtype=dtype,
            sequence=length,
            asked=tokens,
            group=sums.group,
            groups=sums.groups,
            spread=sums.spread,
        )
        for layer, sums in at.sums.items()
    }


@contextmanager
def _keeping(kept: Checkpoint | None, at: Position) -> Iterator[None]:
    """Keep what was collected when a stop or an interrupt ends the block, wherever that strikes."""
    try:
        yield
    except KeyboardInterrupt:
        if kept is not None and at.seen:
            kept.save(at)
        raise


def _keys(model: Model, layers: list[int], ids: Tensor) -> dict[int, Tensor]:
    """Return what enters the layers' down projections, by one pass that ends there, or by two halves if it must."""
    keys: dict[int, Tensor] = {}
    hooks = [on_input(model.down_projection(layer).module, _keep(keys, layer)) for layer in layers]
    # Registered last, so that it runs after the deepest layer's own hook.
    hooks.append(stopping_before(model.down_projection(layers[-1]).module))
    hooks.append(fused_activations(model.model))
    try:
        with all_of(hooks):
            run_until_stopped(lambda: model.model(input_ids=ids, use_cache=False))
        return keys
    except torch.OutOfMemoryError:
        if len(ids) == 1:
            raise
    keys.clear()
    first, second = (_keys(model, layers, half) for half in ids.tensor_split(2))
    return {layer: torch.cat([first[layer].flatten(0, -2), second[layer].flatten(0, -2)]) for layer in layers}


def _keep(into: dict[int, Tensor], layer: int) -> Callable[[Tensor], None]:
    def keep(keys: Tensor) -> None:
        into[layer] = keys.detach()

    return keep
