"""Optional packages: asked for where they are used, with a message that says how to get them."""

from __future__ import annotations

from importlib.util import find_spec

from factlens.errors import FactlensError


def needs(module: str, extra: str, what: str) -> None:
    """Refuse to do something for which an optional package is missing.

    Parameters
    ----------
    module, extra
        What must be there, and the extra of factlens that brings it.
    what
        What needs it, as the beginning of a sentence.

    Raises
    ------
    FactlensError
        If `module` cannot be imported.
    """
    if find_spec(module) is None:
        raise FactlensError(f"{what} needs {module}: pip install 'factlens[{extra}]'.")
