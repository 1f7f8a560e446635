"""The experiments by name, and what each wants from its caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from factlens.errors import FactError
from factlens.evaluation.datasets import load_facts, load_records
from factlens.models import Model
from factlens.reproduce.fig2 import fig2
from factlens.reproduce.folder import Folder
from factlens.reproduce.layer_sweep import layer_sweep
from factlens.reproduce.sequential import sequential
from factlens.reproduce.table4 import table4

_OPTIONS = {
    "fig2": ("samples",),
    "table4": ("methods",),
    "layer-sweep": ("layers", "kind", "samples", "method"),
    "sequential": ("methods", "batch", "every", "generate"),
}
# What sequential edits leave alone: at least a part of the records, and no more than are needed to see 5 % fall.
_HELD_OUT_SHARE, _HELD_OUT = 6, 500
EXPERIMENTS = {
    "fig2": "averaged causal traces (Meng et al. 2022, Figure 2)",
    "table4": "single edits judged on CounterFact, for several methods (Meng et al. 2022, Table 4)",
    "layer-sweep": "edit success by layer against tracing effect (Hase et al. 2023)",
    "sequential": "edits on top of each other, until the model gives way",
}


def reproduce(
    name: str,
    model: Model,
    facts: str | Path,
    out: str | Path,
    *,
    limit: int | None = None,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
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
    limit
        At most so many records, the first ones. ``"sequential"`` takes up to 500 of those behind them as held-out
        facts; without a limit it keeps back a sixth of the records for that.
    methods
        Which methods, for the experiments that compare several.
    seed
        Of edits and generated text.
    say
        Takes lines about progress and results.
    **options
        Passed to the experiment: ``samples`` (fig2, layer-sweep), ``layers``, ``kind``, ``method`` (layer-sweep),
        ``batch``, ``every``, ``generate`` (sequential).

    Returns
    -------
    Folder
        What was written is in its ``written``.

    Raises
    ------
    FactError
        If there is no such experiment or option, or the data set cannot be read.
    FactlensError
        If another process is at work in the folder.
    """
    if name not in EXPERIMENTS:
        raise FactError(f"There is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}.")
    if limit is not None and limit < 1:
        raise FactError(f"limit must be positive, not {limit}.")
    if methods is not None:
        options["methods"] = tuple(methods)
    for option in options:
        if option not in _OPTIONS[name]:
            raise FactError(f"{name} has no option {option!r}; it has {', '.join(_OPTIONS[name])}.")
    folder = Folder(out, say)
    with folder.alone():
        if name == "fig2":
            fig2(model, load_facts(facts)[:limit], folder, **options)
        else:
            records = load_records(facts)
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
        folder.provenance(model, experiment=name, facts=str(facts), limit=limit, seed=seed, options=options)
    return folder
