"""The experiments by name, and what each wants from its caller."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, TypedDict, Unpack

from factlens.arguments import (
    a_path,
    a_seed,
    flag,
    function,
    instance,
    one_of,
    optional,
    refuse_unknown,
    shown,
    some_texts,
    whole,
)
from factlens.decoding import UTF8, an_encoding
from factlens.drawing.figure import drawn_with
from factlens.drawing.look import Look, LookOptions
from factlens.editing import METHODS
from factlens.editing.api import settle
from factlens.editing.methods import DEFAULT_METHOD
from factlens.editing.settings import a_method
from factlens.errors import ArgumentError, FactlensError
from factlens.evaluation import Record
from factlens.evaluation.datasets import load_facts, load_records
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.belonging import Weights
from factlens.models.given import a_model, some_layers
from factlens.moments.textfiles import text_files, texts_in
from factlens.registry import Registry
from factlens.reproduce.fig2 import fig2
from factlens.reproduce.folder import Folder, layers_of
from factlens.reproduce.knowledge import ask
from factlens.reproduce.layer_sweep import layer_sweep
from factlens.reproduce.sequential import sequential
from factlens.reproduce.table4 import table4
from factlens.reproduce.ways import a_way
from factlens.signatures import Open, options_of, taking
from factlens.tracing import KINDS


def _layers(model: Model, name: str, value: Any) -> list[int] | dict[str, list[int]]:
    """Return layers; or, by method, each one's."""
    if not isinstance(value, Mapping):
        return list(some_layers(model, name, value))
    if not value:
        raise ArgumentError(f"{name} is empty: name a method with its layers, such as {{{DEFAULT_METHOD!r}: 3}}.")
    return {
        str(method): list(some_layers(model, f"{name}[{shown(method)}]", layers))
        for method, layers in value.items()
        if a_way(f"a method in {name}", method)
    }


_CHECKS: dict[str, Callable[[Model, str, Any], Any]] = {
    "samples": lambda _, name, value: whole(name, value, least=1, example="10"),
    "methods": lambda _, name, value: _ways(name, value),
    "layers": _layers,
    "kind": lambda _, name, value: one_of(name, value, KINDS),
    "method": lambda _, name, value: a_method(name, value),
    "batch": lambda _, name, value: whole(name, value, least=1, example="1"),
    "every": lambda _, name, value: whole(name, value, least=1, example="10"),
    "generate": lambda _, name, value: flag(name, value),
    "text": lambda _, name, value: _texts(name, value),
}
# What sequential edits leave alone: at least a part of the records, and no more than are needed to see 5 % fall.
_HELD_OUT_SHARE, _HELD_OUT = 6, 500


@dataclass(frozen=True)
class Experiment:
    """A published experiment.

    Attributes
    ----------
    title
        What it is, and whose.
    options
        What it takes beside a model and facts.
    run
        Called with the model, what it is about, a folder, and the options.
    edits
        Whether it edits: it is about records then, and takes a seed; else about facts, to be traced.
    holds_out
        Whether it wants records that it does not edit, about other subjects: ``held_out``.
    only_known
        Whether it is about facts that the model knows, as published; see `reproduce`.
    """

    title: str
    options: tuple[str, ...]
    run: Callable[..., object]
    edits: bool = True
    holds_out: bool = False
    only_known: bool = False

    @property
    def defaults(self) -> dict[str, Any]:
        """What stands for the options that are left out."""
        parameters = signature(self.run).parameters
        return {name: parameters[name].default for name in self.options if name in parameters}


EXPERIMENTS: Registry[Experiment] = Registry(
    "experiment",
    {
        "fig2": Experiment(
            "averaged causal traces (Meng et al. 2022, Figure 2)", ("samples",), fig2, edits=False, only_known=True
        ),
        "table4": Experiment(
            "single edits judged on CounterFact, for several methods (Meng et al. 2022, Table 4)",
            ("methods", "layers"),
            table4,
        ),
        "layer-sweep": Experiment(
            "edit success by layer against tracing effect (Hase et al. 2023)",
            ("layers", "kind", "samples", "method"),
            layer_sweep,
            only_known=True,
        ),
        "sequential": Experiment(
            "edits on top of each other, until the model breaks down",
            ("methods", "layers", "batch", "every", "generate", "text"),
            sequential,
            holds_out=True,
        ),
    },
    Experiment,
)
"""What `reproduce` runs."""


