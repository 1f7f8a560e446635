"""Second moments of keys: what the inputs of a down projection look like on ordinary text."""

from factlens.moments.collect import collect, default_moment
from factlens.moments.second import SecondMoment

__all__ = ["SecondMoment", "collect", "default_moment"]
