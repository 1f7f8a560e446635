"""Collect second moments of keys: one pass over a text for all layers asked for, stopped at the deepest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event

import torch
from torch import Tensor

from factlens.arguments import a_path, a_text, event, function, number, optional, whole
from factlens.bar import by_itself
from factlens.decoding import UTF8
from factlens.errors import FactlensError, Interrupted, NumericalError, WeightsChanged
from factlens.models import Model
from factlens.models.given import a_model, some_layers
from factlens.models.hooks import Kept, all_of, fused_activations, run_until_stopped, stopping_before
from factlens.models.interruptible import interruptible
from factlens.models.interrupts import interruption_point, interrupts_held, stopped_by
from factlens.models.settling import settled
from factlens.moments.checkpoint import Checkpoint, Position
from factlens.moments.corpora import Corpus, Source, a_source, open_corpus
from factlens.moments.rows import TokenRows, row_length
from factlens.moments.second import SecondMoment
from factlens.moments.sums import GROUP, Sums
from factlens.moments.writing import TOGETHER, OwnText
from factlens.progress import Share

SEQUENCE = 64
# Groups in one forward pass: on the CPU as many as its caches like, elsewhere enough to keep a device busy.
_ON_CPU, _ELSEWHERE = 4, 16


@by_itself("Collecting second moments")
def collect(
    model: Model,
    layers: Iterable[int],
    texts: Source,
    *,
    tokens: int,
    corpus: str | None = None,
    encoding: str = UTF8,
    sequence: int | None = None,
    checkpoint: str | Path | None = None,
    every: float = 30.0,
    progress: Share | bool | None = None,
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
        The layers whose down projection's input is collected.
    texts
        Ordinary text: strings, or what `factlens.moments.open_corpus` takes. Only as much of it is read as is needed.
    tokens
        How many tokens to use, rounded up to whole rows, or less if the text ends before.
    corpus
        What the text is, in words that identify it; kept with the result. Default: what `open_corpus` says.
    encoding
        What files of text are in, as for `open_corpus`.
    sequence
        How many tokens the model reads together, at most: a longer context costs memory. Default: 64.
    checkpoint
        Write here how far the pass has come, and begin from what is written there if it is of the same pass. So
        the same call goes on after a kill, and gives the same result. The file is deleted at the end. Where it cannot
        be written, a warning says so, and the pass goes on.
    every
        Seconds between two writes of the checkpoint.
    progress
        Called with the share done, at the start and after every batch. Default: a bar shows it, in a notebook or a
        terminal; False: nothing does.
    stop
        Set it from another thread to end the pass; as with Ctrl-C, the checkpoint is written before it ends.

    Returns
    -------
    dict of int to SecondMoment
        One statistic per layer.

    Raises
    ------
    FileFormatError
        If a file of text is not in this encoding; the message says in which it may be.
    FactlensError
        If the text has not a single row of tokens, or cannot be read.
    LayerError
        If the model has no such layer.
    NumericalError
        If the model gives NaN or infinity.
    WeightsChanged
        If other code changed the weights meanwhile; what was collected is thrown away.
    Interrupted
        If `stop` was set.
    """
    model = a_model("model", model)
    layers = some_layers(model, "layers", layers)
    tokens = whole("tokens", tokens, least=1, example="100_000")
    checkpoint, every = optional(a_path, "checkpoint", checkpoint), number("every", every, least=0, example="30")
    progress, stop = optional(function, "progress", progress), optional(event, "stop", stop)
    source = open_corpus(a_source("texts", texts), name=optional(a_text, "corpus", corpus), encoding=encoding)
    position_file = None
    if checkpoint is not None:
        position_file = checkpoint_for(model, layers, source, tokens, sequence, checkpoint, every)
    moments = gather(
        model, layers, source, tokens=tokens, sequence=sequence, checkpoint=position_file, progress=progress, stop=stop
    )
    if position_file is not None:
        position_file.remove()
    return moments


