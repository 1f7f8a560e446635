"""Every public argument: the wrong type, the wrong range, and what is said then, before anything is computed.

The walk over what factlens exports fails for a parameter that has no row in `tests/argument_rows`, unless
`ANYTHING` there says why.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import factlens as fl
from factlens import moments
from factlens.arguments import shown
from factlens.drawing.look import Look
from factlens.editing import METHODS, defaults
from factlens.editing.hparams import Hparams
from factlens.editing.listed import listed_settings
from factlens.tracing.options import DEFAULTS
from tests.argument_calls import CALLS, TEXT, Bench
from tests.argument_rows import ANYTHING, ROWS, SETTINGS, Bad
from tests.editing.made import FACT
from tests.editing.test_bad_input import state_of
from tests.support import small_model, tokenizer

LONGEST_MESSAGE = 900
LOOK_OPTIONS = tuple(field.name for field in fields(Look))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("arguments"))


@pytest.mark.parametrize("name", CALLS)
def test_the_calls_work_with_good_arguments(name: str, bench: Bench) -> None:
    """Else whatever the rows below say could have another reason."""
    function, arguments = CALLS[name](bench)
    before = state_of(bench.model)
    result = function(**arguments)
    if hasattr(result, "close"):
        result.close()
    assert state_of(bench.model) == before


def rows() -> Iterator[Any]:
    for name, parameters in ROWS.items():
        for parameter, bad in parameters.items():
            assert bad, f"{name}({parameter}) has no row"
            yield pytest.param(name, parameter, bad, id=f"{name}-{parameter}")


def settings() -> Iterator[Any]:
    for method in METHODS:
        for setting in fields(settings_of(method)):
            bad = SETTINGS.get(f"{method} {setting.name}") or SETTINGS[setting.name]
            yield pytest.param(method, setting.name, bad, id=f"{method}-{setting.name}")


@cache
def settings_of(method: str) -> type[Hparams]:
    return type(defaults(small_model("gpt2"), method).hparams)


def refuses(bench: Bench, function: Callable[..., Any], arguments: Mapping[str, Any], name: str, words: str) -> str:
    """Call with an argument that is to be refused; return what the error says."""
    before, passes = state_of(bench.model), bench.passes
    what = f"{name}={shown(arguments[name])}"
    try:
        function(**arguments)
    except fl.FactlensError as error:
        said = str(error)
    except Exception as error:
        pytest.fail(f"{what} raises {type(error).__name__}: {error}"[:500])
    else:
        pytest.fail(f"{what} is taken")
    assert words in said, f"{what} says {said}"
    assert len(said) < LONGEST_MESSAGE, f"{what} says too much"
    assert bench.passes == passes, f"{what} is refused after the model has been run"
    assert state_of(bench.model) == before, f"{what} changes the model"
    return said


@pytest.mark.parametrize(("name", "parameter", "bad"), list(rows()))
def test_a_bad_argument_is_named_and_nothing_is_done(name: str, parameter: str, bad: list[Bad], bench: Bench) -> None:
    function, good = CALLS[name](bench)
    for value, words in bad:
        said = refuses(bench, function, {**good, parameter: value}, parameter, words)
        assert parameter.removesuffix("s") in said, f"{parameter}={shown(value)} says {said}"


@pytest.mark.parametrize(("method", "setting", "bad"), list(settings()))
def test_a_bad_setting_of_a_method_is_named(method: str, setting: str, bad: list[Bad], bench: Bench) -> None:
    asked = {"model": bench.model, "facts": FACT, "method": method, "layers": 1}
    for value, words in bad:
        assert setting in refuses(bench, fl.edit, {**asked, setting: value}, setting, words)
        if words not in DEPENDS:
            refuses(bench, settings_of(method)().with_changes, {setting: value}, setting, words)
    refuses(bench, fl.edit, {**asked, "stepz": 3}, "stepz", f"{method} has no setting 'stepz'; it has seed, ")


#: What only the model and the fact tell.
DEPENDS = ("at most 64", "Eiffel Tower")


# Nothing is forgotten ------------------------------------------------------------------------------------------------

MODULES = ("factlens", *(f"factlens.{part}" for part in ("models", "moments", "tracing", "editing", "evaluation")))
MODULES += ("factlens.evaluation.datasets", "factlens.calibration", "factlens.reproduce")
MODULES += ("factlens.widgets",)


def exported() -> dict[str, Callable[..., Any]]:
    """Every function, constructor and method that factlens exports, by its qualified name."""
    found: dict[str, Callable[..., Any]] = {}
    for module in map(import_module, MODULES):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                found[thing.__qualname__] = thing
            elif inspect.isclass(thing) and not issubclass(thing, BaseException):
                found[thing.__name__] = thing
                for owner in thing.__mro__:
                    if owner.__module__.startswith("factlens."):
                        for method, raw in vars(owner).items():
                            bound = getattr(raw, "__func__", raw)
                            if inspect.isfunction(bound) and not method.startswith("_"):
                                found.setdefault(f"{thing.__name__}.{method}", bound)
            else:
                assert isinstance(thing, (ModuleType, str, tuple, Mapping)) or callable(thing), name
    return found


def parameters_of(name: str, function: Callable[..., Any]) -> Iterator[str]:
    """The parameters of a function, but for the settings of editing methods: `SETTINGS` has them, method by method."""
    settings = set(listed_settings()) - {"seed", "steps"} if name in ("edit", "evaluate") else set()
    for parameter in inspect.signature(function).parameters:
        if parameter not in {"self", "cls", *settings} and (name, parameter) not in BY_METHOD:
            yield parameter


BY_METHOD = {("edit", "seed"), ("edit", "steps")}


def test_every_public_argument_has_a_row() -> None:
    missing, needless = [], set(ANYTHING)
    for name, function in exported().items():
        for parameter in parameters_of(name, function):
            reasons = {name, f"{name}.{parameter}"} & set(ANYTHING)
            needless -= reasons
            if parameter not in ROWS.get(name, {}) and not reasons:
                missing.append(f"{name}({parameter}=)")
    assert not missing, f"give them rows in ROWS, or say in ANYTHING why not: {', '.join(missing)}"
    assert not needless, f"nothing needs {', '.join(sorted(needless))} in ANYTHING"


def test_no_row_is_of_something_else() -> None:
    there = exported()
    assert set(ROWS) == set(CALLS)
    for name, parameters in ROWS.items():
        assert set(parameters) - REFUSED <= set(inspect.signature(there[name]).parameters), name
    assert {field.name for method in METHODS for field in fields(settings_of(method))} == {
        setting.rpartition(" ")[2] for setting in SETTINGS
    }


#: What no function of some rows takes, and refuses by name.
REFUSED = {"sampels", "selektion", "answer", "clmp", "apply", "width"}


def test_the_walk_sees_what_is_exported() -> None:
    there = exported()
    assert {"trace", "edit", "Trace.load", "collect", "Heatmap.compare", "zsre", "Checks.of"} <= set(there)
    assert list(parameters_of("Heatmap", there["Heatmap"]))[:3] == ["trace", "selection", "pins"]
    assert set(DEFAULTS) < set(parameters_of("trace", there["trace"]))


# What is harmless is taken -------------------------------------------------------------------------------------------


def test_scalars_of_numpy_and_torch_are_taken_as_the_numbers_they_are(bench: Bench) -> None:
    plain = {"samples": 2, "seed": 3, "window": 2, "memory": 2**20, "estimate": None}
    given = {
        "samples": np.int64(2),
        "seed": torch.tensor(3),
        "window": np.uint8(2),
        "memory": torch.tensor(2**20),
    }
    noise = fl.Noise(multiple=np.float64(2), level=torch.tensor(0.25, dtype=torch.float64), replace=np.True_)
    assert noise == fl.Noise(multiple=2.0, level=0.25, replace=True)
    wanted = fl.trace(bench.model, FACT, kinds="mlp", corruption=fl.Noise(2.0, None, 0.25, replace=True), **plain)
    found = fl.trace(bench.model, FACT, kinds=("mlp",), corruption=noise, **given)
    assert np.array_equal(found.samples.values, wanted.samples.values)
    # Nothing of numpy or torch stays in the record, which could not be written down.
    assert fl.Trace.load(found.save(bench.folder / "plain")).seed == 3
    assert type(found.seed) is type(found.window) is int
    cell = fl.details(bench.model, found, "mlp", np.int64(1), torch.tensor(2), k=np.int8(2))
    assert cell == fl.details(bench.model, wanted, "mlp", 1, 2, k=2)
    assert bench.model.answers("Paris", k=np.int64(3)) == bench.model.answers("Paris", k=3)
    assert np.array_equal(found.interval(np.float64(0.5)), found.interval(0.5), equal_nan=True)


def test_an_edit_keeps_plain_numbers(bench: Bench) -> None:
    plain: dict[str, Any] = {"layers": 1, "steps": 2, "clamp": 2.0, "seed": 3, "contexts": ((1, 2),), "kl_factor": 1}
    given: dict[str, Any] = {
        "layers": np.array([1]),
        "steps": torch.tensor(2),
        "clamp": np.float64(2),
        "seed": np.uint32(3),
        "contexts": np.array([[1, 2]]),
        "kl_factor": np.int64(1),
        "as_published": np.False_,
    }
    made = [fl.edit(bench.model, FACT, moments={1: bench.moment}, apply=False, **some) for some in (plain, given)]
    assert made[0].hparams == made[1].hparams
    assert made[1].layers == (1,)
    assert all(type(number) in (int, float, bool, tuple, type(None)) for number in made[1].hparams.values())
    assert fl.Edit.load(made[1].save(bench.folder / "plain")).hparams == made[0].hparams
    assert torch.equal(made[0].updates[0].left, made[1].updates[0].left)
    ours = {torch.tensor(1): bench.moment}
    assert fl.edit(bench.model, FACT, moments=ours, apply=False, **plain).moment == made[0].moment


def test_statistics_of_layers_in_any_shape(bench: Bench) -> None:
    wanted = moments.collect(bench.model, [1, 2], TEXT, tokens=64)
    for layers in (np.array([2, 1, 1]), torch.tensor([1, 2]), {1, 2}, range(1, 3), iter([1, np.int64(2)])):
        found = moments.collect(bench.model, layers, TEXT, tokens=np.int64(64))
        assert list(found) == [1, 2]
        assert torch.equal(found[2].total, wanted[2].total)


def test_every_answer_there_is(bench: Bench) -> None:
    every = bench.model.answers("Paris", k=10**9)
    assert len(every) == len(tokenizer())
    assert sum(answer.probability for answer in every) == pytest.approx(1)
    assert every[:3] == bench.model.answers("Paris", k=3)


@pytest.mark.parametrize(
    "value", ["x" * 10**7, list(range(10**6)), dict.fromkeys(range(10**4), "y" * 1000), [["z" * 1000] * 1000] * 1000]
)
def test_what_was_given_is_shown_in_short(value: Any) -> None:
    assert len(shown(value)) < 200
    with pytest.raises(fl.FactlensError) as caught:
        fl.Noise(shape=value)
    assert len(str(caught.value)) < 400


def test_objects_that_raise_when_they_are_looked_at_are_refused_all_the_same(bench: Bench) -> None:
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("hands off")

        def __repr__(self) -> str:
            raise RuntimeError("hands off")

    for name in ("model", "fact", "samples", "seed", "kinds", "corruption", "estimate", "metric", "stop"):
        arguments = {**CALLS["trace"](bench)[1], name: Hostile()}
        assert " Hostile" in refuses(bench, fl.trace, arguments, name, name)


def test_an_argument_error_is_a_type_error_and_a_value_error(bench: Bench) -> None:
    words = re.escape("samples must be a whole number of at least 1, not None. For example samples=10.")
    for kind in (fl.FactlensError, ValueError, TypeError):
        with pytest.raises(kind, match=words):
            fl.trace(bench.model, FACT, samples=None)
