"""The experiments by name, and what each wants from its caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from factlens.reproduce.fig2 import fig2
from factlens.reproduce.folder import Folder
from factlens.reproduce.layer_sweep import layer_sweep
from factlens.reproduce.sequential import sequential
from factlens.reproduce.table4 import table4
from factlens.tracing import KINDS

_OPTIONS = {
    "fig2": ("samples",),
    "table4": ("methods",),
    "layer-sweep": ("layers", "kind", "samples", "method"),
    "sequential": ("methods", "batch", "every", "generate"),
}
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
EXPERIMENTS = {
    "fig2": "averaged causal traces (Meng et al. 2022, Figure 2)",
    "table4": "single edits judged on CounterFact, for several methods (Meng et al. 2022, Table 4)",
    "layer-sweep": "edit success by layer against tracing effect (Hase et al. 2023)",
    "sequential": "edits on top of each other, until the model breaks down",
}


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
    if not isinstance(name, str) or name not in EXPERIMENTS:
        raise ArgumentError(f"There is no experiment {shown(name)}: name must be one of {', '.join(EXPERIMENTS)}.")
    model, out = a_model("model", model), a_path("out", out, folder=True)
    facts = facts if isinstance(facts, str) and facts.strip() else a_path("facts", facts)
    encoding = an_encoding("encoding", encoding)
    limit, seed = optional(whole, "limit", limit, least=1, example="100"), a_seed("seed", seed)
    optional(function, "say", say)
    if methods is not None:
        options["methods"] = _CHECKS["methods"](model, "methods", methods)
    refuse_unknown(name, options, _OPTIONS[name])
    options = {option: _CHECKS[option](model, option, value) for option, value in options.items()}
    # Now, and not at the end, hours later.
    needs_matplotlib("Reproducing an experiment")
    folder = Folder(out, say)
    with folder.alone():
        if name == "fig2":
            fig2(model, load_facts(facts, encoding=encoding)[:limit], folder, **options)
        else:
            records = load_records(facts, encoding=encoding)
            if name == "sequential" and limit is None:
                limit = len(records) - min(_HELD_OUT, len(records) // _HELD_OUT_SHARE)
            chosen = records[:limit]
            options["seed"] = seed
            if name == "table4":
                table4(model, chosen, folder, **options)
            elif name == "layer-sweep":
                layer_sweep(model, chosen, folder, **options)
            else:
                subjects = {record.fact.subject for record in chosen}
                others = [record for record in records[len(chosen) :] if record.fact.subject not in subjects]
                sequential(model, chosen, folder, held_out=others[:_HELD_OUT], **options)
        folder.provenance(
            model, experiment=name, facts=str(facts), encoding=encoding, limit=limit, seed=seed, options=options
        )
    return folder


def _names(name: str, value: Any) -> tuple[str, ...]:
    names = some_texts(name, value, example=shown(list(METHODS)[:2]))
    if not names:
        raise ArgumentError(f"{name} names no method. There is {', '.join(METHODS)}.")
    return names
