"""Where factlens keeps what was expensive to compute: a folder of the user's, by kind."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_for(kind: str) -> Path:
    """Return the folder for a kind of files: in ``$FACTLENS_CACHE``, or in the user's cache folder."""
    return Path(os.environ.get("FACTLENS_CACHE") or user_cache_path("factlens", appauthor=False)) / kind
