"""Edits on top of each other: how many until the model breaks down.

After every few edits: how many of the edits made so far hold, their paraphrases and neighbours, and what became of
untouched facts. The published table for many edits is that of Fang et al. (2025).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pandas as pd

from factlens.bounded import parse_json, read_text
from factlens.drawing.colours import series
from factlens.drawing.figure import drawn_with, finish, new_figure
from factlens.drawing.look import SCREEN, Fit, Look
from factlens.editing import METHODS, Edit
from factlens.editing.api import quiet_edit
from factlens.errors import FactError, FileFormatError, NumericalError
from factlens.evaluation import Outcome, Record, Report
from factlens.evaluation.elsewhere import TEXTS, ordinary_text, unrelated_prompts
from factlens.evaluation.measuring import Asking, Meter
from factlens.evaluation.scoring import read
from factlens.files import checksum, write_text
from factlens.models import Model
from factlens.moments.textfiles import text_files, texts_in
from factlens.reproduce.folder import Folder, beside, layers_of
from factlens.reproduce.peaks import markdown, percent
from factlens.reproduce.published import SEQUENTIAL, SEQUENTIAL_COLUMNS, SEQUENTIAL_METHODS, key_of
from factlens.reproduce.ways import a_way, recipe_of
from factlens.typed import mapping, plain, record, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FALL = 0.05
"""The share of held-out facts whose loss ends a model's health."""
_JUDGED = 200
_SHOWN = (*SEQUENTIAL_COLUMNS, "rewrite_leads", "other_leads", "kl", "perplexity")


