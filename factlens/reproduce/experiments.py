"""The experiments by name, and what each wants from its caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factlens.arguments import (
    a_path,
    a_seed,
    flag,
    function,
    one_of,
    optional,
    refuse_unknown,
    shown,
    some_texts,
    whole,
)
from factlens.decoding import UTF8, an_encoding
from factlens.drawing.figure import needs_matplotlib
from factlens.editing import METHODS
from factlens.editing.settings import a_method
from factlens.errors import ArgumentError
from factlens.evaluation.datasets import load_facts, load_records
from factlens.models import Model
from factlens.models.given import a_model, some_layers
from factlens.registry import Registry
from factlens.reproduce.fig2 import fig2
from factlens.reproduce.folder import Folder
from factlens.reproduce.layer_sweep import layer_sweep
from factlens.reproduce.sequential import sequential
from factlens.reproduce.table4 import table4
from factlens.tracing import KINDS

_CHECKS: dict[str, Callable[[Model, str, Any], Any]] = {
    "samples": lambda _, name, value: whole(name, value, least=1, example="10"),
    "methods": lambda _, name, value: tuple(a_method(f"{name}[{i}]", one) for i, one in enumerate(_names(name, value))),
    "layers": lambda model, name, value: list(some_layers(model, name, value)),
    "kind": lambda _, name, value: one_of(name, value, KINDS),
    "method": lambda _, name, value: a_method(name, value),
    "batch": lambda _, name, value: whole(name, value, least=1, example="1"),
    "every": lambda _, name, value: whole(name, value, least=1, example="10"),
    "generate": lambda _, name, value: flag(name, value),
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
    """

    title: str
    options: tuple[str, ...]
    run: Callable[..., object]
    edits: bool = True
    holds_out: bool = False


EXPERIMENTS: Registry[Experiment] = Registry(
    "experiment",
    {
        "fig2": Experiment("averaged causal traces (Meng et al. 2022, Figure 2)", ("samples",), fig2, edits=False),
        "table4": Experiment(
            "single edits judged on CounterFact, for several methods (Meng et al. 2022, Table 4)",
            ("methods",),
            table4,
        ),
        "layer-sweep": Experiment(
            "edit success by layer against tracing effect (Hase et al. 2023)",
            ("layers", "kind", "samples", "method"),
            layer_sweep,
        ),
        "sequential": Experiment(
            "edits on top of each other, until the model breaks down",
            ("methods", "batch", "every", "generate"),
            sequential,
            holds_out=True,
        ),
    },
    Experiment,
)
"""What `reproduce` runs."""


def reproduce(
    name: str,
    model: Model,
    facts: str | Path,
    out: str | Path,
    *,
    encoding: str = UTF8,
    limit: int | None = None,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> Folder:
    """Run a published experiment, and write its tables, figures and provenance into a folder.

    Killed, the same call goes on where it was.

    Parameters
    ----------
    name
        One of `EXPERIMENTS`.
    model
        The model.
    facts
        A data set, as `factlens.evaluation.datasets.load_records` takes it: ``"atlas-facts"``, ``"counterfact.json"``.
    out
        The folder.
    encoding
        What the file of the data set is in, as for `factlens.load_records`.
    limit
        At most so many records, the first ones. ``"sequential"`` takes up to 500 of those behind them as held-out
        facts; without a limit it keeps back a sixth of the records for that.
    methods
        Which methods, for the experiments that compare several.
    seed
        Of edits and generated text.
    say
        Called with lines about progress and results: ``print`` shows them.
    **options
        Passed to the experiment: ``samples`` (fig2, layer-sweep), ``layers``, ``kind``, ``method`` (layer-sweep),
        ``batch``, ``every``, ``generate`` (sequential).

    Returns
    -------
    Folder
        What was written is in its ``written``.

    Raises
    ------
    FileFormatError
        If the data set's file is not in this encoding (the message says in which it may be), or is damaged.
    FactError
        If there is no such experiment or option, or the data set cannot be read.
    FactlensError
        If another process is at work in the folder, or matplotlib is missing.
    """
    experiment = EXPERIMENTS.named("name", name)
    model, out = a_model("model", model), a_path("out", out, folder=True)
    facts = facts if isinstance(facts, str) and facts.strip() else a_path("facts", facts)
    encoding = an_encoding("encoding", encoding)
    limit, seed = optional(whole, "limit", limit, least=1, example="100"), a_seed("seed", seed)
    optional(function, "say", say)
    if methods is not None:
        options["methods"] = _CHECKS["methods"](model, "methods", methods)
    refuse_unknown(name, options, experiment.options)
    options = {option: _CHECKS[option](model, option, value) for option, value in options.items()}
    # Now, and not at the end, hours later.
    needs_matplotlib("Reproducing an experiment")
    folder = Folder(out, say)
    with folder.alone():
        if experiment.edits:
            records, held_out = load_records(facts, encoding=encoding), {}
            if experiment.holds_out:
                limit = limit or len(records) - min(_HELD_OUT, len(records) // _HELD_OUT_SHARE)
                subjects = {record.fact.subject for record in records[:limit]}
                others = [record for record in records[limit:] if record.fact.subject not in subjects]
                held_out["held_out"] = others[:_HELD_OUT]
            experiment.run(model, records[:limit], folder, seed=seed, **held_out, **options)
        else:
            experiment.run(model, load_facts(facts, encoding=encoding)[:limit], folder, **options)
        folder.provenance(
            model, experiment=name, facts=str(facts), encoding=encoding, limit=limit, seed=seed, options=options
        )
    return folder


def _names(name: str, value: Any) -> tuple[str, ...]:
    names = some_texts(name, value, example=shown(list(METHODS)[:2]))
    if not names:
        raise ArgumentError(f"{name} names no method. There is {', '.join(METHODS)}.")
    return names
