"""Figure 2 of Meng et al. (2022): causal traces averaged over many facts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from factlens.errors import FileFormatError
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.belonging import Weights
from factlens.reproduce.fig2_summary import LAST, LAST_SUBJECT, summary
from factlens.reproduce.folder import Folder
from factlens.reproduce.published import TRACING, key_of
from factlens.tracing import KINDS, Average, Noise, Skipped, Trace, average, trace_many
from factlens.tracing.corruption import noise_level


def traces(model: Model, facts: Sequence[Fact], folder: Folder, samples: int) -> Iterator[Trace | Skipped]:
    """Trace facts as in the paper, each only once: what the folder holds already is read from there."""
    # Noise over the subjects of all facts, as published: every trace depends on them all.
    noise = Noise(subjects=tuple(fact.subject for fact in facts))
    noise = replace(noise, level=noise_level(model, (), noise))
    made = repr([Weights.of(model).key, samples, noise])
    store, progress = folder.inner("traces"), folder.progress("traces")
    for done, fact in enumerate(facts, 1):
        key = hashlib.sha256(f"{made}{fact!r}".encode()).hexdigest()[:32]
        path = store / f"{key}.safetensors"
        trace: Trace | Skipped | None = _read(path)
        if trace is None:
            (trace,) = trace_many(model, [fact], samples=samples, corruption=noise)
            if isinstance(trace, Trace):
                trace.save(path)
        yield trace
        progress(done, len(facts))


def fig2(model: Model, facts: Sequence[Fact], folder: Folder, *, samples: int = 10) -> Average:
    """Average traces of states, MLPs and attention over facts; write tables, figures, and the published numbers.

    Parameters
    ----------
    model
        The model.
    facts
        What to trace; facts that the model does not know are left out, as published.
    folder
        Where to write.
    samples
        Corrupted runs per fact (10 in the paper).

    Returns
    -------
    Average
        What was found.
    """
    result = average(traces(model, facts, folder, samples))
    result.save(folder.path / "average.safetensors")
    folder.written.append(folder.path / "average.safetensors")
    folder.csv("effects", result.to_dataframe(), index=False)
    folder.say(repr(result))
    folder.table("headline", headline(result, model.name))
    folder.figure("grids", result.plot(**folder.look))
    folder.figure("lines", result.plot_lines(**folder.look))
    folder.summary(summary(result))
    return result


def headline(result: Average, model: str) -> pd.DataFrame:
    """Return the numbers that the paper's text names, in percent, next to the published ones where there are any."""
    rows: dict[str, dict[str, object]] = {"ATE": {"here": 100 * result.total_effect}}
    for kind in result.kinds:
        effects = result.effects.sel(kind=kind, role=LAST_SUBJECT)
        layer = int(np.argmax(effects.values))
        rows[f"AIE of {kind}, {LAST_SUBJECT}"] = {"here": 100 * float(effects[layer]), "layer": layer}
        last = result.effects.sel(kind=kind, role=LAST)
        rows[f"AIE of {kind}, {LAST}"] = {"here": 100 * float(last.max()), "layer": int(np.argmax(last.values))}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("percent")
    if published := TRACING.get(key_of(model)):
        frame.loc["ATE", "published"] = published.total
        for kind in KINDS:
            frame.loc[f"AIE of {kind}, {LAST_SUBJECT}", "published"] = getattr(published, kind)
        frame.loc[f"AIE of state, {LAST_SUBJECT}", "published layer"] = published.state_layer
    return frame


def _read(path: Path) -> Trace | None:
    try:
        return Trace.load(path) if path.exists() else None
    except FileFormatError:
        return None