def checkpoint_for(
    model: Model,
    layers: Iterable[int],
    source: Corpus,
    tokens: int,
    sequence: int | None,
    path: Path,
    every: float,
) -> Checkpoint:
    """Return the checkpoint of a pass, which no other pass takes up."""
    length = row_length(model, sequence, SEQUENCE)
    key: dict[str, object] = {"fingerprint": model.fingerprint, "layers": _checked(model, layers, tokens)}
    key |= {"corpus": source.identity, "tokens": tokens, "dtype": _dtype(model)}
    batch = TOGETHER if _writes(model, source, length) else _batch(model, length)
    return Checkpoint(path, key | {"sequence": length, "batch": batch}, every)


@settled
@torch.no_grad()
def gather(
    model: Model,
    layers: Iterable[int],
    source: Corpus,
    *,
    tokens: int,
    sequence: int | None,
    checkpoint: Checkpoint | None,
    progress: Share | None = None,
    stop: Event | None = None,
) -> dict[int, SecondMoment]:
    """Collect as `collect` does, and leave the checkpoint: the caller deletes it once the result is safe."""
    layers = _checked(model, layers, tokens)
    length = row_length(model, sequence, SEQUENCE)
    written = _writes(model, source, length)
    # Rows that are written apart from each other are each an observation of the scatter.
    group = length if written else _in_group(length) * length
    needed = -(-tokens // length)
    at = checkpoint.load(layers, group, length) if checkpoint is not None else None
    at = at or Position(0, 0, [], {layer: Sums(group, length) for layer in layers})
    keys_of: _Writing | _Reading = (
        _Writing(source, layers) if written else _Reading(model, layers, source, length, at)  # type: ignore[arg-type]
    )
    report = progress or (lambda _share: None)
    report(min(1.0, at.seen / tokens))
    # Texts that the model writes itself take a while each: a stop ends them between two tokens.
    ended = nullcontext() if stop is None else stopped_by(stop)
    with (
        interrupts_held() as interrupted,
        model.watched(interrupted, stop),
        model.unedited(),
        ended,
        _keeping(checkpoint, at),
    ):
        fingerprint = model.fingerprint

        def check_unchanged(full: bool) -> None:
            try:
                model.check_unchanged(fingerprint, (), "read for second moments", "Collect them again", full=full)
            except WeightsChanged:
                # What is in the sums may be of two models.
                at.seen = 0
                if checkpoint is not None:
                    checkpoint.remove()
                raise

        def tick(on_the_way: float) -> None:
            report(min(1.0, (at.seen + on_the_way) / tokens))

        while at.seen < tokens and (batch := keys_of.take(at, needed - at.seen // length, tick)) is not None:
            for layer, keys in batch.items():
                at.sums[layer].add(keys.flatten(0, -2))
                if not at.sums[layer].finite:
                    raise NumericalError(
                        f"The keys of layer {layer} of {model.name} are NaN or infinite. float16 often overflows: load "
                        "the model with dtype='bfloat16' or 'float32'."
                    )
            at.seen += next(iter(batch.values())).shape[:-1].numel()
            keys_of.settle(at)
            report(min(1.0, at.seen / tokens))
            check_unchanged(full=False)
            if checkpoint is not None and at.seen < tokens and checkpoint.due:
                checkpoint.save(at)
            if stop is not None and stop.is_set():
                raise Interrupted("Collecting second moments was stopped.")
            interruption_point()
        check_unchanged(full=True)
    if at.seen == 0:
        raise FactlensError(f"The corpus {source.identity!r} is too short: it has fewer than {length} tokens.")
    if at.seen < tokens:
        report(1.0)
    return {
        layer: SecondMoment(
            total=sums.matrix(),
            count=at.seen,
            layer=layer,
            fingerprint=fingerprint,
            corpus=source.identity,
            dtype=_dtype(model),
            sequence=length,
            asked=tokens,
            group=sums.group,
            groups=sums.groups,
            spread=sums.spread,
            rows=sums.rows,
        )
        for layer, sums in at.sums.items()
    }


class _Reading:
    """Keys of the tokens that a text is made of."""

    def __init__(self, model: Model, layers: list[int], source: Corpus, length: int, at: Position) -> None:
        self._model, self._layers, self._most = model, layers, _batch(model, length)
        self._rows = TokenRows(model, source.read(at.read), length, read=at.read, left=at.left)

    def take(self, at: Position, rows: int, tick: Share) -> dict[int, Tensor] | None:
        """Return the keys of the next rows by layer, of as many as are read at once, or None at the end of the text."""
        ids = self._rows.take(min(self._most, rows))
        return None if ids is None else _keys(self._model, self._layers, ids.to(self._model.device))

    def settle(self, at: Position) -> None:
        """Note where the text stands, once what was taken is in the sums."""
        at.read, at.left = self._rows.read, list(self._rows.left)


class _Writing:
    """Keys of tokens that the model writes itself."""

    def __init__(self, source: OwnText, layers: list[int]) -> None:
        self._writer, self._layers = source.writer, layers
        self._taken = 0

    def take(self, at: Position, rows: int, tick: Share) -> dict[int, Tensor]:
        """Return the keys of the next rows by layer, of as many as are written side by side."""
        number, first = divmod(at.read, TOGETHER)
        self._taken = min(TOGETHER - first, rows)
        tokens = self._taken * self._writer.length
        some = slice(first, first + self._taken)
        _, keys = self._writer.write(self._layers, number, some, lambda share: tick(share * tokens))
        return keys

    def settle(self, at: Position) -> None:
        """Note how many rows are written, once they are in the sums."""
        at.read += self._taken


def _writes(model: Model, source: Corpus, length: int) -> bool:
    """Whether the text is what this very model writes, in rows as they are to be read."""
    return isinstance(source, OwnText) and source.writer.model.model is model.model and source.writer.length == length


def _checked(model: Model, layers: Iterable[int], tokens: int) -> list[int]:
    """Return the layers in order, each once, if they and the number of tokens make sense."""
    ordered = sorted({model.check_layer(layer) for layer in layers})
    if not ordered:
        raise FactlensError("layers is empty: name the layers whose second moments to collect.")
    if tokens < 1:
        raise FactlensError(f"tokens is how many tokens to use: a positive number, not {tokens!r}.")
    return ordered


def _dtype(model: Model) -> str:
    return str(model.dtype).removeprefix("torch.")


def _in_group(length: int) -> int:
    """Return how many rows of tokens are one observation of the scatter."""
    return max(1, GROUP // length)


def _batch(model: Model, length: int) -> int:
    """Return how many rows go through the model at once."""
    return _in_group(length) * (_ON_CPU if model.device.type == "cpu" else _ELSEWHERE)


@contextmanager
def _keeping(checkpoint: Checkpoint | None, at: Position) -> Iterator[None]:
    """Keep what was collected when a stop or an interrupt ends the block, at any line."""
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint is not None and at.seen:
            checkpoint.save(at)
        raise


def _keys(model: Model, layers: list[int], ids: Tensor) -> dict[int, Tensor]:
    """Return what enters the layers' down projections, by one pass that ends there, or by two halves if it must."""
    keys = {layer: Kept() for layer in layers}
    hooks = [inputs.input(model.down_projection(layer).module, Tensor.detach) for layer, inputs in keys.items()]
    # Registered last, so that it runs after the deepest layer's own hook.
    hooks.append(stopping_before(model.down_projection(layers[-1]).module))
    hooks += [fused_activations(model.model), interruptible(model.blocks)]
    try:
        with all_of(hooks):
            run_until_stopped(lambda: model.model(input_ids=ids, use_cache=False))
        return {layer: inputs[0] for layer, inputs in keys.items()}
    except torch.OutOfMemoryError:
        if len(ids) == 1:
            raise
    for inputs in keys.values():
        inputs.clear()
    first, second = (_keys(model, layers, half) for half in ids.tensor_split(2))
    return {layer: torch.cat([first[layer].flatten(0, -2), second[layer].flatten(0, -2)]) for layer in layers}
