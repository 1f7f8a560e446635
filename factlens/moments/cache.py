"""Statistics on disk, each under everything that it depends on, and checked against it when it is read."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

from platformdirs import user_cache_path

from factlens.errors import FileFormatError, WrongModel
from factlens.models import Model
from factlens.moments.collect import SEQUENCE, collect
from factlens.moments.corpora import Source, open_corpus
from factlens.moments.rows import row_length
from factlens.moments.second import SecondMoment


def cache_folder() -> Path:
    """Where statistics are kept: ``moments`` in ``$FACTLENS_CACHE``, or in the user's cache folder."""
    return Path(os.environ.get("FACTLENS_CACHE") or user_cache_path("factlens", appauthor=False)) / "moments"


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
        return cls(
            model.fingerprint,
            model.down_projection(layer).key_width,
            layer,
            corpus,
            tokens,
            str(model.dtype).removeprefix("torch."),
            row_length(model, sequence, SEQUENCE),
        )

    def file(self, folder: Path) -> Path:
        """Return the file for a statistic with this key."""
        return folder / f"{self.fingerprint}-layer{self.layer}-{_digest(asdict(self))}.safetensors"

    def check(self, moment: SecondMoment) -> SecondMoment:
        """Return the statistic if it has this key.

        Raises
        ------
        WrongModel
            Otherwise; the message says what differs.
        """
        found = Key(
            moment.fingerprint,
            len(moment.total),
            moment.layer,
            moment.corpus,
            moment.asked or 0,
            moment.dtype or "an unknown one",
            moment.sequence or 0,
        )
        wrong = [
            f"its {name} is {value}, not {wanted}"
            for (name, value), wanted in zip(asdict(found).items(), asdict(self).values(), strict=True)
            if value != wanted
        ]
        if wrong:
            raise WrongModel(f"This is another second moment than the one wanted: {'; '.join(wrong)}.")
        return moment

    def load(self, folder: Path) -> SecondMoment | None:
        """Return the statistic that is kept in a folder, or None; one that cannot be used is said and passed over."""
        path = self.file(folder)
        try:
            return self.check(SecondMoment.load(path))
        except FileNotFoundError:
            return None
        except (FileFormatError, WrongModel) as error:
            warnings.warn(f"{path} is not used, and collected anew: {error}", stacklevel=2)
            return None


def cached(
    model: Model,
    layers: Iterable[int],
    texts: Source,
    *,
    tokens: int,
    corpus: str | None = None,
    sequence: int | None = None,
    folder: Path | None = None,
    every: float = 30.0,
    progress: Callable[[float], None] | None = None,
    stop: Event | None = None,
) -> dict[int, SecondMoment]:
    """Return second moments as `collect` does, but read from disk those that have been collected before.

    Layers that are missing are collected in one pass, which is taken up again where it was left if it is
    interrupted or killed.

    Parameters
    ----------
    model, layers, texts, tokens, corpus, sequence, every, progress, stop
        As for `collect`.
    folder
        Where to keep the files. Default: `cache_folder`.
    """
    folder = cache_folder() if folder is None else folder
    source = open_corpus(texts, name=corpus)
    keys = {layer: Key.of(model, layer, source.identity, tokens, sequence) for layer in layers}
    known = {layer: key.load(folder) for layer, key in keys.items()}
    if missing := sorted(layer for layer, moment in known.items() if moment is None):
        unfinished = folder / f"unfinished-{_digest([asdict(keys[layer]) for layer in missing])}.safetensors"
        found = collect(
            model,
            missing,
            source,
            tokens=tokens,
            sequence=sequence,
            checkpoint=unfinished,
            every=every,
            progress=progress,
            stop=stop,
        )
        for layer, moment in found.items():
            moment.save(keys[layer].file(folder))
            known[layer] = moment
    return {layer: moment for layer, moment in known.items() if moment is not None}


def _digest(key: object) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
