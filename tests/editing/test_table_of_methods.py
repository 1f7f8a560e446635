"""The one table of methods: nothing else knows a name of its, and a user's own method is as good as ours."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from traitlets import TraitError

import factlens as fl
from factlens.editing import METHODS, hparams
from factlens.editing.hparams import Hparams, a_number
from factlens.editing.methods import DEFAULT_METHOD, Knob, Method, Problem, Solution
from factlens.errors import ArgumentError, EditWarning, FactError
from factlens.session import Session
from tests.editing.made import FACT, FACTS, moment_of
from tests.support import small_model

PACKAGE = Path(fl.__file__).parent
SCRIPTS = PACKAGE.parent / "js" / "src"
OURS = ("rome", "memit", "emmet", "alphaedit", "ft", "ft_l", "lora")

# Nothing else knows a name --------------------------------------------------------------------------------------------

#: Where the methods are, and data: which of them published tables and atlas's tuned settings are about.
HOME = ("editing/methods/", "reproduce/published.py", "models/atlas/")
#: Words that are names of something else there.
OTHERWISE = {
    "heatmap/palettes.ts": {"rome"},  # the colours of the paper
    "heatmap/widget.ts": {"rome"},
    "heatmap/toolbar.ts": {"rome"},
}


def spelled() -> set[str]:
    """The methods' names and titles."""
    return set(OURS) | {METHODS[name].title for name in OURS}


def named_in(text: str) -> set[str]:
    """The names and titles that stand in a text as words of their own."""
    return {name for name in spelled() if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)}