class ExperimentOptions(TypedDict, total=False):
    """What single experiments take.

    Attributes
    ----------
    samples
        Of fig2 and layer-sweep: number of noise samples of each trace.
    layers
        Of table4, layer-sweep and sequential: which layers to edit, of table4 and sequential those of every method. Or
        a mapping, ``{"rome": 3, "memit": [2, 3, 4]}``; methods that it does not name edit their own.
    kind
        Of layer-sweep: the kind of grid whose effects are compared with the success of edits.
    method
        Of layer-sweep: the method that edits.
    batch
        Of sequential: facts of one edit.
    every
        Of sequential: after how many facts everything is judged again.
    generate
        Of sequential: whether the model writes on, for fluency and consistency.
    text
        Of sequential: text of which the perplexity is measured: a file, or a folder of them.
    """

    samples: int
    layers: int | Sequence[int] | Mapping[str, int | Sequence[int]]
    kind: str
    method: str
    batch: int
    every: int
    generate: bool
    text: str | Path


_OPEN = Open("the experiment's")


@taking(options_of(ExperimentOptions, dict.fromkeys(ExperimentOptions.__annotations__, _OPEN)).values())
def reproduce(
    name: str,
    model: Model,
    facts: str | Path,
    out: str | Path,
    *,
    encoding: str = UTF8,
    limit: int | None = None,
    only_known: bool | None = None,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
    look: LookOptions | None = None,
    **options: Unpack[ExperimentOptions],
) -> Folder:
    """Run a published experiment, and write its tables, figures, a summary and its provenance into a folder.

    Killed, the same call goes on where it was. A folder that was begun with another model, other facts or other
    options is refused: nothing in it is mixed.

    Parameters
    ----------
    name
        One of `EXPERIMENTS`.
    model
        The model.
    facts
        A data set, as `factlens.evaluation.datasets.load_records` takes it: ``"atlas-facts"``, ``"counterfact.json"``.
        For ``"fig2"``, which edits nothing, also known_1000.
    out
        The folder.
    encoding
        What the file of the data set is in, as for `factlens.load_records`.
    limit
        At most so many records, the first ones; with `only_known`, the first that the model knows. ``"sequential"``
        takes up to 500 of those behind them as held-out facts; without a limit it keeps back a sixth of the records
        for that.
    only_known
        Leave out the facts that the model does not know: greedy decoding does not continue the prompt with their
        object. A small model knows few facts of a data set that was made for a large one, and what it does not know
        has no trace, nor is there anything for an edit to overwrite. ``known.csv`` says what it answers instead.
        Default: as published, that is yes for ``"fig2"`` and ``"layer-sweep"``, and no for ``"table4"`` and
        ``"sequential"``, which are about every record.
    methods
        Which methods, for the experiments that compare several; with settings as ``"rome:as_published=true"``, their
        values as JSON has them.
    seed
        Of edits and generated text.
    say
        Called with lines about progress and results: ``print`` shows them.
    look
        How the figures look, ``{"width_mm": 180, "font_size": 7, "palette": "safe"}``; see
        `factlens.drawing.look.Look`. A finished experiment that is called again only draws them anew.
    **options
        As in `ExperimentOptions`; what is left out is as the experiment has it.

    Returns
    -------
    Folder
        What was written is in its ``written``.

    Raises
    ------
    FileFormatError
        If the data set's file is not in this encoding (the message says in which it may be), or is damaged.
    FactError
        If there is no such experiment or option, the data set cannot be read (the message names the record), or the
        model knows none of its facts.
    LayerError
        If the model has no such layer, or a method edits fewer.
    FactlensError
        If the folder was begun with other settings, another process is at work in it, or matplotlib is missing.
    """
    experiment = EXPERIMENTS.named("name", name)
    model, out = a_model("model", model), a_path("out", out, folder=True)
    facts = facts if isinstance(facts, str) and facts.strip() else a_path("facts", facts)
    encoding = an_encoding("encoding", encoding)
    looks: Any = (
        {} if look is None else instance("look", look, dict, "a dict of options", example="{'palette': 'safe'}")
    )
    limit, seed = optional(whole, "limit", limit, least=1, example="100"), a_seed("seed", seed)
    only_known = experiment.only_known if only_known is None else flag("only_known", only_known)
    optional(function, "say", say)
    asked: dict[str, Any] = {**options}
    if methods is not None:
        asked["methods"] = _CHECKS["methods"](model, "methods", methods)
    refuse_unknown(name, asked, experiment.options)
    asked = {option: _CHECKS[option](model, option, value) for option, value in asked.items()}
    settings = experiment.defaults | asked
    _check_layers(model, settings)
    # Now, and not at the end, hours later.
    with drawn_with("Reproducing an experiment", Look.of(looks)):
        pass
    each: Sequence[Record | Fact] = data_of(name, facts, encoding)
    folder = Folder(out, say, look)
    with folder.alone():
        folder.claim(
            experiment=name,
            model=_weights(model),
            facts={"called": str(facts), "is": hashlib.sha256(repr(each).encode()).hexdigest()},
            limit=limit,
            only_known=only_known,
            **({"seed": seed} if experiment.edits else {}),
            **settings,
        )
        folder.notes.append(f"# {name} on {model.name}: {experiment.title}")
        record: dict[str, Any] = {"only_known": only_known}
        if only_known:
            # Facts that are held out stand behind the others, so that all are asked.
            knowledge = ask(model, [_fact(one) for one in each], folder, None if experiment.holds_out else limit)
            each = [each[place] for place in knowledge.places]
            folder.note(str(knowledge))
            record["knowledge"] = knowledge.record()
        else:
            taken = len(each[:limit])
            folder.note(f"{taken} of {len(each)} facts were taken, whether the model knows them or not.")
        extra: dict[str, Any] = {"seed": seed} if experiment.edits else {}
        if experiment.holds_out:
            limit = limit or len(each) - min(_HELD_OUT, len(each) // _HELD_OUT_SHARE)
            subjects = {_fact(one).subject for one in each[:limit]}
            extra["held_out"] = [one for one in each[limit:] if _fact(one).subject not in subjects][:_HELD_OUT]
        experiment.run(model, each[:limit], folder, **extra, **asked)
        folder.provenance(
            model,
            experiment=name,
            facts=str(facts),
            encoding=encoding,
            limit=limit,
            seed=seed,
            options=options,
            **record,
        )
    return folder


def data_of(name: str, facts: str | Path, encoding: str = UTF8) -> list[Record] | list[Fact]:
    """Return what an experiment is about: the records of a data set, or the facts where nothing is edited.

    Raises
    ------
    FactlensError
        As `factlens.load_records`.
    """
    edits = EXPERIMENTS.named("name", name).edits
    return load_records(facts, encoding=encoding) if edits else load_facts(facts, encoding=encoding)


def _weights(model: Model) -> dict[str, str]:
    """Return what the model's weights are called, edits and all, and what tells them from others."""
    weights = Weights.of(model)
    called = "; ".join(
        [f"{model.name} with {weights.labels[0]}", *weights.labels[1:]] if weights.labels else [model.name]
    )
    edited = hashlib.sha256(repr(weights.key).encode()).hexdigest()[: len(weights.fingerprint)]
    return {"called": called, "is": edited if weights.edit_ids else weights.fingerprint}


def _fact(one: Record | Fact) -> Fact:
    return one.fact if isinstance(one, Record) else one


def _check_layers(model: Model, settings: Mapping[str, Any]) -> None:
    """Refuse layers that a method does not edit, before hours are spent with another."""
    layers = settings.get("layers")
    if "methods" not in settings:
        if isinstance(layers, Mapping):
            raise ArgumentError("layers by method are for experiments that compare methods: give layers=[3, 4] alone.")
        return
    if isinstance(layers, Mapping) and (others := [one for one in layers if one not in settings["methods"]]):
        raise ArgumentError(
            f"layers names {others[0]}, which is not among the methods: {', '.join(settings['methods'])}."
        )
    for name in settings["methods"]:
        way = a_way("methods", name)
        settle(model, way.method, layers_of(name, layers), way.settings)


def _texts(name: str, value: Any) -> Path:
    """Return a path that has text; what cannot be read is said before anything is edited."""
    path = a_path(name, value)
    for _ in texts_in(text_files(path), "text"):
        return path
    raise FactlensError(f"{path} has no text in it.")


def _ways(name: str, value: Any) -> tuple[str, ...]:
    names = some_texts(name, value, example=shown(list(METHODS)[:2]))
    if not names:
        raise ArgumentError(f"{name} names no method. There is {', '.join(METHODS)}.")
    for i, one in enumerate(names):
        a_way(f"{name}[{i}]", one)
    return names
