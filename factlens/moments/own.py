"""The text that needs no download: what a model was trained on, if it brings that, or else what it writes itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from threading import Event

from factlens.arguments import a_seed, whole
from factlens.models import Model
from factlens.models.given import a_model, some_layers
from factlens.moments.cache import cached
from factlens.moments.collect import SEQUENCE
from factlens.moments.corpora import Corpus
from factlens.moments.rows import row_length
from factlens.moments.second import SecondMoment
from factlens.moments.writing import OwnText
from factlens.progress import Share


def default_moments(
    model: Model,
    layers: Sequence[int],
    *,
    tokens: int | None = None,
    seed: int = 0,
    progress: Share | None = None,
    stop: Event | None = None,
) -> dict[int, SecondMoment]:
    """Return the second moments at some layers from the model's own text, collected once and then read from disk.

    atlas brings the text it was trained on. For any other model, text is sampled from the model itself,
    which needs no download and says what the model's keys look like when it writes; statistics over a
    real corpus (`cached`, or ``factlens stats --text``) are better, and can be passed to `factlens.edit` as
    ``moments=``. It takes minutes on a model of a laptop's size; the statistic says how sure it is.

    Parameters
    ----------
    model, layers
        Whose keys.
    tokens
        How many tokens. Default: `default_tokens`.
    seed
        Seed of the text.
    progress, stop
        As for `collect`.
    """
    model, layers = a_model("model", model), some_layers(a_model("model", model), "layers", layers)
    tokens = default_tokens(model, layers) if tokens is None else whole("tokens", tokens, least=1, example="100_000")
    return cached(model, layers, own_corpus(model, seed), tokens=tokens, progress=progress, stop=stop)


def default_tokens(model: Model, layers: Sequence[int]) -> int:
    """Return the number of tokens for a quick start: eight per dimension of the keys, and no fewer than 50,000.

    Of text that the model writes itself it is no fewer than 20,000: writing takes ten times as long as reading.
    """
    layers = some_layers(a_model("model", model), "layers", layers)
    fewest = 20_000 if model.corpus is None else 50_000
    return max(fewest, *(8 * model.down_projection(layer).key_width for layer in layers))


def own_corpus(model: Model, seed: int = 0, sequence: int | None = None) -> Corpus:
    """Return the model's own text: the corpus it brings, or else what it writes, in rows of `sequence` tokens."""
    model, seed = a_model("model", model), a_seed("seed", seed)
    brought = model.corpus
    if brought is not None:
        return Corpus(f"the {model.name} corpus, seed {seed}", lambda skip: islice(brought(seed), skip, None))
    return OwnText.of(model, row_length(model, sequence, SEQUENCE), seed)
