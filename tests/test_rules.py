"""House rules that the sources are read for: nothing is printed by the library, no cache of a module grows for ever.

The command line prints, and so may what is a program of its own. A cached function without arguments holds one value;
one with arguments says how many it holds at most. A list, dict or set of a module is a table: once the module has been
imported, nothing is put into it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import factlens

PACKAGE = Path(factlens.__file__).parent
#: What may print: the folder of the command line, and ``python -m factlens.models.atlas.verify``.
PRINTS = ("cli/", "models/atlas/verify.py")
#: What a module keeps that changes, and why it does not grow for ever.
KEPT = {
    "editing/looking.py: _looks": "weak: one entry for every model, which goes with it",
    "models/interrupts.py: _holds": "one entry for every open block; it is taken out when the block ends",
    "models/record.py: _records": "weak: a model's record goes with the model",
}
MUTABLE = {"list", "dict", "set", "defaultdict", "deque", "Counter", "OrderedDict", "WeakKeyDictionary"}
WRITES = {"add", "append", "appendleft", "extend", "insert", "setdefault", "update"}


def printed(tree: ast.Module) -> Iterator[int]:
    """The lines in which ``print`` is named, called or not."""
    return (node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "print")


def name_of(node: ast.AST) -> str:
    """The last name of an expression such as ``functools.cache(...)``."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def unbounded(tree: ast.Module) -> Iterator[str]:
    """The functions that keep a value for all arguments they were ever given, a method's object among them."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        arguments = node.args
        takes = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        for decorator in node.decorator_list:
            how = name_of(decorator)
            given = [*decorator.args, *(k.value for k in decorator.keywords)] if isinstance(decorator, ast.Call) else []
            endless = how == "cache" or (how == "lru_cache" and any(ast.unparse(size) == "None" for size in given))
            if endless and any(takes):
                yield node.name


def written_to(tree: ast.Module) -> Iterator[str]:
    """The containers of a module that are changed by one of its functions."""
    kept: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            value = statement.value
            literal = isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp))
            if literal or (isinstance(value, ast.Call) and name_of(value) in MUTABLE):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                kept |= {target.id for target in targets if isinstance(target, ast.Name)}
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    changed: set[str] = set()
    for node in {inner for function in functions for inner in ast.walk(function)}:
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            changed.add(name_of(node.value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
            changed.add(name_of(node.func.value))
        elif isinstance(node, ast.AugAssign):
            changed.add(name_of(node.target))
        elif isinstance(node, ast.Global):
            changed |= set(node.names)
    return iter(sorted(kept & changed))


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_the_library_prints_nothing() -> None:
    allowed = {name for name, _ in sources() if name.startswith(PRINTS)}
    assert {name.rpartition("/")[0] for name in allowed} == {"cli", "models/atlas"}
    assert [f"{name}:{line}" for name, tree in sources() if name not in allowed for line in printed(tree)] == []


def test_no_cache_grows_for_ever() -> None:
    found = [f"{name}: {function}" for name, tree in sources() for function in unbounded(tree)]
    assert found == [], "give lru_cache a maxsize"
    kept = [f"{name}: {container}" for name, tree in sources() for container in written_to(tree)]
    assert kept == sorted(KEPT), "nothing is put into a module's container; if it cannot grow, say in KEPT why"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("@cache\ndef f(a): ...", "f"),
        ("@functools.cache\ndef f(*a): ...", "f"),
        ("@lru_cache(None)\ndef f(a): ...", "f"),
        ("class A:\n    @lru_cache(maxsize=None)\n    def f(self): ...", "f"),
    ],
)
def test_an_endless_cache_is_seen(source: str, complaint: str) -> None:
    assert list(unbounded(ast.parse(source))) == [complaint]


@pytest.mark.parametrize(
    "source", ["@cache\ndef f(): ...", "@lru_cache\ndef f(a): ...", "@lru_cache(8)\ndef f(a): ..."]
)
def test_a_bounded_cache_passes(source: str) -> None:
    assert list(unbounded(ast.parse(source))) == []


@pytest.mark.parametrize(
    "change", ["KNOWN[a] = 1", "KNOWN.setdefault(a, 1)", "KNOWN.update(a)", "global KNOWN; KNOWN = a", "KNOWN[a] += 1"]
)
def test_a_growing_container_is_seen(change: str) -> None:
    for empty in ("{}", "dict()", "collections.defaultdict(list)"):
        assert list(written_to(ast.parse(f"KNOWN = {empty}\ndef f(a):\n    {change}"))) == ["KNOWN"]
    assert list(written_to(ast.parse("KNOWN: dict = {}\nKNOWN[1] = 2\ndef f(a):\n    return KNOWN[a]"))) == []


def test_a_print_is_seen() -> None:
    assert list(printed(ast.parse("def f(say=print):\n    print(1)\nprinted = pprint"))) == [1, 2]
