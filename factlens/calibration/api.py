"""`calibrate`: which layers and settings edit this model best, measured on facts that it knows."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Event
from typing import Any

from factlens.arguments import a_seed, event, flag, function, optional, some_texts
from factlens.bar import by_itself
from factlens.calibration.known import find_known, split
from factlens.calibration.places import baseline, candidate_layers, layers_within_memory, mlp_effects
from factlens.calibration.result import Calibration
from factlens.calibration.search import Search, Winner
from factlens.calibration.showing import score_text, useless
from factlens.calibration.trials import Bench, Candidate, Trial, record_id
from factlens.editing.calibrated import CALIBRATED, Choice, calibration_file
from factlens.editing.methods import METHODS
from factlens.errors import ArgumentError, CalibrationWarning, FactError, FactlensError, Interrupted
from factlens.evaluation.datasets.opening import records_or_facts
from factlens.evaluation.records import Record
from factlens.models import Model
from factlens.models.given import a_model, some_layers
from factlens.models.interrupts import interruption_point, stopped_by
from factlens.models.record import ModelEvent, record_of
from factlens.models.settling import settled
from factlens.moments import SecondMoment, default_moments
from factlens.moments.own import collecting
from factlens.progress import Share, Stage, StageShare, words_of
from factlens.timing import Clock, a_time, duration, roughly
from factlens.warned import warn

_BUDGET = 600.0
_FACTS, _TRACED, _SAMPLES = 40, 6, 2
_FEWEST = 6
"""Known facts below which nothing can be said."""
_UNTIL_KNOWN, _UNTIL_TRACED = 0.15, 0.25
"""Shares of the time at which no more facts are asked about, and traced."""


def default_methods() -> tuple[str, ...]:
    """Return the methods that optimise a value, the simplest first.

    Those that put it in at the same place share the values: of two of them the second one takes less time.
    """
    with_value = [name for name in METHODS if METHODS[name].site is not None]
    return tuple(sorted(with_value, key=lambda name: METHODS[name].spreads))


def _in_a_bar(tell: Callable[..., None], arguments: Mapping[str, Any]) -> StageShare:
    """Return what shows the time that has gone by, which is what a calibration is planned by."""
    clock: Clock | None = None

    def report_on(stage: str, _share: float) -> None:
        nonlocal clock
        # Not before the arguments have been checked.
        clock = clock or Clock(a_time("budget", arguments.get("budget", _BUDGET)))
        tell(min(1.0, clock.share), words_of(stage), time_left(clock))

    return report_on


@by_itself("Calibrating", _in_a_bar)
@settled
def calibrate(
    model: Model,
    facts: Any = None,
    *,
    methods: str | Iterable[str] | None = None,
    budget: float | str = _BUDGET,
    layers: int | Sequence[int] | None = None,
    seed: int = 0,
    progress: StageShare | bool | None = None,
    stop: Event | None = None,
    store: bool = True,
) -> Calibration:
    """Measure which layers and settings edit a model best, and keep them for `factlens.edit`.

    No rule says of every model where to edit it, and with which settings. So facts that the model truly knows are
    edited on trial, at several layers and with several settings, each time with the original weights, and judged by S
    (Meng et al. 2022): the harmonic mean of efficacy, paraphrases and neighbourhood. A few of the facts are traced, to
    know around which layers to look. A part of the facts is held out: the choice is made without them, and they say how
    good it is. `factlens.edit` takes the choice from then on, and says so in `Edit.defaults`; a model is
    known by its fingerprint.

    Trials that were made before, with the same facts, are not made again: a second call with more time goes on.

    Parameters
    ----------
    model
        The model. It is measured without the edits that it carries, which are back in force at the end.
    facts
        Where to look for facts that the model knows, as for `factlens.calibration.known_records`. Default: for atlas,
        what it was taught; for every other model, a pool of general knowledge.
    methods
        Which methods, one after the other, each with the same share of the time that is left. Default: those that
        optimise a value, which are ROME, EMMET, MEMIT and AlphaEdit.
    budget
        How long all of it may take: seconds, or a text such as ``"5m"``. It covers finding facts, tracing a few, the
        second moments (of all layers in one pass, once for each model, and kept on disk), and the trials. What has
        begun when it is over is finished, but for the moments: a later call goes on with them.
    layers
        The layers that may be edited. Default: those around the MLP's largest effect, a sixth and a third of the way
        up, some between the others, and the neighbours of the best of these.
    seed
        Of the choice of facts, and of noise.
    progress
        Called with what is being done (``"known facts"``, ``"tracing"``, ``"second moment"``, or a method) and the
        share of it that is done. Default: a bar shows it, in a notebook or a terminal; False: nothing does.
    stop
        Set it from another thread to stop.
    store
        Keep the result in the user's cache, beside what is there of other methods, where `factlens.edit` looks for it.

    Returns
    -------
    Calibration
        The choices, with the evidence.

    Raises
    ------
    ArgumentError
        If a method is unknown, or an argument makes no sense.
    FactError
        If the model knows too few of the facts. The message says how many.
    LayerError
        If the model has no such layer.
    QuantizedModel
        If its weights cannot be edited.
    Interrupted
        If `stop` was set, or on the kernel's interrupt; its ``partial`` is the calibration so far (None before the
        first trial), which is also stored: the next call goes on from there.

    Warns
    -----
    CalibrationWarning
        If the time was too short for a method, or nothing that was tried of it works: nothing is chosen for it then.
        And if the result could not be stored.
    """
    model, seed, store = a_model("model", model), a_seed("seed", seed), flag("store", store)
    if methods is None:
        methods = default_methods()
    example = str(list(default_methods()[:2]))
    names = (methods,) if isinstance(methods, str) else some_texts("methods", methods, example=example)
    names = tuple(dict.fromkeys(names))
    for i, name in enumerate(names):
        METHODS.named("methods" if isinstance(methods, str) else f"methods[{i}]", name)
    if not names:
        raise ArgumentError(f"methods names no method. There is {', '.join(METHODS)}.")
    seconds = a_time("budget", budget)
    facts = None if facts is None else records_or_facts(facts, name="facts")
    allowed = None if layers is None else some_layers(model, "layers", layers)
    progress, stop = optional(function, "progress", progress), optional(event, "stop", stop)
    model.check_editable(0 if allowed is None else allowed[0])
    clock = Clock(seconds)

    tell: StageShare = progress or (lambda _stage, _share: None)

    def share(stage: str, words: str) -> Share:
        named = Stage(stage, words)
        return lambda done: tell(named, done)

    record: _Record | None = None
    try:
        with model.watched(stop), stopped_by(stop), model.unedited():
            asked = find_known(
                model,
                facts,
                _FACTS,
                seed,
                progress=share("known facts", "looking for facts that the model knows"),
                stop=stop,
                late=lambda: clock.share > _UNTIL_KNOWN,
            )
            usable = _usable(model, asked)
            train, held_out = split(usable)
            if len(usable) < _FEWEST or not train:
                raise FactError(_too_few(model, len(usable), facts, late=clock.share > _UNTIL_KNOWN))
            effects = mlp_effects(
                model,
                train[:_TRACED],
                _SAMPLES,
                seed,
                late=lambda: clock.share > _UNTIL_TRACED,
                progress=share("tracing", "tracing some of them"),
                stop=stop,
            )
            likeliest = candidate_layers(effects, model.n_layers, allowed)
            within = layers_within_memory(model, likeliest, allowed)
            record = _Record.begun(model, seed, usable, names, effects)
            needed = any(METHODS[name].needs_moments for name in names)
            stage = collecting(model, within)
            moments = _moments(model, within, clock, share(stage, stage.words), stop) if needed else {}
            bench = Bench(model, moments, record.calibration.trials, record.add)
            for i, name in enumerate(names):
                record.default(baseline(model, name))
                if METHODS[name].needs_moments and not moments:
                    continue
                trying = share(name, f"editing on trial with {METHODS[name].title}")
                left, tick = clock.left / (len(names) - i), _ticking(trying)
                record.choose(name, Search(model, bench, name, likeliest, within, train, held_out, left, tick).run())
                if store:
                    record.store()
            if store:
                _announce(model)
    except KeyboardInterrupt as error:
        if record is not None and store:
            record.store()
            _announce(model)
        partial = None if record is None or not record.calibration.trials else record.calibration
        raise Interrupted("The calibration was stopped; what there is of it is in .partial.", partial) from error
    _warn_of_nothing(record.calibration, names, seconds, store)
    return record.calibration


def time_left(clock: Clock) -> str:
    """Return in words how much time a calibration still has."""
    return f"up to {roughly(clock.left)} left" if clock.left else "finishing what has begun"


def _announce(model: Model) -> None:
    """Tell open lenses to look where edits go by default."""
    record_of(model.model).announce(ModelEvent("calibrated"))


def _warn_of_nothing(calibration: Calibration, names: Sequence[str], seconds: float, store: bool) -> None:
    """Say for which methods nothing is chosen, and why."""
    tried = {name: [trial for trial in calibration.trials if trial.method == name] for name in names}
    without = [name for name in names if name not in calibration.choices]
    failed = [name for name in without if useless(tried[name])]
    if failed:
        nothing = f"Nothing that was tried of {{}} edits facts of {calibration.model} as it should (S is 0), so that "
        nothing += "nothing is chosen."
        warn(
            CalibrationWarning(
                f"{nothing.format(', '.join(failed))} Calibrate another method, or try other layers with layers=[...]; "
                "to_dataframe() shows what was tried.",
                f"{nothing.format(_titles(failed))} Choose another method, and measure that.",
            )
        )
    if short := [name for name in without if name not in failed]:
        nothing = f"{duration(seconds)} were too short to compare settings of {{}}, for which nothing is chosen."
        warn(
            CalibrationWarning(
                f"{nothing.format(', '.join(short))} Give more time, for example "
                f"budget='{max(2, math.ceil(seconds / 30))}m'"
                + ("; what was measured is not measured again." if store else "."),
                f"{nothing.format(_titles(short))} What was measured is kept: measure again, and it goes on from "
                "there.",
            )
        )


def _titles(names: Sequence[str]) -> str:
    return ", ".join(METHODS[name].title for name in names)


class _Record:
    """The calibration so far, and what is stored of it."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self._unwritable = False

    @classmethod
    def begun(
        cls, model: Model, seed: int, records: Sequence[Record], names: Sequence[str], effects: tuple[float, ...]
    ) -> _Record:
        """Begin with what is stored of this model: trials on these facts, and all of other methods."""
        fingerprint, today = model.known_fingerprint, datetime.date.today().isoformat()
        calibration = Calibration(model.name, fingerprint, today, seed, len(records), effects, ())
        try:
            earlier = Calibration.load(calibration_file(fingerprint))
        except (FactlensError, OSError):
            return cls(calibration)
        if earlier.fingerprint != fingerprint:
            return cls(calibration)
        ids = {record_id(record) for record in records}
        trials = tuple(
            trial
            for trial in earlier.trials
            if trial.method not in names or all(result.record in ids for result in trial.results)
        )
        return cls(replace(calibration, trials=trials, choices=earlier.choices, defaults=earlier.defaults))

    def add(self, trial: Trial) -> None:
        self.calibration = replace(self.calibration, trials=(*self.calibration.trials, trial))

    def default(self, candidate: Candidate) -> None:
        choice = Choice(candidate.layers, candidate.settings, "without a calibration")
        self._set("defaults", candidate.method, choice)

    def choose(self, method: str, winner: Winner | None) -> None:
        """Keep what a search ended with; nothing where it has compared too little, or where nothing has worked."""
        if winner is None or not winner.works:
            return
        final = winner.tuned if winner.held_out is None else winner.held_out
        of = "of these" if winner.held_out is None else f"on {len(final.results)} others"
        tuned = f"{self.calibration.made} on {len(winner.tuned.results)} facts"
        source = f"{CALIBRATED} {tuned}: S {score_text(final)} {of}"
        self._set("choices", method, Choice(winner.candidate.layers, winner.candidate.settings, source))

    def _set(self, field: str, method: str, choice: Choice) -> None:
        changed: dict[str, Any] = {field: {**getattr(self.calibration, field), method: choice}}
        self.calibration = replace(self.calibration, **changed)

    def store(self) -> None:
        """Write it where edits look for it; a warning says where that is not possible, once."""
        path = calibration_file(self.calibration.fingerprint)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.calibration.save(path)
        except OSError as error:
            if not self._unwritable:
                reason = getattr(error, "reason", "") or error.strerror or str(error)
                lost = f"The calibration cannot be kept in {path.parent}: {reason}."
                folder = "another folder in the environment variable FACTLENS_CACHE"
                warn(
                    CalibrationWarning(
                        f"{lost} It is returned all the same; save it yourself, or name {folder}.",
                        f"{lost} Name {folder}, start Python again, and measure again.",
                    )
                )
            self._unwritable = True


