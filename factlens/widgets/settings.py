"""The drawer of settings on the page: its fields as data, and what each stands for in Python.

A field shows one setting of the session, or a part of one: the size of the noise is a part of `corruption`. The page
sends a field's text as it stands there; what it means is read here, and refused in the words of Python's own checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from factlens.arguments import shown
from factlens.errors import ArgumentError, FactError
from factlens.models import Model
from factlens.session import SETTINGS, Session
from factlens.tracing.estimates import ESTIMATES
from factlens.tracing.metrics import METRICS, TraceMetric
from factlens.tracing.options import DEFAULTS
from factlens.tracing.protocol import NOISE_SHAPES, WINDOW_CONVENTIONS, Noise, Replacement
from factlens.tracing.recipe import code_for
from factlens.tracing.sites import SITES, find_site
from factlens.tracing.windows import default_window

Choice = tuple[str, str]
"""A value, and what it is called."""
Shown = str | bool | list[str]
"""What a field holds: a text, a switch, or the names that are ticked."""

_ALL, _NONE, _BETWEEN = "all", "none", ";"
_MIB = 2**20
WATCHED = (*SETTINGS, "refused", "fact", "trace", "edits", "base")


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes
    ----------
    name, setting
        Its name, and the setting that it is, or is a part of.
    group
        The heading that it stands under.
    title, help
        What it is called, and what it does in one line.
    show
        From the setting to what the field holds.
    read
        From the session and what the page sends to the setting.
    choices
        What there is to choose from, of the session; None for a field that is written in.
    form
        ``"text"``, ``"choice"`` (one of some), ``"ticks"`` (any of some), ``"switch"``.
    empty
        What an empty field means, in words, of the model.
    applies
        Whether it is there.
    lacks
        What is missing in it, in words.
    suggested
        Texts to take with a click.
    """

    name: str
    setting: str
    group: str
    title: str
    help: str
    show: Callable[[Any], Shown]
    read: Callable[[Session, Any], Any]
    form: str = "text"
    choices: Callable[[Session], Sequence[Choice]] | None = None
    empty: Callable[[Model], str] = lambda _: ""
    applies: Callable[[Session], bool] = lambda _: True
    lacks: Callable[[Session], str] = lambda _: ""
    suggested: Callable[[Session], Sequence[str]] = lambda _: ()

    def described(self, session: Session) -> dict[str, Any]:
        """Return the field as the page draws it."""
        refused = session.refused.get(self.name)
        return {
            **{part: getattr(self, part) for part in ("name", "group", "title", "help", "form")},
            "value": self.show(getattr(session, self.setting)) if refused is None else refused["value"],
            "error": (self.lacks(session) or None) if refused is None else refused["text"],
            "choices": [{"value": value, "title": title} for value, title in self.choices(session)]
            if self.choices
            else [],
            "empty": self.empty(session.model),
            "suggested": list(self.suggested(session)),
        }


def settings_state(session: Session) -> dict[str, Any]:
    """Return what the drawer shows."""
    there = [field for field in FIELDS if field.applies(session)]
    return {
        "fields": [field.described(session) for field in there],
        "changed": [text for field in there if (text := _changed(field, session))],
        "stale": session.set_otherwise,
        "code": None if session.fact is None else code_for(session.weights, session.fact, session.options),
    }


def set_field(session: Session, name: str, value: Any) -> None:
    """Set what a field of the drawer stands for; what cannot be is refused, and said at the field."""
    field = next((field for field in FIELDS if field.name == name), None)
    if field is None:
        raise FactError(f"There is no setting {shown(name)}.")
    with session.gate:
        session.check_open()
        try:
            setattr(session, field.setting, field.read(session, _plain(value)))
        except FactError as error:
            session.refuse(name, field.setting, value, str(error))
        else:
            session.accept(field.setting)  # also where it is as it was


