"""What long computations call while they run: the forms that a ``progress=`` argument has."""

from __future__ import annotations

from collections.abc import Callable

Share = Callable[[float], None]
"""Called with the share that is done, from 0 to 1."""
StageShare = Callable[[str, float], None]
"""Called with the name of a stage, and the share of it that is done."""
Count = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""
