"""Second moments of keys: what the inputs of a down projection look like on ordinary text."""

from factlens.moments.cache import Key, cache_folder, cached
from factlens.moments.collect import collect
from factlens.moments.corpora import Corpus, open_corpus
from factlens.moments.own import default_moments, default_tokens, own_corpus
from factlens.moments.second import SecondMoment
from factlens.moments.shapes import Shape

__all__ = [
    "Corpus",
    "Key",
    "SecondMoment",
    "Shape",
    "cache_folder",
    "cached",
    "collect",
    "default_moments",
    "default_tokens",
    "open_corpus",
    "own_corpus",
]
