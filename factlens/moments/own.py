"""The text that needs no download: what a model was trained on, if it brings that, or else what it writes itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from threading import Event

from factlens.arguments import a_seed, instance, optional, whole
from factlens.bar import by_itself
from factlens.models import Model
from factlens.models.given import a_model, some_layers
from factlens.moments.cache import cached
from factlens.moments.collect import SEQUENCE
from factlens.moments.corpora import Corpus
from factlens.moments.rows import row_length
from factlens.moments.second import SecondMoment
from factlens.moments.writing import OwnText
from factlens.progress import Share, Stage

# Tokens of text that a model writes itself: few, as writing them is what a first edit waits for.
_FEWEST_WRITTEN, _MANY_WRITTEN = 2_048, 4_096
# Tokens of text that is there to be read.
_FEWEST_READ, _FEWEST_OF_ATLAS = 20_000, 50_000


@by_itself("Collecting second moments")
def default_moments(
    model: Model,
    layers: Sequence[int],
    *,
    tokens: int | None = None,
    seed: int = 0,
    progress: Share | bool | None = None,
    stop: Event | None = None,
) -> dict[int, SecondMoment]:
    """Return the second moments at some layers from the model's own text, collected once and then read from disk.

    atlas brings the text it was trained on. For any other model, text is sampled from the model itself,
    which needs no download and says what the model's keys look like when it writes; statistics over a
    real corpus (`cached`, or ``factlens stats --text``) are better, and can be passed to `factlens.edit` as
    ``moments=``. The statistic says how sure it is: of few tokens, not very. ``factlens.edit(..., moments=100_000)``
    takes that many; published edits have 100,000 whole texts of Wikipedia.

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


def collecting(model: Model, layers: Sequence[int], text: Corpus | None = None) -> Stage:
    """Return the stage in which these second moments are collected, for a bar; parameters as `default_tokens`."""
    first, last = min(layers), max(layers)
    of = f"layer {first}" if first == last else f"layers {first} to {last}"
    written = isinstance(text, OwnText) or (text is None and model.corpus is None)
    return Stage("second moment", f"second moments of {of}: {'sampling' if written else 'reading'} text")


def default_tokens(model: Model, layers: Sequence[int], text: Corpus | None = None) -> int:
    """Return the number of tokens for a quick start.

    Of text that is read: eight per dimension of the keys, and no fewer than 20,000, or 50,000 for atlas. Of text that
    the model writes itself, which takes ten times as long: two per dimension of the keys, but no fewer than 2,048; and
    of wide keys 4,096, or one for every four dimensions if that is more. So few leave ``C`` uncertain, and what it is
    there for they tell: which directions the keys have in common.

    Parameters
    ----------
    model, layers
        Whose keys.
    text
        The text they are collected from. Default: `own_corpus`.
    """
    layers = some_layers(a_model("model", model), "layers", layers)
    text = optional(instance, "text", text, Corpus, "what factlens.moments.open_corpus returns")
    width = max(model.down_projection(layer).key_width for layer in layers)
    if isinstance(text, OwnText) or (text is None and model.corpus is None):
        return max(_FEWEST_WRITTEN, min(2 * width, max(_MANY_WRITTEN, -(-width // 4))))
    return max(_FEWEST_READ if model.corpus is None else _FEWEST_OF_ATLAS, 8 * width)


def own_corpus(model: Model, seed: int = 0, sequence: int | None = None) -> Corpus:
    """Return the model's own text: the corpus it brings, or else what it writes, in rows of `sequence` tokens."""
    model, seed = a_model("model", model), a_seed("seed", seed)
    brought = model.corpus
    if brought is not None:
        return Corpus(f"the {model.name} corpus, seed {seed}", lambda skip: islice(brought(seed), skip, None))
    return OwnText.of(model, row_length(model, sequence, SEQUENCE), seed)