def words_of(identifier: str) -> set[str]:
    """``RomeHparams`` -> rome, hparams; and the whole."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)
    return {part.lower() for part in parts} | {identifier.lower()}


def python_names(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of every method that Python code names, in an identifier or in a text that is no docstring."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield from ((line, name) for name in named_in(node.value))
        identifiers = [getattr(node, field, None) for field in ("id", "attr", "arg", "name", "asname", "module")]
        for identifier in identifiers:
            if isinstance(identifier, str):
                yield from ((line, name) for name in set(OURS) & set().union(*map(words_of, identifier.split("."))))


def script_names(source: str) -> Iterator[tuple[int, str]]:
    """The same of TypeScript, but for comments."""
    code = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), source, flags=re.DOTALL)
    for number, line in enumerate(code.split("\n"), 1):
        yield from ((number, name) for name in named_in(re.sub(r"(^|\s)//.*", "", line)))


def test_nothing_else_knows_a_methods_name() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        if not where.startswith(HOME):
            found += [f"{where}:{line} {name}" for line, name in python_names(path.read_text())]
    scripts = sorted(SCRIPTS.rglob("*.ts"))
    assert scripts
    for path in scripts:
        where = path.relative_to(SCRIPTS).as_posix()
        known = OTHERWISE.get(where, set())
        found += [f"{where}:{line} {name}" for line, name in script_names(path.read_text()) if name not in known]
    assert found == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('"""About rome."""\nx = 1  # lora', []),
        ('if method == "rome":\n    pass', ["rome"]),
        ("from factlens.editing.methods.lora import LORA", ["lora", "lora"]),
        ("isinstance(settings, MemitHparams)", ["memit"]),
        ('f"try {x}, or ft_l"', ["ft_l"]),
        ('title = "limited fine-tuning"', ["fine-tuning", "limited fine-tuning"]),
        ('text = "Rome is in Italy, soft as ever"\nafter, romeo, lift = 1, 2, 3', []),
    ],
)
def test_the_scan_sees_names_in_code_and_not_in_prose(source: str, names: list[str]) -> None:
    assert sorted(name for _, name in python_names(source)) == names


def test_the_scan_sees_names_in_typescript() -> None:
    source = '// rome\n/* memit\n */ const a = method === "ft";\nconst shift = "MEMIT"; // lora\n'
    assert list(script_names(source)) == [(3, "ft"), (4, "MEMIT")]


# The table ------------------------------------------------------------------------------------------------------------


def test_every_method_says_what_others_ask() -> None:
    assert tuple(METHODS) == OURS
    assert DEFAULT_METHOD in METHODS
    assert len({method.title for method in METHODS.values()}) == len(METHODS)
    for name, method in METHODS.items():
        assert method.hparams.method == name
        assert method.source
        assert method.knobs
        settings = method.hparams()
        for knob in method.knobs:
            assert knob.label
            assert knob.help
            value, (least, most) = getattr(settings, knob.name), method.hparams.range_of(knob.name)
            assert least is not None, "the page shows where a knob ends"
            assert value is None or least <= value <= (most or math.inf)
            assert knob.step
        for published in method.published.values():
            assert type(published.hparams) is method.hparams
            assert published.source
            assert method.most_layers is None or len(published.layers) <= method.most_layers


def test_settings_are_found_where_they_stood_before_with_a_warning() -> None:
    for method in METHODS.values():
        name = method.hparams.__name__
        with pytest.warns(DeprecationWarning, match=rf"hparams\.{name} is now {method.hparams.__module__}\.{name}"):
            assert getattr(hparams, name) is method.hparams
    with pytest.raises(AttributeError, match="RamHparams"):
        hparams.RamHparams  # noqa: B018


# Made again -----------------------------------------------------------------------------------------------------------

QUICK = {
    "rome": {"contexts": ((2, 4),), "as_published": True},
    "memit": {"openings": ("The",), "moment_weight": 30.0},
    "emmet": {"contexts": ((2, 4),), "bare_share": 0.3},
    "alphaedit": {"openings": (), "relative": True, "nullspace": 0.5},
    "ft": {"limit": None},
    "ft_l": {"limit": 1e-3},
    "lora": {"rank": 2, "alpha": 3},
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.filterwarnings("ignore::factlens.errors.EditWarning")
def test_a_saved_edit_can_be_made_again(name: str, tmp_path: Path) -> None:
    model, method = small_model("gpt2"), METHODS[name]
    layers = [2] if method.most_layers == 1 else [1, 2]
    moments = {layer: moment_of(model, layer, rank=20) for layer in layers} if method.needs_moments else None
    facts = FACTS[: method.most_facts]
    asked = {"steps": 3, "learning_rate": 0.01, "seed": 3, **QUICK[name]}
    made = fl.edit(model, facts, method=name, layers=layers, moments=moments, apply=False, **asked)
    loaded = fl.Edit.load(made.save(tmp_path / "edit.safetensors"))
    assert loaded.recipe == made.recipe == {"method": name, "layers": tuple(layers), **made.hparams}
    again = fl.edit(small_model("gpt2"), loaded.facts, moments=moments, apply=False, **loaded.recipe)
    assert again.id == made.id
    for one, other in zip(again.updates, made.updates, strict=True):
        assert torch.equal(one.matrix(torch.zeros(1)), other.matrix(torch.zeros(1)))
    # A seed has no say in ft; one more step has.
    asked["steps"] = 4
    other = fl.edit(model, facts, method=name, layers=layers, moments=moments, apply=False, **asked)
    assert other.id != made.id


# A method of one's own ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NudgeHparams(Hparams):
    """Settings of a method that adds the target's unembedding for the subject's key."""

    method: ClassVar[str] = "nudge"

    size: float = a_number(3.0, above=0)


def nudge(problem: Problem[NudgeHparams]) -> Solution:
    """Return one rank-one term."""
    model, (fact,), (layer,) = problem.model, problem.facts, problem.layers
    projection, keys = model.down_projection(layer), []
    handle = projection.module.register_forward_pre_hook(lambda _, args: keys.append(args[0].detach()))
    encoding = model.encode(fact)
    try:
        model.model(torch.tensor([encoding.ids]))
    finally:
        handle.remove()
    key = keys[0].reshape(len(encoding.ids), -1)[encoding.last_subject].double()
    token = model.encode_option(fact.prompt, fact.target)[1][0]
    value = problem.hparams.size * model.model.get_output_embeddings().weight[token].detach().double()
    if problem.progress is not None:
        problem.progress(1.0)
    return Solution((projection.low_rank(value[:, None], (key / (key @ key))[None]),), {"size": problem.hparams.size})


NUDGE = Method(
    title="Nudge",
    hparams=NudgeHparams,
    solve=nudge,
    most_facts=1,
    most_layers=1,
    doing="nudging",
    knobs=(Knob("size", "size", "of the nudge"),),
)


@pytest.fixture
def own() -> Iterator[None]:
    METHODS.register("nudge", NUDGE)
    yield
    del METHODS._table["nudge"]


@pytest.mark.usefixtures("own")
@pytest.mark.filterwarnings("ignore::factlens.errors.EditWarning")
def test_an_own_method_edits_and_is_judged(tmp_path: Path) -> None:
    model = small_model("gpt2")
    made = fl.edit(model, FACT, method="nudge", layers=2, size=5)
    assert (made.method, made.layers, made.hparams) == ("nudge", (2,), {"seed": 0, "size": 5.0})
    (took,) = made.taken
    assert took.after > took.before
    assert took.with_value is None
    loaded = fl.Edit.load(made.save(tmp_path / "edit.safetensors"))
    model.undo()
    assert fl.edit(model, loaded.facts, apply=False, **loaded.recipe).id == made.id
    assert fl.editing.defaults(model, "nudge").layers == (1,)
    checks = fl.Checks.of(FACT, "Paris")
    report = fl.evaluate(model, [FACT], checks=[checks], method=["nudge", "ft"], layers=2, generate=False)
    assert set(report.labels) == {"nudge", "ft"}
    for asked, words in (
        ({"sise": 3}, "nudge has no setting 'sise'; it has seed, size"),
        ({"layers": [1, 2]}, "nudge edits one layer, not 2"),
    ):
        with pytest.raises(FactError, match=words):
            fl.edit(model, FACT, method="nudge", **asked)
    with pytest.raises(FactError, match=r"nudge stores one fact at a time, not 3.*'memit', 'emmet'"):
        fl.edit(model, FACTS, method="nudge")
    with pytest.raises(ArgumentError, match=r"must be one of rome, .*, nudge"):
        fl.edit(model, FACT, method="nudged")


@pytest.mark.usefixtures("own")
def test_an_own_method_that_fails_gets_advice() -> None:
    with pytest.warns(EditWarning, match=r"The weights do not put it out after the bare prompt. Try another layer"):
        fl.edit(small_model("gpt2"), FACT, method="nudge", layers=1, size=1e-6, apply=False)


@pytest.mark.usefixtures("own")
def test_an_own_method_is_chosen_on_the_page() -> None:
    session = Session(small_model("gpt2"), FACT)
    try:
        session.choose_method("nudge")
        assert session.knobs == {"size": 3.0}
        steps: list[str] = []
        session.observe(lambda change: steps.append(str(change["new"])), "message")
        session.start_edit(settings={"size": 4})
        assert session.wait(60)
        assert session.error is None
        (made,) = session.edits
        assert (made.method, made.hparams["size"]) == ("nudge", 4.0)
        assert any("nudging" in step for step in steps)
    finally:
        session.close()


@pytest.mark.usefixtures("own")
def test_an_own_method_is_on_the_page() -> None:
    lens = fl.Lens(small_model("gpt2"), FACT)
    try:
        lens.method = "nudge"
        state = lens.editor.state
        assert state["methods"][-1] == {"name": "nudge", "title": "Nudge"}
        range_ = {"least": 0, "most": None, "step": None}
        assert state["knobs"] == [{"name": "size", "value": 3.0, "title": "size", "help": "of the nudge", **range_}]
        # Nothing says where to edit this model before it is looked at; the method takes one layer, wherever that is.
        assert lens.heatmap.edit == {"method": "Nudge", "layers": []}
        assert lens.session.layers_up_to(1) == (1,)
        with pytest.raises(TraitError, match=r"'rome'.*'nudge'"):
            lens.method = "nudged"
    finally:
        lens.close()


def test_a_name_that_is_taken_cannot_be_registered() -> None:
    with pytest.raises(ArgumentError, match="The editing method 'rome' is there already"):
        METHODS.register("rome", NUDGE)