def _plain(value: Any) -> Shown:
    """Return what the page sends, if a field can hold it."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return value
    raise FactError(f"A setting is a text, a switch or a list of names, not {shown(value)}.")


def _changed(field: Field, session: Session) -> str:
    """Return in words what a field holds, if that is not what it holds by itself."""
    value = field.show(getattr(session, field.setting))
    if value == field.show(DEFAULTS[field.setting]):
        return ""
    titles = dict(field.choices(session)) if field.choices else {}
    if isinstance(value, bool):
        return field.title
    words = [titles.get(one, one) for one in (value if isinstance(value, list) else [value])]
    return f"{field.title}: {' + '.join(words) or _NONE}"


# Texts and numbers ----------------------------------------------------------------------------------------------------


def _number(text: Any) -> Any:
    """Return the number that a text is; any other text as it is, for the check to refuse."""
    for kind in (int, float):
        try:
            return kind(str(text).replace(",", "."))
        except ValueError:
            continue
    return text


def _or_none(read: Callable[[Any], Any]) -> Callable[[Session, Any], Any]:
    return lambda _, text: None if text == "" else read(text)


def _text(value: object) -> str:
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


def _words(session: Session, name: str, text: str) -> Any:
    """Return an answer that is written in a field; one that stands there unchanged may be an exact one."""
    present = getattr(session, name)
    return present if text == _text(present) else text or None


# Kinds ----------------------------------------------------------------------------------------------------------------


def _is_head(kind: str) -> bool:
    site = find_site(kind)
    return site is not None and site.by_head


def _kinds(session: Session, chosen: Any) -> list[str]:
    order = {name: place for place, name in enumerate(SITES)}
    return [*sorted(chosen, key=lambda name: order.get(name, 0)), *filter(_is_head, session.kinds)]


def _heads(kinds: Sequence[str]) -> str:
    heads = [kind.partition(".")[2] for kind in kinds if _is_head(kind)]
    return _ALL if "" in heads else ", ".join(heads)


def _with_heads(session: Session, text: str) -> list[str]:
    others = [kind for kind in session.kinds if not _is_head(kind)]
    site = next(name for name, each in SITES.items() if each.by_head)
    if text.lower() == _ALL:
        return [*others, site]
    numbers = text.replace(",", " ").split()
    if not all(number.isdecimal() for number in numbers):
        raise ArgumentError(f"heads must be numbers such as 0, 3, or {_ALL}, not {shown(text)}.")
    return [*others, *(f"{site}.{int(number)}" for number in numbers)]


# Corruption -----------------------------------------------------------------------------------------------------------


def _noise(corruption: Any) -> Noise:
    return corruption if isinstance(corruption, Noise) else Noise()


def _noisy(session: Session) -> bool:
    return not _replaced(session)


def _replaced(session: Session) -> bool:
    return isinstance(session.corruption, Replacement)


def _sort(session: Session, sort: str) -> Noise | Replacement | None:
    if sort == "noise":
        return session.corruption if isinstance(session.corruption, Noise) else None
    if sort != "replacement":
        raise ArgumentError(f"The subject is corrupted by noise or by a replacement, not by {shown(sort)}.")
    if isinstance(session.corruption, Replacement):
        return session.corruption
    if session.fact is None:
        raise FactError("Write down a fact first: then other subjects for it can be named.")
    if not session.other_subjects:
        raise FactError(
            "No name that comes with factlens has as many tokens as this subject. Set one in Python: "
            "lens.corruption = fl.Replacement('The Eiffel Tower')."
        )
    return Replacement(session.other_subjects[0])


def _part(name: str, read: Callable[[Any], Any]) -> Callable[[Session, Any], Noise]:
    """Return what sets a part of the noise."""
    return lambda session, text: replace(_noise(session.corruption), **{name: read(text)})


def _names(text: str) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(_BETWEEN) if name.strip()) or None


def _no_contrast(session: Session) -> str:
    needed = session.measured.contrasted and session.contrast is None
    return "This metric needs an answer to compare with." if needed else ""


# The fields -----------------------------------------------------------------------------------------------------------


def _called(names: Mapping[str, str]) -> Callable[[Session], Sequence[Choice]]:
    return lambda _: list(names.items())


def _metrics(session: Session) -> Sequence[Choice]:
    own = [] if isinstance(session.metric, str) else [(session.metric.name, session.metric.title)]
    return [*((name, metric.title) for name, metric in METRICS.items()), *own]


def _metric(session: Session, name: Any) -> str | TraceMetric:
    mine = session.metric
    return mine if isinstance(mine, TraceMetric) and mine.name == name else str(name)


def _compares(session: Session) -> bool:
    return session.measured.contrasted is not False


_GRIDS, _RUNS = "What is restored", "How the subject is corrupted"
_MEASURED, _COMPUTED = "What is measured", "How it is computed"
FIELDS = (
    Field(
        "kinds", "kinds", _GRIDS, "kinds", "One grid for each; a severed path leaves a module at its corrupted output.",
        lambda kinds: [kind for kind in kinds if not _is_head(kind)], _kinds, "ticks",
        lambda _: [(name, site.title) for name, site in SITES.items() if not site.by_head],
    ),
    Field(
        "heads", "kinds", _GRIDS, "attention heads", "One grid for each: numbers such as 0, 3, or all.",
        _heads, _with_heads, empty=lambda _: _NONE, applies=lambda session: session.model.n_heads is not None,
    ),
    Field(
        "window", "window", _GRIDS, "window", "Neighbouring layers whose MLPs or attentions are restored together.",
        _text, _or_none(_number), empty=lambda model: f"{default_window(model.n_layers)}, for this model",
    ),
    Field(
        "window_convention", "window_convention", _GRIDS, "side of an even window",
        "An even window reaches one layer further down (published code) or up (published text).",
        str, lambda _, text: text, "choice",
        _called(dict(zip(WINDOW_CONVENTIONS, ("as in the code", "as in the paper"), strict=True))),
    ),
    Field(
        "corruption", "corruption", _RUNS, "corrupted by", "What the corrupted runs read in the subject's place.",
        lambda corruption: "replacement" if isinstance(corruption, Replacement) else "noise", _sort, "choice",
        _called({"noise": "noise", "replacement": "another subject"}),
    ),
    Field(
        "subject", "corruption", _RUNS, "other subject", "Written in its place; best with as many tokens.",
        lambda corruption: getattr(corruption, "subject", ""), lambda _, text: Replacement(text), applies=_replaced,
        suggested=lambda session: session.other_subjects,
    ),
    Field(
        "samples", "samples", _RUNS, "samples", "Corrupted runs; auto: as many as tell the leading cells apart.",
        _text, lambda _, text: _number(text), applies=_noisy,
    ),
    Field(
        "multiple", "corruption", _RUNS, "noise, in σ", "Its size, in spreads of the embeddings.",
        lambda corruption: _text(_noise(corruption).multiple), _part("multiple", _number),
        applies=lambda session: _noisy(session) and _noise(session.corruption).level is None,
    ),
    Field(
        "level", "corruption", _RUNS, "noise level", "Its size itself, instead of a number of σ.",
        lambda corruption: _text(_noise(corruption).level),
        _part("level", lambda text: None if text == "" else _number(text)),
        empty=lambda _: "from σ", applies=_noisy,
    ),
    Field(
        "subjects", "corruption", _RUNS, "σ over", "Names whose tokens' spread is σ, with semicolons between them.",
        lambda corruption: f"{_BETWEEN} ".join(_noise(corruption).subjects or ()), _part("subjects", _names),
        empty=lambda _: "the subject", applies=_noisy,
    ),
    Field(
        "shape", "corruption", _RUNS, "distribution", "Of the noise; the published one is Gaussian.",
        lambda corruption: _noise(corruption).shape, _part("shape", str), "choice",
        _called({name: name for name in NOISE_SHAPES}), applies=_noisy,
    ),
    Field(
        "replace", "corruption", _RUNS, "instead of the embeddings", "The noise takes their place; else it is added.",
        lambda corruption: _noise(corruption).replace, _part("replace", lambda on: on), "switch", applies=_noisy,
    ),
    Field("seed", "seed", _RUNS, "seed", "Of the noise.", _text, lambda _, text: _number(text), applies=_noisy),
    Field(
        "metric", "metric", _MEASURED, "metric", "The number that a cell brings back.",
        lambda metric: getattr(metric, "name", metric), _metric, "choice", _metrics,
    ),
    Field(
        "answer", "answer", _MEASURED, "answer", "Whose number it is; several tokens count together.",
        _text, lambda session, text: _words(session, "answer", text), empty=lambda _: "what the model says",
    ),
    Field(
        "contrast", "contrast", _MEASURED, "contrast", "The answer that it is compared with.",
        _text, lambda session, text: _words(session, "contrast", text), applies=_compares, lacks=_no_contrast,
    ),
    Field(
        "estimate", "estimate", _COMPUTED, "estimate first", "Shown until the exact numbers are there.",
        lambda estimate: estimate or _NONE, lambda _, text: None if text == _NONE else text, "choice",
        lambda _: [*((name, name.replace("_", " ")) for name in ESTIMATES), (_NONE, _NONE)],
    ),
    Field(
        "memory", "memory", _COMPUTED, "memory, in MiB", "At most so much for one sweep; the numbers stay the same.",
        lambda memory: "" if memory is None else f"{memory / _MIB:.10g}",
        _or_none(lambda text: size if isinstance(size := _number(text), str) else round(size * _MIB)),
        empty=lambda _: "what there is",
    ),
)  # fmt: skip
