"""Names in the code say what they hold, and its texts are in plain modern English."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import factlens

PACKAGE = Path(factlens.__file__).parent
#: Names that say nothing of what they hold.
EMPTY = {"found", "wanted", "kept", "said", "these", "those", "here", "known", "told", "given"}
#: Such names that stay: by file and name, each with its reason.
REASONS = {
    ("evaluation/checks", "wanted"): "public: Probe.wanted",
    ("evaluation/report", "wanted"): "public, and in files: Report.wanted",
    ("editing/taking", "Said"): "what the model says of a target: the verb is meant",
    ("tracing/result", "known"): "public, and in files: Trace.known",
    ("tracing/knowing", "known"): "the same field, before it is the trace's",
    ("models/hooks", "Kept"): "what is kept of a pass: the verb is meant",
}
ANTIQUATED = (
    "shall",
    "ought",
    "nobody",
    "somebody",
    "anybody",
    "everybody",
    "whoever",
    "whatever",
    "nought",
    "spoilt",
    "whilst",
    "amongst",
    "hitherto",
    "thereof",
    "therein",
    "gives? way",
)
WORDS = re.compile(rf"\b({'|'.join(ANTIQUATED)})\b", re.IGNORECASE)


def files() -> list[Path]:
    """The sources of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def place_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def names_bound(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a file gives to something, and the lines: variables, parameters, attributes, functions, imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name, node.lineno
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno


def empty_names(source: str) -> Iterator[tuple[str, int]]:
    for name, line in names_bound(ast.parse(source)):
        if name.strip("_").lower() in EMPTY:
            yield name, line


def antiquated_words(source: str) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(source.splitlines(), 1):
        yield from ((match[0], number) for match in WORDS.finditer(line))


def test_names_say_what_they_hold() -> None:
    reasons = set(REASONS)
    bad = []
    for path in files():
        for name, line in empty_names(path.read_text(encoding="utf-8")):
            if (place_of(path), name) in REASONS:
                reasons.discard((place_of(path), name))
            else:
                bad.append(f"{place_of(path)}:{line} {name}")
    assert not bad, f"say what they hold: {', '.join(bad)}"
    assert not reasons, f"nothing needs {sorted(reasons)} in REASONS"


def texts() -> list[Path]:
    """Sources and pages, those of the browser among them."""
    root = PACKAGE.parent
    pages = [root / "README.md", root / "CONTRIBUTING.md", *root.glob("docs/*.md"), *root.glob("notebooks/*.ipynb")]
    return [*files(), *sorted(root.glob("js/src/**/*.ts")), *pages]


def test_texts_are_in_modern_english() -> None:
    assert len(texts()) > len(files()) + 50
    bad = [f"{path.name}:{line} {word}" for path in texts() for word, line in antiquated_words(path.read_text("utf-8"))]
    assert not bad, f"say it in plain modern English: {', '.join(bad)}"


@pytest.mark.parametrize(
    "source",
    [
        "found = 3",
        "for found in []: pass",
        "[1 for a, (found, b) in []]",
        "def f(x, *, found): pass",
        "def found(): pass",
        "lambda found: 3",
        "class A:\n    def f(self):\n        self._found = 3",
        "with open('') as found: pass",
        "try: pass\nexcept OSError as found: pass",
        "from a import b as found",
        "if (found := 3): pass",
        "match 3:\n    case [*found]: pass",
        "found: int",
    ],
)
def test_the_walk_sees_every_way_to_give_a_name(source: str) -> None:
    assert [name.strip("_") for name, _ in empty_names(source)] == ["found"]
    assert not list(empty_names(source.replace("found", "layers")))


def test_words_are_seen_in_texts_and_comments_and_not_within_others() -> None:
    source = '"""Nobody\nshall."""\n# whoever it is\nmarshalled = brought = 3\n'
    assert list(antiquated_words(source)) == [("Nobody", 1), ("shall", 2), ("whoever", 3)]
