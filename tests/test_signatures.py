"""What a user sees of a function: every option in its signature and in its docstring, and each of them is taken."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, TypedDict

import pytest

import factlens as fl
from factlens.editing import METHODS
from factlens.editing.listed import OF_THE_METHOD, listed_settings
from factlens.errors import RenamedWarning
from factlens.signatures import Open, Option, documented, options_from, options_of, taking
from factlens.tracing.options import DEFAULTS, OPTIONS, LensOptions, ManyOptions, TraceOptions
from tests.editing.made import FACT
from tests.editing.test_bad_input import state_of
from tests.support import small_model
from tests.test_arguments import exported

HIDES = inspect.Parameter.VAR_KEYWORD
#: What is called with anything, and why nothing is hidden.
TAKES_ANYTHING = {
    "Hparams.with_changes": "its options are the fields of its own class",
    "ValueHparams.with_changes": "its options are the fields of its own class",
}


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every callable that factlens exports; of a class its constructor, which `inspect` finds by itself."""
    yield from exported().items()


def options_in(function: Callable[..., Any]) -> list[str]:
    return [name for name, one in inspect.signature(function).parameters.items() if one.kind is one.KEYWORD_ONLY]


def test_no_signature_hides_options() -> None:
    hidden = [
        name
        for name, function in public()
        if any(one.kind is HIDES for one in inspect.signature(function).parameters.values())
    ]
    assert sorted(hidden) == sorted(TAKES_ANYTHING)


def test_every_option_is_in_the_docstring() -> None:
    missing = []
    for name, function in public():
        entries = documented(function.__doc__)
        missing += [f"{name}({option}=)" for option in options_in(function) if not entries.get(option)]
    assert missing == []


@pytest.mark.parametrize("name", ["trace", "stream", "trace_many", "average_over"])
def test_options_of_tracing_have_their_types_and_defaults(name: str) -> None:
    function = getattr(fl, name)
    parameters = inspect.signature(function).parameters
    many = name in ("trace_many", "average_over")
    table = ManyOptions if many else TraceOptions
    defaults = {**DEFAULTS, "preview": None} if name == "stream" else {**DEFAULTS, "preview": None, "estimate": None}
    listed = set(parameters) - {"model", "fact", "facts", "stop", "progress"}
    assert listed == set(table.__annotations__)
    for option in listed:
        assert parameters[option].default == defaults[option]
        assert parameters[option].annotation == OPTIONS[option].type
    assert set(LensOptions.__annotations__) == set(DEFAULTS)


#: A value for every option of a trace, other than the default.
VALUES: dict[str, Any] = {
    "kinds": ["mlp"],
    "corruption": fl.Noise(level=0.3),
    "samples": 2,
    "seed": 3,
    "window": 2,
    "window_convention": "paper",
    "metric": "logit_difference",
    "answer": "Paris",
    "contrast": "Seattle",
    "estimate": None,
    "memory": 2**24,
}


@pytest.mark.parametrize("function", [fl.trace, fl.stream, fl.trace_many, fl.average_over])
def test_every_option_of_tracing_is_taken(function: Callable[..., Any]) -> None:
    model = small_model("gpt2")
    many = function in (fl.trace_many, fl.average_over)
    asked = {name: VALUES[name] for name in options_in(function) if name in VALUES}
    assert set(asked) == set(DEFAULTS) - ({"answer"} if many else set())
    result = function(model, [FACT, FACT] if many else FACT, **asked)
    traces = [update.trace for update in result] if function is fl.stream else result
    made = traces if function is fl.trace else None if function is fl.average_over else list(traces)[-1]
    if isinstance(made, fl.Trace):
        assert (made.kinds, made.seed, made.window, made.samples.sizes["sample"]) == (("mlp",), 3, 2, 2)
        assert (made.metric, made.contrast) == ("logit_difference", "Seattle")
    with pytest.warns(RenamedWarning, match="estimate="):
        list(fl.stream(model, FACT, kinds="mlp", samples=1, preview=False))


@pytest.mark.filterwarnings("ignore::factlens.errors.EditWarning")
@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_a_method_is_in_the_signature_and_is_taken(method: str) -> None:
    model = small_model("gpt2")
    settings = METHODS[method].hparams()
    names = [item.name for item in fields(settings)]
    assert set(names) <= set(options_in(fl.edit))
    assert set(names) - {"seed"} <= set(options_in(fl.evaluate))
    before = state_of(model)
    quick = {"steps": 1, "contexts": (), "nullspace": 9.0}
    asked = {name: quick.get(name, getattr(settings, name)) for name in names}
    moment = fl.moments.SecondMoment.identity_matrix(model, 1)
    made = fl.edit(model, FACT, method=method, layers=1, moments=moment, apply=False, **asked)
    assert made.hparams == asked
    assert state_of(model) == before


def test_the_signature_of_edit_has_the_settings_of_all_methods_and_no_others() -> None:
    listed = listed_settings()
    assert set(listed) == {item.name for method in METHODS.values() for item in fields(method.hparams)}
    parameters = inspect.signature(fl.edit).parameters
    own = {"model", "facts", "method", "layers", "moments", "apply", "progress", "stop"}
    assert set(parameters) == own | set(listed)
    assert {parameters[name].default for name in listed} == {OF_THE_METHOD}
    assert repr(OF_THE_METHOD) == "<the method's>"
    assert listed["clamp"].meaning.startswith("Of rome, emmet (4.0), memit, alphaedit (0.75): Largest")
    assert "Of emmet (0.1): Ridge on" in listed["ridge"].meaning
    assert "Of alphaedit (10.0): L2 in" in listed["ridge"].meaning
    assert all(option.meaning and ": As `" not in option.meaning for option in listed.values())


# How it is done ------------------------------------------------------------------------------------------------------


class Table(TypedDict, total=False):
    """A table.

    Attributes
    ----------
    first, second
        Two numbers.

        With a second paragraph.
    """

    first: int
    second: int | None


def host(one: int, *, stop: str | None = None, **options: Any) -> dict[str, Any]:
    """Take options.

    Parameters
    ----------
    one
        A number.
    **options
        As in `Table`.

    Returns
    -------
    dict
        All of it.
    """
    return {"one": one, "stop": stop, **options}


def test_options_come_in_place_of_the_entry_that_hides_them() -> None:
    options = options_of(Table, {"first": 1, "second": None})
    assert options["second"] == Option("second", "int | None", None, "Two numbers.\n\nWith a second paragraph.")
    shown = taking(options.values())(host)
    assert shown is host
    assert str(inspect.signature(shown)).replace("'", "") == (
        "(one: int, *, first: int = 1, second: int | None = None, stop: str | None = None) -> dict[str, Any]"
    )
    assert list(documented(shown.__doc__)) == ["one", "first", "second"]
    assert "**options" not in str(shown.__doc__)
    assert "Returns\n" in str(shown.__doc__)
    assert shown(1, second=2) == {"one": 1, "stop": None, "second": 2}
    assert options_from(shown, "second") == [options["second"]]


def test_a_missing_entry_is_an_error() -> None:
    def bare(**options: Any) -> None:
        """Take options."""

    with pytest.raises(ValueError, match="no entry"):
        taking([])(bare)
    with pytest.raises(KeyError):
        options_of(Table, {"third": 1})
    assert repr(Open("the experiment's")) == "<the experiment's>"


def test_a_function_without_a_docstring_has_a_signature_all_the_same() -> None:
    def stripped(**options: Any) -> None: ...

    assert list(inspect.signature(taking([Option("a", "int", 1, "")])(stripped)).parameters) == ["a"]
    assert stripped.__doc__ is None
