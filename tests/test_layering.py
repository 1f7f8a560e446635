"""The arrows between the parts of factlens go one way, and only the front of it knows of widgets.

Every import statement counts, also one inside a function: a dependency deferred is a dependency. Only what stands
under ``if TYPE_CHECKING`` may look up, to name a type; it may not reach the front end either.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import factlens

PACKAGE = Path(factlens.__file__).parent
#: From the bottom up. A part may import from its own storey and those below.
STOREYS = (
    {
        *(
            "arguments",
            "bar",
            "bounded",
            "caches",
            "conversations",
            "decoding",
            "errors",
            "escaping",
            "extras",
            "facts",
            "files",
            "formats",
            "hub",
            "knowledge",
            "likely",
            "lookalikes",
            "nearest",
            "notices",
            "progress",
            "registry",
            "signatures",
            "slots",
            "spelling",
            "tensors",
            "timing",
            "typed",
            "visible",
            "warned",
        ),
    },
    {"drawing"},
    {"models", "moments"},
    {"tracing", "editing", "evaluation"},
    {"calibration"},
    {"reproduce", "session"},
    {"widgets"},
    {"cli", "screen", "__main__", "__init__"},
)
#: The parts that look up for no type either: what they draw or hold is described to them.
NAME_NOTHING_ABOVE = {"drawing"}
#: The one module that loads matplotlib; all others ask it for their figures.
DOOR = {"matplotlib": "factlens.drawing.figure"}
LEVEL = {part: level for level, parts in enumerate(STOREYS) for part in parts}
FRONT_END = {"anywidget", "bqplot", "ipywidgets", "marimo", "traitlets", "IPython"}
#: The parts that may know of the front end, and what of it.
MAY_USE = {"session": {"traitlets"}, "widgets": FRONT_END, "cli": FRONT_END, "screen": {"IPython"}}


def part_of(module: str) -> str:
    """The part of the house a module belongs to: ``factlens.models.hooks`` -> ``models``."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def type_only(tree: ast.Module) -> set[ast.AST]:
    """The statements under ``if TYPE_CHECKING``."""
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    return {inner for guard in guards for statement in guard.body for inner in ast.walk(statement)}


def imported(source: str, module: str, *, is_package: bool) -> Iterator[tuple[int, str, bool]]:
    """Line and absolute name of everything a source imports, and whether it is only to name a type."""
    tree = ast.parse(source)
    for_types = type_only(tree)
    for node in ast.walk(tree):
        types = node in for_types
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, types
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            if base == "factlens":  # from factlens import models
                for alias in node.names:
                    yield node.lineno, f"factlens.{alias.name}", types
            else:
                yield node.lineno, base, types


def violations(sources: dict[str, str], packages: set[str]) -> list[str]:
    """What is wrong with the imports of these modules (name -> source)."""
    found: list[str] = []
    arrows: dict[str, set[str]] = {}
    for module, source in sources.items():
        part = part_of(module)
        if part not in LEVEL:
            found.append(f"{module}: {part} has no storey yet: give it one in tests/test_layering.py")
            continue
        for line, name, types in imported(source, module, is_package=module in packages):
            where = f"{module}:{line} imports {name}"
            top = name.split(".")[0]
            if top in FRONT_END and top not in MAY_USE.get(part, set()):
                found.append(f"{where}: {part} may not use it")
            if DOOR.get(top, module) != module and not types:
                found.append(f"{where}: ask {DOOR[top]} for it")
            if types and part not in NAME_NOTHING_ABOVE:
                continue
            if top != "factlens" or part == "__init__":  # the top level is a lazy table of names
                continue
            other = part_of(name)
            if name == "factlens.__version__" or other == part:
                continue
            if other not in LEVEL:
                found.append(f"{where}: {other} has no storey; import a name from the module that defines it")
            elif LEVEL[other] > LEVEL[part]:
                found.append(f"{where}: {other} is above {part}")
            elif other != "__init__":
                arrows.setdefault(part, set()).add(other)
    for part, others in arrows.items():
        found += [f"{part} and {other} import each other" for other in others if part in arrows.get(other, set())]
    return found