def sequential(
    model: Model,
    records: Sequence[Record],
    folder: Folder,
    *,
    methods: Sequence[str] = SEQUENTIAL_METHODS,
    layers: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    held_out: Sequence[Record] = (),
    batch: int = 1,
    every: int = 10,
    generate: bool = False,
    text: Path | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Edit records one batch after the other, and judge the model after every few; write tables and a figure.

    Parameters
    ----------
    model, records, folder
        As for the other experiments.
    methods
        Which methods, as for `factlens.reproduce.ways.a_way`.
    layers
        Which layers they edit: all the same, or by method. Default: each method's own for the model.
    held_out
        Records that are not edited: how many of their prompts the model still answers is its health. Those that it
        does not know to begin with do not count.
    batch
        Facts per edit.
    every
        Facts between two judgements.
    generate
        Whether fluency and consistency are measured as well; it takes long.
    text
        A file of ordinary text, as for `factlens stats --text`: the perplexity of its first 20 texts is measured. None:
        of what the model brings, which is something for atlas alone.
    seed
        Of edits, and of which edits are judged where there are more than 200.

    Returns
    -------
    pandas.DataFrame
        One row per method and judgement.

    Raises
    ------
    FactError
        If `batch` or `every` is not positive.
    """
    if batch < 1 or every < 1:
        raise FactError(f"batch and every must be positive, not {batch} and {every}.")
    with model.unedited():
        others = [record for record in held_out if record.fact.object]
        health = [record for record, leads in zip(others, _leads(model, others), strict=True) if leads]
    facts = [record.fact for record in records]
    texts = ordinary_text(model) if text is None else list(islice(texts_in(text_files(text), "text"), TEXTS))
    asking = Asking(generate, tuple(unrelated_prompts(model, facts)), tuple(texts), seed)
    rows: list[dict[str, object]] = []
    # What the model says before any edit is the same for all methods.
    meter = Meter(model, asking)
    for method in methods:
        most = METHODS[a_way("methods", method).method].most_facts
        where = layers_of(method, layers)
        size = batch if most is None else min(batch, most)
        progress = folder.progress(method)
        with model.unedited(), ExitStack() as stack:
            meter.before([record.checks for record in records])
            unedited = meter.unedited(records[0].checks).perplexity
            rows.append({"method": method, "edits": 0, "healthy": 1.0 if health else math.nan, "perplexity": unedited})
            chain = model.fingerprint
            for start in range(0, len(records), size):
                part = records[start : start + size]
                chain = _key(chain, method, where, seed, part)
                made = _made(model, part, method, where, seed, folder, chain)
                if made is not None:
                    stack.enter_context(model.edited(made))
                    # By content: an edit that is made again may be another one.
                    chain = f"{chain} {made.id}"
                done = min(start + size, len(records))
                progress(done, len(records))
                if done // every > start // every or done == len(records):
                    rows.append(_judgement(folder, chain, meter, method, records[:done], health, seed))
    table = pd.DataFrame(rows)
    folder.csv("curve", table, index=False)
    ending = ends(table, model.name)
    folder.table("sequential", ending)
    folder.figure("sequential", draw(table, Look.of(folder.look)))
    folder.summary(summary(ending))
    return table


def _made(
    model: Model,
    part: Sequence[Record],
    method: str,
    layers: Sequence[int] | None,
    seed: int,
    folder: Folder,
    key: str,
) -> Edit | None:
    """Make an edit on the weights as they are, or take it from an earlier run; None if it cannot be made."""
    path = folder.inner("edits") / f"{key}.safetensors"
    if path.exists():
        try:
            return Edit.load(path)
        except FileFormatError:
            path.unlink()
    try:
        facts = [record.fact for record in part]
        what = facts[0] if len(facts) == 1 else facts
        made = quiet_edit(model, what, apply=False, **recipe_of(method, layers, seed))
    except (FactError, NumericalError) as error:
        folder.say(f"{method}: {part[0].name}: {error}")
        return None
    made.save(path)
    return made


def _judgement(
    folder: Folder,
    chain: str,
    meter: Meter,
    method: str,
    records: Sequence[Record],
    health: Sequence[Record],
    seed: int,
) -> dict[str, object]:
    """Judge the model as it is now, or take the numbers from an earlier run."""
    asked = repr([chain, meter.asking, seed, [record.checks for record in records], [one.fact for one in health]])
    path = folder.inner("judged") / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.json"
    try:
        content = _JUDGEMENT(parse_json(read_text(path)))
        if content["checksum"] == checksum(content["found"]):
            return dict(content["found"])
    except (OSError, ValueError):
        pass  # not there, or nothing that was written here
    numbers = _judged(meter, method, records, health, seed)
    # Plain `json` knows NaN, which stands for what was not asked.
    write_text(path, json.dumps({"found": numbers, "checksum": checksum(numbers)}))
    return numbers


_JUDGEMENT = record({"found": mapping(plain(finite=False)), "checksum": text})


def _judged(
    meter: Meter, method: str, records: Sequence[Record], health: Sequence[Record], seed: int
) -> dict[str, object]:
    """Judge the model as it is now."""
    chosen = list(records) if len(records) <= _JUDGED else Random(seed).sample(list(records), _JUDGED)
    try:
        after = list(meter.after_all([record.checks for record in chosen]))
        healthy = sum(_leads(meter.model, health)) / len(health) if health else float("nan")
    except NumericalError:
        # The weights have overflowed: nothing is left to be judged.
        return {"method": method, "edits": len(records), "healthy": 0.0}
    outcomes = [
        Outcome(method, record, meter.unedited(record.checks), measured)
        for record, measured in zip(chosen, after, strict=True)
    ]
    summary = Report(tuple(outcomes), len(outcomes)).summary().loc[method]
    numbers = {name: float(summary["after"][name]) for name in _SHOWN if name in summary.index}
    return {"method": method, "edits": len(records), "healthy": healthy, **numbers}


def _leads(model: Model, records: Sequence[Record]) -> list[bool]:
    """Return of each record whether its prompt is answered with the object that is true."""
    prompts = [record.fact.prompt for record in records]
    readings = read(model, prompts, [[record.fact.object or ""] for record in records])
    return [reading.leads[0] for reading in readings]


def _key(chain: str, method: str, layers: Sequence[int] | None, seed: int, part: Sequence[Record]) -> str:
    # An edit depends on all that came before it.
    text = repr([chain, method, *([] if layers is None else [list(layers)]), seed, [record.fact for record in part]])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def ends(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return the last judgement of each method, and after how many edits it had lost five of a hundred other facts."""
    rows = {}
    for method, curve in table.groupby("method", sort=False):
        sick = curve[curve.healthy < 1 - FALL]
        last = curve.iloc[-1].drop("method").to_dict()
        rows[method] = last | {"healthy until": int(sick.edits.iloc[0]) if len(sick) else f"over {last['edits']}"}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_product([["here"], frame.index], names=["source", "method"])
    if published := SEQUENTIAL.get(key_of(model)):
        other = beside(published[1], SEQUENTIAL_COLUMNS, published[0])
        other.loc[:, list(SEQUENTIAL_COLUMNS[:3])] /= 100
        frame = pd.concat([frame, other])
    return frame


def summary(ending: pd.DataFrame) -> list[str]:
    """Return a paragraph in Markdown: what is left after the last edit of each method, from `ends`."""
    ending = pd.DataFrame(ending.xs("here"))
    head = ["method", "edits", "untouched facts left", "5 % of them lost after"]
    shares = {"rewrite_leads": "edits that hold", "neighbour_success": "neighbours"}
    shares = {name: title for name, title in shares.items() if name in ending}
    text = ["perplexity"] if _has_perplexity(ending) else []
    body = [
        [str(method), str(last["edits"]), percent(last["healthy"]), str(last["healthy until"])]
        + [percent(last[name]) for name in shares]
        + [f"{last[name]:,.3g}" for name in text]
        for method, last in ending.iterrows()
    ]
    return [markdown([*head, *shares.values(), *text], body)]


def _has_perplexity(table: pd.DataFrame) -> bool:
    return "perplexity" in table and bool(table.perplexity.notna().any())


def draw(table: pd.DataFrame, look: Look = SCREEN) -> Figure:
    """Draw the curves: edits that hold, neighbours, untouched facts; and perplexity, where there was text to read."""
    what = "Drawing the curves"
    titles = {"rewrite_leads": "edits that hold", "neighbour_success": "neighbours", "healthy": "untouched facts"}
    shown = {**titles, **({"perplexity": "perplexity of other text"} if _has_perplexity(table) else {})}
    em, count = look.size, len(shown)
    fit = Fit(count, 0, 17 * em, 11 * em, 6 * em, 3 * em, most=4)
    with drawn_with(what, look):
        columns, *size = fit.into(look) if look.for_paper else (count, 3.3 * count, 3.2)
        figure = new_figure(what, *size)
        panels = figure.subplots(-(-count // columns), columns, squeeze=False).flatten().tolist()
        for surplus in panels[count:]:
            surplus.remove()
        for axes, (name, title) in zip(panels, shown.items(), strict=False):
            for i, (method, rows) in enumerate(table.groupby("method", sort=False)):
                if name in rows:
                    style = series(look.palette, i)
                    line = {"color": style.colour, "ls": style.dash, "marker": style.marker, "ms": 3 * look.scale}
                    axes.plot(rows.edits, rows[name], label=method, **line)
            axes.set_title(title, fontsize="medium")
            axes.set(xlabel="edits", **({"ylim": (-0.03, 1.03)} if name in titles else {"yscale": "log"}))
            axes.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("share")
        if look.for_paper:
            keys = panels[0].get_legend_handles_labels()
            figure.legend(*keys, loc="outside lower center", ncols=4, fontsize="small", frameon=False)
        else:
            panels[count - 1].legend(frameon=False, fontsize="small")
        return finish(figure, look, panels[:count])