def _usable(model: Model, records: Sequence[Record]) -> list[Record]:
    """Return the records whose subject ends where a token ends: of others there is no key."""
    return [record for record in records if not model.encode(record.fact).ends_inside]


def _too_few(model: Model, count: int, facts: Any, *, late: bool) -> str:
    where = "the pool of general knowledge" if facts is None and not model.bundled else "the facts given"
    where += " that there was time to ask about" if late else ""
    return (
        f"{model.name} says the objects of {count} facts from {where}, "
        f"and {_FEWEST} are needed to measure anything. {'Give a larger budget. ' if late else ''}"
        "Give facts that it knows, with their objects: facts=[factlens.Fact('{} is in', 'Rome', object='Italy'), ...], "
        "or a file of such facts."
    )


def _moments(
    model: Model, layers: Sequence[int], clock: Clock, progress: Share, stop: Event | None
) -> dict[int, SecondMoment]:
    """Return the second moments of all layers that may be edited, from one pass; none where it lasts beyond the time.

    What was collected of them till then is kept, and the next call goes on from there.
    """
    interruption_point()
    ended = Event()

    def tick(done: float) -> None:
        progress(done)
        if not clock.left or (stop is not None and stop.is_set()):
            ended.set()

    try:
        # The seed is that of the settings, which `factlens.edit` collects with.
        return default_moments(model, layers, seed=0, progress=tick, stop=ended)
    except Interrupted:
        if not ended.is_set() or (stop is not None and stop.is_set()):
            raise
        return {}


def _ticking(progress: Share) -> Callable[[float], None]:
    def tick(done: float) -> None:
        interruption_point()
        progress(done)

    return tick