def modules() -> tuple[dict[str, str], set[str]]:
    """The sources of the package, and which of them are packages."""
    sources, packages = {}, set()
    for path in sorted(PACKAGE.rglob("*.py")):
        names = list(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        if names[-1] == "__init__":
            names.pop()
            packages.add(".".join(names))
        sources[".".join(names)] = path.read_text()
    return sources, packages


def test_the_house_stands() -> None:
    sources, packages = modules()
    assert {"factlens.models", "factlens.tracing"} <= packages
    assert violations(sources, packages) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("factlens.tracing.engine", "from factlens.widgets import Lens", "widgets is above tracing"),
        ("factlens.tracing.engine", "from ..session import Session", "session is above tracing"),
        ("factlens.models", "from .. import tracing", "tracing is above models"),
        ("factlens.models.hooks", "def f():\n    import factlens.editing", "editing is above models"),
        ("factlens.editing.methods.rome", "import ipywidgets as w", "editing may not use it"),
        ("factlens.evaluation.report", "from IPython.display import HTML", "evaluation may not use it"),
        ("factlens.facts", "import traitlets.config", "facts may not use it"),
        ("factlens.session", "import anywidget", "session may not use it"),
        ("factlens.editing.methods.rome", "from factlens import Fact", "import a name from the module that defines it"),
        ("factlens.facts", "if TYPE_CHECKING:\n    import ipywidgets", "facts may not use it"),
        ("factlens.facts", "if TYPE_CHECKING:\n    pass\nelse:\n    import factlens.session", "session is above facts"),
        ("factlens.novelty", "", "has no storey yet"),
        (
            "factlens.drawing.svg",
            "if TYPE_CHECKING:\n    from factlens.tracing import Trace",
            "tracing is above drawing",
        ),
        ("factlens.drawing.svg", "from factlens.models import Answer", "models is above drawing"),
        ("factlens.escaping", "from factlens.drawing import svg", "drawing is above escaping"),
        ("factlens.reproduce.fig2", "import matplotlib.pyplot", "ask factlens.drawing.figure for it"),
        ("factlens.drawing.svg", "def f():\n    from matplotlib.figure import Figure", "ask factlens.drawing.figure"),
    ],
)
def test_the_checker_sees_a_bad_import(module: str, source: str, complaint: str) -> None:
    (found,) = violations({module: source}, {"factlens.models"})
    assert complaint in found


def test_the_checker_sees_a_circle() -> None:
    sources = {
        "factlens.tracing.a": "from factlens.editing import edit",
        "factlens.editing.b": "from factlens.tracing import trace",
    }
    assert violations(sources, set())


def test_the_checker_lets_good_imports_pass() -> None:
    sources = {
        "factlens": "from factlens.widgets import Lens",
        "factlens.widgets.lens": "import ipywidgets\nfrom ..session import Session\nfrom factlens.models import load",
        "factlens.session": "import traitlets\nfrom factlens.tracing import trace",
        "factlens.tracing.engine": "import torch\nfrom .runs import run\nfrom factlens import __version__",
        "factlens.models.notes": "if TYPE_CHECKING:\n    from factlens.tracing import Trace",
        "factlens.tracing.plots": "if TYPE_CHECKING:\n    from matplotlib.figure import Figure",
        "factlens.drawing.figure": "from matplotlib.figure import Figure\nfrom factlens.escaping import mathless",
        "factlens.models": "from .hooks import hook\nfrom factlens.facts import Fact",
    }
    assert violations(sources, {"factlens", "factlens.models"}) == []


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


def test_importing_factlens_is_light() -> None:
    assert not loaded_by("import factlens") & {"torch", "transformers", "xarray", *FRONT_END}


def test_widgets_load_no_marimo() -> None:
    assert "marimo" not in loaded_by("import factlens; factlens.Lens")


def test_tracing_loads_no_widgets() -> None:
    loaded = loaded_by("import factlens; factlens.trace; factlens.edit; factlens.evaluate; factlens.load")
    assert "torch" in loaded
    assert not loaded & (FRONT_END - {"IPython", "traitlets"})
