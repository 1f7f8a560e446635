"""Collect second moments of keys: one pass over a text for all wanted layers, stopped at the deepest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Event

import torch
from platformdirs import user_cache_path
from torch import Tensor

from factlens.errors import FactlensError, FileFormatError, Interrupted
from factlens.models import Model
from factlens.models.hooks import all_of, on_input, run_until_stopped, stopping_before
from factlens.models.sampling import sample_texts
from factlens.moments.second import SecondMoment

SEQUENCE = 64
BATCH = 32


@torch.no_grad()
def collect(
    model: Model,
    layers: Iterable[int],
    texts: Iterable[str],
    *,
    tokens: int,
    corpus: str,
    progress: Callable[[float], None] | None = None,
    stop: Event | None = None,
) -> dict[int, SecondMoment]:
    """Collect the second moments of the keys at some layers, on the unedited weights.

    Texts are joined by the end-of-sequence token and cut into rows of at most `SEQUENCE` tokens. The sums are
    kept in float64 where the device has it.

    Parameters
    ----------
    model
        The model.
    layers
        The layers whose down projection's input is wanted.
    texts
        Ordinary text; only as much of it is read as is needed.
    tokens
        How many tokens to use (rounded up to whole batches, or less if the text ends before).
    corpus
        What the text is, in words that identify it; kept with the result.
    progress
        Called with the share done, after every batch.
    stop
        Set it from another thread to end the pass.

    Returns
    -------
    dict of int to SecondMoment
        One statistic per layer.

    Raises
    ------
    FactlensError
        If the text has not a single row of tokens.
    Interrupted
        If `stop` was set.
    """
    layers = sorted({model.check_layer(layer) for layer in layers})
    wide = torch.float32 if model.device.type == "mps" else torch.float64
    sums = {layer: torch.zeros(0) for layer in layers}
    seen = 0
    with model.unedited():
        for ids in _batches(model, texts):
            keys: dict[int, Tensor] = {}
            hooks = [on_input(model.down_projection(layer).module, _keep(keys, layer)) for layer in layers]
            # Registered last, so that it runs after the deepest layer's own hook.
            hooks.append(stopping_before(model.down_projection(layers[-1]).module))
            with all_of(hooks):
                run_until_stopped(lambda ids=ids: model.model(input_ids=ids, use_cache=False))  # type: ignore[misc]
            for layer, rows in keys.items():
                flat = rows.flatten(0, -2).to(wide)
                gram = flat.T @ flat
                sums[layer] = gram if len(sums[layer]) == 0 else sums[layer].add_(gram)
            seen += ids.numel()
            if progress is not None:
                progress(min(1.0, seen / tokens))
            if stop is not None and stop.is_set():
                raise Interrupted("Collecting second moments was stopped.")
            if seen >= tokens:
                break
    if seen == 0:
        raise FactlensError(f"The corpus {corpus!r} is too short: it has fewer than {_sequence(model)} tokens.")
    return {layer: SecondMoment(total.cpu(), seen, layer, model.fingerprint, corpus) for layer, total in sums.items()}


def default_moment(
    model: Model,
    layer: int,
    *,
    tokens: int = 50_000,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
    stop: Event | None = None,
) -> SecondMoment:
    """Return the second moment at a layer from the model's own text, collected once and then read from disk.

    atlas brings the text it was trained on. For any other model, text is sampled from the model itself,
    which needs no download and says what the model's keys look like when it writes; statistics over a
    real corpus (`collect`) are better, and can be passed to `factlens.edit` as ``moment=``.

    Parameters
    ----------
    model, layer
        Whose keys.
    tokens
        At least this many tokens, and at least eight per dimension of the keys.
    seed
        Seed of the text.
    progress, stop
        As for `collect`.
    """
    tokens = max(tokens, 8 * model.down_projection(layer).key_width)
    source = f"the {model.name} corpus" if model.corpus else "text sampled from the model itself"
    corpus = f"{source}, seed {seed}"
    path = _cache_file(model, layer, corpus, tokens)
    if path.exists():
        try:
            moment = SecondMoment.load(path)
            if (moment.fingerprint, moment.layer, moment.corpus) == (model.fingerprint, layer, corpus):
                return moment
        except FileFormatError:
            pass  # written by another version: collected anew below
    texts = model.corpus(seed) if model.corpus else _own_words(model, seed)
    moment = collect(model, [layer], texts, tokens=tokens, corpus=corpus, progress=progress, stop=stop)[layer]
    moment.save(path)
    return moment


def cache_folder() -> Path:
    """Where statistics are kept: ``$FACTLENS_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("FACTLENS_CACHE") or user_cache_path("factlens", appauthor=False))


def _cache_file(model: Model, layer: int, corpus: str, tokens: int) -> Path:
    key = hashlib.sha256(f"{corpus}|{tokens}|{model.dtype}".encode()).hexdigest()[:12]
    return cache_folder() / "moments" / f"{model.fingerprint}-layer{layer}-{key}.safetensors"


def _own_words(model: Model, seed: int) -> Iterator[str]:
    while True:
        with model.unedited():
            texts = sample_texts(model, count=BATCH, new_tokens=_sequence(model) - 1, seed=seed, top_k=50)
        yield from texts
        seed += 1


def _batches(model: Model, texts: Iterable[str]) -> Iterator[Tensor]:
    """Cut texts, joined by the end-of-sequence token, into batches of equal rows."""
    length = _sequence(model)
    separator: Sequence[int] = [] if model.tokenizer.eos_token_id is None else [int(model.tokenizer.eos_token_id)]
    ids: list[int] = []
    for text in texts:
        ids += [*model.tokenizer(text)["input_ids"], *separator]
        while len(ids) >= BATCH * length:
            yield torch.tensor(ids[: BATCH * length], device=model.device).view(BATCH, length)
            ids = ids[BATCH * length :]
    if rows := len(ids) // length:
        yield torch.tensor(ids[: rows * length], device=model.device).view(rows, length)


def _sequence(model: Model) -> int:
    return min(SEQUENCE, model.max_tokens or SEQUENCE)


def _keep(into: dict[int, Tensor], layer: int) -> Callable[[Tensor], None]:
    def keep(keys: Tensor) -> None:
        into[layer] = keys.detach()

    return keep
