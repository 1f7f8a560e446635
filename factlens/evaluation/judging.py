"""`evaluate`: the same questions before and after edits, for one edit or a whole data set."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

import torch
import transformers

from factlens.arguments import (
    a_path,
    a_seed,
    a_text,
    event,
    flag,
    function,
    instance,
    items,
    one_of,
    optional,
    shown,
    some_texts,
)
from factlens.bar import by_itself
from factlens.decoding import UTF8, an_encoding
from factlens.editing import METHODS, Edit, Took
from factlens.editing.api import edit, quiet_edit, settle, some_moments
from factlens.editing.listed import listed_settings
from factlens.editing.methods import DEFAULT_METHOD
from factlens.errors import ArgumentError, FactError, Interrupted, NumericalError, WeightsChanged
from factlens.evaluation.chatting import as_read
from factlens.evaluation.checks import Checks, Probe, atlas_checks
from factlens.evaluation.elsewhere import ordinary_text, unrelated_prompts
from factlens.evaluation.measures import AnyMetric, PromptMetric, RecordMetric
from factlens.evaluation.measuring import Asking, Meter
from factlens.evaluation.metrics import METRICS, metric_record, own_metrics, some_metrics
from factlens.evaluation.outcome_store import OutcomeStore
from factlens.evaluation.records import Record
from factlens.evaluation.report import Outcome, Report
from factlens.evaluation.scoring import Reading
from factlens.evaluation.written import PROTOCOL
from factlens.facts import Fact
from factlens.models import Model
from factlens.models.belonging import Weights, ids_of
from factlens.models.given import a_model
from factlens.models.interrupts import interruption_point, stopped_by
from factlens.models.settling import settled
from factlens.moments import Corpus
from factlens.signatures import options_from, taking

Way = Literal["single", "sequential", "at once"]
WAYS: tuple[Way, ...] = ("single", "sequential", "at once")
Judged = Callable[[Report, int], None]
"""Called with the report so far, and how many outcomes it will have."""
_OF_EDITING = 0.7
"""Which part of the time of a record its edit takes, about; the rest is for judging it."""


# `evaluate` has a seed of its own.
_OF_EDIT = [
    *options_from(edit, "layers", "moments"),
    *(one for one in listed_settings().values() if one.name != "seed"),
]


def _in_a_bar(tell: Callable[..., None], _arguments: Mapping[str, Any]) -> Judged:
    def report_on(so_far: Report, total: int) -> None:
        judged, edited = len(so_far.outcomes), so_far.waiting
        words = f"{judged} of {total} judged" + (f", {edited} more edited" if edited else "")
        tell((judged + _OF_EDITING * edited) / max(1, total), words, step=1 / max(1, total))

    return report_on


@taking(_OF_EDIT)
@by_itself("Judging edits", _in_a_bar)
@settled
def evaluate(
    model: Model,
    what: Edit | Fact | Record | Iterable[Fact | Record] | str | Path,
    checks: Checks | Sequence[Checks] | None = None,
    *,
    method: str | Sequence[str] | Mapping[str, Mapping[str, Any]] = DEFAULT_METHOD,
    way: Way = "single",
    metrics: Iterable[str | PromptMetric | Callable[[Probe, Reading], float]] | None = None,
    generate: bool = True,
    written: bool | None = None,
    unrelated: Iterable[str] | None = None,
    texts: Iterable[str] | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    encoding: str = UTF8,
    progress: Judged | bool | None = None,
    stop: Event | None = None,
    **options: Any,
) -> Report:
    """Ask a model the same questions before and after edits.

    The model is as it was before afterwards: an applied edit stays applied, everything else is taken back.

    Parameters
    ----------
    model
        The model. Edits it carries stay; the ones to be judged come on top.
    what
        An edit, applied or not (it is known by its id: one that was read from a file is the applied one that it was
        saved from); or facts with targets, or records of a data set, which are edited here. A name or a
        path is read by `factlens.evaluation.datasets.load_records`: ``"atlas-facts"``, ``"counterfact.json"``.
    checks
        What to ask about an edit or about facts: one for each fact. Default, for facts that atlas knows: paraphrases,
        neighbours and other facts of the subject from its fact file. Records bring their own.
    method
        How to edit: a method's name, several, or labels with settings for `factlens.edit`:
        ``{"layer 3": {"method": "rome", "layers": 3}, "layer 4": {...}}``. The report puts them side by side.
    way
        ``"single"``: each fact is edited alone, judged, and taken back. ``"sequential"``: one after the other on top
        of each other. ``"at once"``: all in one edit. The last two are judged when all edits are applied.
    metrics
        What is counted; what is not needed for it is not asked. Names (`factlens.evaluation.METRICS` has them), or
        functions of your own, of a `Probe` and the `Reading` with what the model says after it, that give one number:
        see `factlens.evaluation.PromptMetric`. Default: all that are registered; those of what the model writes by
        itself only with `written`.
    generate
        Whether the model writes on after the checks' generation prompts, for fluency and consistency.
    written
        Whether the model writes on by itself after every prompt of the checks, up to the end of its sentence or text,
        for the metrics *written*, *written_exact* and *written_contains* and for `Report.disagreement`. The protocol
        is in `factlens.evaluation.written`. It costs several times as much as the probabilities do. Default: if one
        of `metrics` needs it.
    unrelated
        Prompts that the edits have nothing to do with: the drift of the predictions after them is measured (KL).
        Default: for atlas, facts about other subjects; for other models, none.
    texts
        Ordinary text, of which the perplexity is measured. Default: for atlas, text as it was trained on, newly
        written; for other models, none.
    seed
        Of generated text.
    store
        A file that keeps every record as it is judged; the same call continues from there after a kill. The ways
        ``"sequential"`` and ``"at once"`` make the edits again, and judge what had not been judged.
    encoding
        What the file of a data set is in, as for `factlens.load_records`.
    progress
        Called after each record with the report so far and the number of outcomes there will be; the ways
        ``"sequential"`` and ``"at once"`` also call it after each edit, counted in the report's ``waiting``. Until
        all is judged the model carries those edits. Default: a bar shows it, in a notebook or a terminal; False:
        nothing does.
    stop
        Set it from another thread to stop.
    **options
        As for `factlens.edit`, which is called with them.

    Returns
    -------
    Report
        What the model said. A record that could not be edited is in ``report.skipped``, with the reason.

    Raises
    ------
    FileFormatError
        If a data set's file is not in this encoding (the message says in which it may be), or is damaged.
    FactError
        If `what` is empty, a fact has no target, there are no ready-made checks for it, or `way` or an option
        makes no sense.
    MetricError
        If a function of your own gives anything but one finite number.
    WrongModel
        If `what` is an edit of another model.
    WeightsChanged
        If someone else changed the weights between two records.
    Interrupted
        If `stop` was set, or on the kernel's interrupt; its ``partial`` is the report so far.
    """
    model = a_model("model", model)
    one_of("way", way, WAYS)
    generate, seed = flag("generate", generate), a_seed("seed", seed)
    written = optional(flag, "written", written)
    chosen = _chosen(metrics, written)
    needed = {metric.needs for metric in chosen if isinstance(metric, RecordMetric)}
    store, encoding = optional(a_path, "store", store), an_encoding("encoding", encoding)
    progress, stop = optional(function, "progress", progress), optional(event, "stop", stop)
    unrelated, texts = optional(some_texts, "unrelated", unrelated), optional(some_texts, "texts", texts, empty=True)
    if isinstance(what, Edit):
        records = _records(what.facts, checks)
        plans: dict[str, dict[str, Any]] = {what.label: {}}
        if way != "single" or options:
            raise FactError("An edit is judged as it is: way= and settings are for facts that are edited here.")
        recipes = {what.label: what.recipe}
    else:
        records, plans = _records(_listed(what, encoding), checks), _plans(method, options)
        recipes = {label: _checked(model, plan, way, len(records)) for label, plan in plans.items()}
    records = [as_read(model, record) for record in records]
    edited = [record.fact for record in records]
    if unrelated is None:
        unrelated = unrelated_prompts(model, edited)
    if texts is None:
        texts = ordinary_text(model)
    asking = Asking(
        generate and "generate" in needed,
        tuple(unrelated) if "unrelated" in needed else (),
        tuple(texts) if "texts" in needed else (),
        seed,
        bool(written) or any(isinstance(metric, PromptMetric) and metric.needs for metric in chosen),
    )
    total = len(records) * len(plans)
    try:
        with model.watched(stop):
            weights, carried = Weights.of(model), list(model.edits)
            if isinstance(what, Edit):
                what = next((one for one in carried if isinstance(one, Edit) and one.id == what.id), what)
    except KeyboardInterrupt as error:
        raise Interrupted(f"Stopped before the first of {total} records.", Report((), total)) from error
    # The edits that are there before and after; of the one that is judged, `settings` has the id.
    beneath = [one for one in carried if one is not what]
    provenance = {
        "model": weights.name,
        "fingerprint": weights.fingerprint,
        "edits": [str(one) for one in beneath],
        "edit_ids": list(ids_of(beneath)),
        "way": "one edit" if isinstance(what, Edit) else way,
        "settings": {label: {"edit": what.id} for label in plans}
        if isinstance(what, Edit)
        else {label: {name: repr(value) for name, value in plan.items()} for label, plan in plans.items()},
        "seed": seed,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    # With the place of an applied edit among the others, and of metrics those whose numbers are kept.
    own = own_metrics(chosen)
    circumstances = {**provenance, "carried": weights.edit_ids, "asking": repr(asking)}
    if own:
        circumstances["metrics"] = [metric.described() for metric in own]
    if asking.written:
        circumstances["written"] = provenance["protocol"] = dict(PROTOCOL)
    provenance["metrics"] = [metric_record(metric) for metric in chosen]
    provenance["recipes"] = json.loads(json.dumps(recipes))  # as a file has it
    provenance["asked"] = [
        {"generate": asking.generate, "unrelated": list(asking.unrelated), "texts": list(asking.texts)}
        | ({"written": True} if asking.written else {})
    ]
    judged: list[Outcome] = []

    waiting = 0

    def notify(not_judged: int) -> None:
        nonlocal waiting
        waiting = not_judged
        if progress is not None:
            progress(so_far(), total)

    def so_far() -> Report:
        return Report(tuple(judged), total, provenance, waiting)

    outcome_store = None
    if store is not None:
        outcome_store = OutcomeStore(store, circumstances)
    meter = Meter(model, asking, own)
    try:
        with stopped_by(stop):
            for label, plan in plans.items():
                if isinstance(what, Edit):
                    outcomes = _one_edit(meter, records, label, what, weights, outcome_store, stop)
                elif way == "single":
                    outcomes = _single(meter, records, label, plan, weights, outcome_store, stop)
                else:
                    outcomes = _together(meter, records, label, plan, way, weights, outcome_store, stop, notify)
                # Even after an error, the edits that are being judged are taken back.
                with closing(outcomes):
                    for outcome in outcomes:
                        judged.append(outcome)
                        notify(max(0, waiting - 1))
    except KeyboardInterrupt as error:
        more = f", with {waiting} more edited and not judged yet" if waiting else ""
        raise Interrupted(f"Stopped after {len(judged)} of {total} records{more}.", so_far()) from error
    return so_far()


def _one_edit(
    meter: Meter,
    records: Sequence[Record],
    label: str,
    made: Edit,
    weights: Weights,
    store: OutcomeStore | None,
    stop: Event | None,
) -> Generator[Outcome]:
    """Judge an edit that the caller has made."""
    model = meter.model
    stored = [None if store is None else store.get(label, record) for record in records]
    taken: Sequence[Took | None] = made.taken or [None] * len(records)
    asked = [record.checks for record, outcome in zip(records, stored, strict=True) if outcome is None]
    if not asked:
        yield from (outcome for outcome in stored if outcome is not None)
        return
    with model.exclusive(stop):
        _check_unchanged(model, weights)
        with model.without(made):
            meter.before(asked)
        with ExitStack() as stack:
            if not any(made is other for other in model.edits):
                stack.enter_context(model.edited(made))
            after = meter.after_all(asked)
            for record, outcome, took in zip(records, stored, taken, strict=True):
                interruption_point()
                if outcome is None:
                    outcome = Outcome(label, record, meter.unedited(record.checks), next(after), took=took)
                    model.check_unchanged(weights.fingerprint, model.edit_ids, "judged", "Evaluate again")
                    if store is not None:
                        store.put(outcome)
                yield outcome


def _check_unchanged(model: Model, weights: Weights) -> None:
    """Raise an error if the model has other weights than when the evaluation began: its numbers would be mixed."""
    if Weights.of(model).key != weights.key:
        raise WeightsChanged(
            f"The weights of {model.name} were changed while edits of it were being judged. Evaluate again; a store= "
            "keeps what was judged on the weights as they were."
        )


def _single(
    meter: Meter,
    records: Sequence[Record],
    label: str,
    plan: Mapping[str, Any],
    weights: Weights,
    store: OutcomeStore | None,
    stop: Event | None,
) -> Generator[Outcome]:
    """Edit each fact alone, judge it, take it back."""
    model = meter.model
    for record in records:
        if store is not None and (stored := store.get(label, record)) is not None:
            yield stored
            continue
        interruption_point()
        with model.exclusive(stop):
            _check_unchanged(model, weights)
            meter.before([record.checks])
            before, began = meter.unedited(record.checks), time.perf_counter()
            try:
                made = quiet_edit(model, record.fact, apply=False, stop=stop, **plan)
            except (FactError, NumericalError) as error:
                outcome = Outcome(label, record, before, None, error=str(error))
            else:
                spent = time.perf_counter() - began
                with model.edited(made):
                    outcome = Outcome(label, record, before, meter.after(record.checks), spent, took=made.taken[0])
            _check_unchanged(model, weights)
        if store is not None:
            store.put(outcome)
        yield outcome


def _together(
    meter: Meter,
    records: Sequence[Record],
    label: str,
    plan: Mapping[str, Any],
    way: Way,
    weights: Weights,
    store: OutcomeStore | None,
    stop: Event | None,
    notify: Callable[[int], None],
) -> Generator[Outcome]:
    """Edit all facts, one after the other or at once; judge them when all are applied; take everything back."""
    model = meter.model
    stored = [None if store is None else store.get(label, record) for record in records]
    if None not in stored:
        yield from (outcome for outcome in stored if outcome is not None)
        return
    made: dict[Record, tuple[float, Took]] = {}
    errors: dict[Record, str] = {}
    with model.exclusive(stop), ExitStack() as stack:
        _check_unchanged(model, weights)
        meter.before([record.checks for record in records])
        groups = [list(records)] if way == "at once" else [[record] for record in records]
        for group in groups:
            interruption_point()
            began, facts = time.perf_counter(), [record.fact for record in group]
            try:
                one = quiet_edit(model, facts[0] if len(facts) == 1 else facts, apply=False, stop=stop, **plan)
                stack.enter_context(model.edited(one))
            except (FactError, NumericalError) as error:
                errors |= dict.fromkeys(group, str(error))
            else:
                spent = (time.perf_counter() - began) / len(group)
                made |= {record: (spent, took) for record, took in zip(group, one.taken, strict=True)}
            notify(len(made) + len(errors))
        asked = [record for record, outcome in zip(records, stored, strict=True) if outcome is None and record in made]
        after = meter.after_all([record.checks for record in asked])
        for record, outcome in zip(records, stored, strict=True):
            interruption_point()
            if outcome is None:
                before = meter.unedited(record.checks)
                if record in errors:
                    outcome = Outcome(label, record, before, None, error=errors[record])
                else:
                    spent, took = made[record]
                    outcome = Outcome(label, record, before, next(after), spent, took=took)
                model.check_unchanged(weights.fingerprint, model.edit_ids, "judged", "Evaluate again")
                if store is not None:
                    store.put(outcome)
            yield outcome


def _chosen(metrics: Any, written: bool | None) -> tuple[AnyMetric, ...]:
    """Return the metrics that were asked for; without names, all of those that what is asked allows."""
    if metrics is not None:
        chosen = some_metrics("metrics", metrics)
        if written is False and (needing := [m.name for m in chosen if isinstance(m, PromptMetric) and m.needs]):
            raise ArgumentError(f"The metric {needing[0]!r} looks at what the model writes: leave out written=False.")
        return chosen
    return tuple(one for one in METRICS.values() if written or not (isinstance(one, PromptMetric) and one.needs))


def _listed(what: Fact | Record | Iterable[Fact | Record] | str | Path, encoding: str) -> list[Fact | Record]:
    if isinstance(what, (Fact, Record)):
        return [what]
    if isinstance(what, (str, Path)):
        from factlens.evaluation.datasets import load_records

        return list(load_records(what, encoding=encoding))
    expected = "an edit, facts with targets, records, or the name of a data set"
    return list(items("what", what, expected, example="factlens.load_records('atlas-facts')"))


def _records(what: Sequence[Fact | Record], checks: Checks | Sequence[Checks] | None) -> list[Record]:
    """Return a record for everything that is to be judged."""
    if not what:
        raise FactError("There is nothing to judge: give an edit, facts with targets, or records.")
    for number, one in enumerate(what):
        if not isinstance(one, (Fact, Record)):
            raise ArgumentError(
                f"what[{number}] must be a factlens.Fact or a Record: these are judged, not {type(one).__name__} "
                f"{shown(one)}."
            )
    listed: list[Checks | None] = [None] * len(what)
    if checks is not None:
        expected = "factlens.Checks: one, or a list with one for each fact"
        each = [checks] if isinstance(checks, Checks) else items("checks", checks, expected)
        listed = [instance(f"checks[{i}]", one, Checks, "a factlens.Checks") for i, one in enumerate(each)]
        if len(listed) != len(what):
            raise FactError(f"There are {len(listed)} checks for {len(what)} facts: give one for each.")
    records = []
    for number, (one, asked) in enumerate(zip(what, listed, strict=True)):
        if isinstance(one, Record):
            records.append(one if asked is None else replace(one, checks=asked))
        else:
            asked = atlas_checks(one) if asked is None else asked
            records.append(Record(one, asked, f"{number}: {one.prompt}" if len(what) > 1 else one.prompt))
    return records


def _plans(
    method: str | Sequence[str] | Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return what to pass to `edit`, by label."""
    if isinstance(method, Mapping):
        expected, example = (
            "settings for factlens.edit",
            f"{{'layer 3': {{'method': {DEFAULT_METHOD!r}, 'layers': 3}}}}",
        )
        plans = {}
        for label, settings in method.items():
            settings = instance(f"method[{shown(label)}]", settings, Mapping, f"a mapping with {expected}")
            plans[a_text("method", label, example=example)] = {**options, **settings}
    else:
        names = [method] if isinstance(method, str) else some_texts("method", method, example=shown(list(METHODS)[:2]))
        plans = {name: {**options, "method": name} for name in names}
    if not plans:
        raise ArgumentError(f"method names no method to judge. There is {', '.join(METHODS)}.")
    # A text is opened once, and not again for every edit.
    return {label: {**plan, **_opened(plan)} for label, plan in plans.items()}


def _opened(plan: Mapping[str, Any]) -> dict[str, Corpus]:
    """Return the text for a plan's second moments, if it names one."""
    moments = some_moments("moments", plan.get("moments"))
    return {"moments": moments} if isinstance(moments, Corpus) else {}


def _checked(model: Model, plan: Mapping[str, Any], way: Way, records: int) -> dict[str, Any]:
    """Return method, layers and every setting of a plan; what makes no sense for any record is refused."""
    for name in plan:
        if not isinstance(name, str) or name in ("apply", "progress", "stop"):
            raise ArgumentError(
                f"{shown(name)} cannot be a setting of edits that are judged, which are made and taken back here. "
                "Settings are method, layers, moments, and those of the method."
            )
    settings = dict(plan)
    method, layers = settings.pop("method", DEFAULT_METHOD), settings.pop("layers", None)
    settings.pop("moments", None)
    layers, hparams = settle(model, method, layers, settings)
    if way == "at once" and METHODS[method].most_facts == 1 and records > 1:
        raise FactError(f"{method} stores one fact at a time: way='at once' is for methods that store many.")
    return {"method": method, "layers": layers, **asdict(hparams)}
