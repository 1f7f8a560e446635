"""Statistics on disk, each under everything that it depends on, and checked against it when it is read."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

from factlens.arguments import a_path, a_text, event, function, instance, number, optional, whole
from factlens.bar import by_itself
from factlens.caches import cache_for
from factlens.decoding import UTF8
from factlens.errors import FileFormatError, WrongModel
from factlens.models import Model
from factlens.models.belonging import Weights, check_belongs
from factlens.models.given import a_layer, a_model, some_layers
from factlens.moments.checkpoint import say_unkept
from factlens.moments.collect import SEQUENCE, checkpoint_for, gather
from factlens.moments.corpora import Source, a_source, open_corpus
from factlens.moments.rows import row_length
from factlens.moments.second import SecondMoment
from factlens.progress import Share


def cache_folder() -> Path:
    """Where statistics are kept: ``moments`` in ``$FACTLENS_CACHE``, or in the user's cache folder."""
    return cache_for("moments")


@dataclass(frozen=True)
class Key:
    """What a statistic depends on. Two that differ in any of it are kept apart.

    Attributes
    ----------
    fingerprint, width
        Of the model, and how long its keys are.
    layer
        The layer.
    corpus
        Identity of the text.
    tokens
        How many tokens are asked for.
    dtype
        Number format in which the model computes.
    sequence
        How many tokens it reads together.
    """

    fingerprint: str
    width: int
    layer: int
    corpus: str
    tokens: int
    dtype: str
    sequence: int

    @classmethod
    def of(cls, model: Model, layer: int, corpus: str, tokens: int, sequence: int | None = None) -> Key:
        """Return the key of a statistic that `collect` would make."""
        layer = a_layer(a_model("model", model), "layer", layer)
        return cls(
            model.fingerprint,
            model.down_projection(layer).key_width,
            layer,
            a_text("corpus", corpus),
            whole("tokens", tokens, least=1, example="100_000"),
            str(model.dtype).removeprefix("torch."),
            row_length(model, sequence, SEQUENCE),
        )

    def file(self, folder: str | Path) -> Path:
        """Return the file for a statistic with this key."""
        return (
            a_path("folder", folder, folder=True)
            / f"{self.fingerprint}-layer{self.layer}-{_digest(asdict(self))}.safetensors"
        )

    def check(self, moment: SecondMoment) -> SecondMoment:
        """Return the statistic if it has this key.

        Raises
        ------
        WrongModel
            Otherwise; the message says what differs.
        """
        instance("moment", moment, SecondMoment, "a factlens.moments.SecondMoment")
        check_belongs(Weights(None, self.fingerprint), "This second moment", name=None, fingerprint=moment.fingerprint)
        actual = Key(
            moment.fingerprint,
            len(moment.total),
            moment.layer,
            moment.corpus,
            moment.asked or 0,
            moment.dtype or "an unknown one",
            moment.sequence or 0,
        )
        wrong = [
            f"its {name} is {value}, not {expected}"
            for (name, value), expected in zip(asdict(actual).items(), asdict(self).values(), strict=True)
            if value != expected
        ]
        if wrong:
            raise WrongModel(f"This is not the second moment asked for: {'; '.join(wrong)}.")
        return moment


@by_itself("Collecting second moments")
def cached(
    model: Model,
    layers: Iterable[int],
    texts: Source,
    *,
    tokens: int,
    corpus: str | None = None,
    encoding: str = UTF8,
    sequence: int | None = None,
    folder: str | Path | None = None,
    every: float = 30.0,
    progress: Share | bool | None = None,
    stop: Event | None = None,
) -> dict[int, SecondMoment]:
    """Return second moments as `collect` does, but read from disk those that have been collected before.

    Layers that are missing are collected in one pass, which is taken up again where it was left if it is
    interrupted or killed. A file that cannot be used is passed over, and where none can be written the result is
    returned all the same; a warning says so.

    Parameters
    ----------
    model, layers, texts, tokens, corpus, encoding, sequence, every, progress, stop
        As for `collect`.
    folder
        Where to keep the files. Default: `cache_folder`.
    """
    model = a_model("model", model)
    layers, tokens = some_layers(model, "layers", layers), whole("tokens", tokens, least=1, example="100_000")
    every = number("every", every, least=0, example="30")
    progress, stop = optional(function, "progress", progress), optional(event, "stop", stop)
    folder = cache_folder() if folder is None else a_path("folder", folder, folder=True)
    source = open_corpus(a_source("texts", texts), name=optional(a_text, "corpus", corpus), encoding=encoding)
    keys = {layer: Key.of(model, layer, source.identity, tokens, sequence) for layer in layers}
    stored, unreadable = _stored(keys, folder)
    if missing := sorted(keys.keys() - stored.keys()):
        unfinished = folder / f"unfinished-{_digest([asdict(keys[layer]) for layer in missing])}.safetensors"
        checkpoint = checkpoint_for(model, missing, source, tokens, sequence, unfinished, every)
        collected = gather(
            model,
            missing,
            source,
            tokens=tokens,
            sequence=sequence,
            checkpoint=checkpoint,
            progress=progress,
            stop=stop,
        )
        if _keep(collected, keys, folder, warned=checkpoint.failed):
            # Only now: until then a kill would have cost the whole pass.
            checkpoint.remove()
            _warn(folder, unreadable)
        stored |= collected
    return {layer: stored[layer] for layer in keys}


def _stored(keys: Mapping[int, Key], folder: Path) -> tuple[dict[int, SecondMoment], list[str]]:
    """Return the statistics that are kept in a folder, and the files that may not be read.

    A warning names files whose content cannot be used; they are passed over. Where files may not be read, none may be
    written either, as a rule, of which one warning is enough.
    """
    stored, unusable, unreadable = {}, [], []
    for layer, key in keys.items():
        path = key.file(folder)
        try:
            stored[layer] = key.check(SecondMoment.load(path))
        except FileNotFoundError:
            continue
        except (FileFormatError, WrongModel) as error:
            unusable.append(f"{path.name}: {error}")
        except OSError as error:
            unreadable.append(f"{path.name}: {error.strerror or error}.")
    _warn(folder, unusable)
    return stored, unreadable


def _warn(folder: Path, files: Sequence[str]) -> None:
    if files:
        warnings.warn(f"Files in {folder} are not used, and collected anew. {' '.join(files)}", stacklevel=4)


def _keep(collected: Mapping[int, SecondMoment], keys: Mapping[int, Key], folder: Path, *, warned: bool) -> bool:
    """Write statistics to their files; return whether that was possible, and warn if not, unless that was done."""
    failed = None
    for layer, moment in collected.items():
        try:
            moment.save(keys[layer].file(folder))
        except OSError as error:
            failed = error
    if failed is not None and not warned:
        say_unkept(folder, failed)
    return failed is None


def _digest(key: object) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
