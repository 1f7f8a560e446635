"""Averages over many traces: effects by the role a token plays in its prompt, as in Meng et al. (2022), Figure 2."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np
import xarray as xr

from factlens.arguments import a_text, flag, fraction, items, shown
from factlens.drawing.exporting import Exported
from factlens.drawing.html import as_image
from factlens.drawing.look import LOOK, Look, LookOptions
from factlens.drawing.numbers import counted
from factlens.drawing.tables import Table
from factlens.errors import ArgumentError, FactError, Interrupted
from factlens.facts import Fact, read_fact
from factlens.formats import Format
from factlens.signatures import taking
from factlens.tracing.captions import average_caption
from factlens.tracing.metrics import MOST, TraceMetric, check_metric, metric_of, own_metric, read_trace_metric
from factlens.tracing.picture import average_svg, plot_average, plot_average_lines
from factlens.tracing.protocol import (
    WINDOW_CONVENTIONS,
    Noise,
    corruption_record,
    read_corruption,
)
from factlens.tracing.result import Trace
from factlens.tracing.sites import Site, read_kind, site_of
from factlens.tracing.statistics import mean_interval
from factlens.tracing.tables import average_table
from factlens.typed import Array, Check, arrays, many, one_of, optional, record, text, whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ROLES = (
    "first subject token",
    "middle subject tokens",
    "last subject token",
    "first subsequent token",
    "further tokens",
    "last token",
)
"""What a token can be to its prompt; see `tokens_of_roles`."""


def tokens_of_roles(
    tokens: int, subject_range: tuple[int, int], template: Iterable[int] = ()
) -> tuple[Sequence[int], ...]:
    """Return the tokens that play each of `ROLES` in a prompt, as the published notebook of averages counts them.

    A token may play two roles: the only token of a subject is its first and its last; a single token after the
    subject is the first subsequent and the last; and in a prompt that ends with its subject, the subject's last token
    is the last token too (there are no subsequent ones then; the notebook knows no such prompt). Tokens before the
    subject, such as a beginning-of-sequence token, play none: nothing there is corrupted, so every effect is zero.

    Parameters
    ----------
    tokens
        Length of the prompt.
    subject_range
        The subject's tokens, ``[start, stop)``.
    template
        The tokens that a chat template put around what is said. They play none of these roles (their role is
        ``"template"``, which is not averaged), but for the prompt's last token, where the answer is read.
    """
    start, stop = subject_range
    last = tokens - 1
    around = set(template)
    behind = [token for token in range(stop, tokens) if token not in around]
    return (
        range(start, start + 1),
        range(start + 1, stop - 1),
        range(stop - 1, stop),
        behind[:1],
        [token for token in behind[1:] if token != last],
        range(last, tokens),
    )


@dataclass(frozen=True)
class Skipped:
    """A fact that was left out of an average.

    Attributes
    ----------
    fact
        The fact.
    reason
        Why: that the model does not know it, or what makes it unusable.
    answer
        What the model answers in place of the fact's object; None where the fact was left out for another reason.
    """

    fact: Fact
    reason: str
    answer: str | None = None


class RolePeak(NamedTuple):
    """The role and layer with the largest average effect."""

    role: str
    layer: int
    effect: float


@dataclass(eq=False)
class Average(Exported):
    """Causal tracing over many facts: average total and indirect effects (ATE, AIE; Meng et al. 2022, Section 2.1).

    Attributes
    ----------
    facts, answers
        The facts averaged over, and the answer that was measured for each.
    each
        What every fact contributes. ``effect``, dims ``(fact, kind, role, layer)``, float32: the fact's mean
        indirect effect over its tokens of a role, NaN where it has none. ``tokens``, dims ``(fact, role)``: how many
        those are. ``best``, dims ``(fact, kind)``: its largest effect in any cell. ``high`` and ``low``, dims
        ``(fact,)``.
    model, fingerprint
        Name and fingerprint of the model.
    edits, edit_ids
        The edits that its weights carried, as in `Trace`.
    metric, own_metric
        What was measured, as in `Trace`; effects are in its unit.
    window, window_convention
        Layers restored together for ``mlp`` and ``attn``, as in `Trace`.
    corruption
        The noise on the subjects; None where they were replaced by others.
    skipped
        The facts that were left out, and why.
    """

    facts: tuple[Fact, ...]
    answers: tuple[str, ...]
    each: xr.Dataset
    model: str
    fingerprint: str
    edits: tuple[str, ...]
    edit_ids: tuple[str, ...]
    metric: str
    window: int
    window_convention: str
    corruption: Noise | None
    skipped: tuple[Skipped, ...] = ()
    own_metric: TraceMetric | None = None

    # Derived -----------------------------------------------------------------------------------------------------

    @property
    def measure(self) -> TraceMetric:
        """The metric, as in `Trace`."""
        return metric_of(self)

    @property
    def n(self) -> int:
        """Number of facts averaged over."""
        return len(self.facts)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of state that were traced."""
        return tuple(str(kind) for kind in self.each["kind"].values)

    @property
    def sites(self) -> tuple[Site, ...]:
        """What was restored for each of the kinds."""
        return tuple(map(site_of, self.kinds))

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return int(self.each.sizes["layer"])

    @property
    def high(self) -> float:
        """Mean of the metric over the facts' clean runs."""
        return float(self.each["high"].mean())

    @property
    def low(self) -> float:
        """Mean of the metric over the facts' corrupted runs."""
        return float(self.each["low"].mean())

    @property
    def total_effect(self) -> float:
        """The average total effect, ATE: mean of ``high - low`` over the facts."""
        return self.high - self.low

    def total_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval of the average total effect, by Student's t over the n facts."""
        lower, upper = mean_interval((self.each["high"] - self.each["low"]).values, fraction("level", level))
        return float(lower), float(upper)

    @property
    def headline(self) -> str:
        """The average total effect in words, with its 95 % confidence interval where there is one."""
        lower, upper = self.total_interval()
        return f"ATE {self.total_effect:.3f}" + (f" [{lower:.3f}, {upper:.3f}]" if self.n > 1 else "")

    @property
    def effects(self) -> xr.DataArray:
        """Average indirect effects, AIE: dims ``(kind, role, layer)``; NaN for a role that no token plays.

        Every token of a role counts once, as published, so a subject of five tokens has three votes among the middle
        subject tokens, and one of two has none. Each effect is a fact's own ``score - low``. (The published notebook
        subtracts one mean `low` from the mean score; that differs for middle and further tokens only, where facts
        have unequal numbers of votes, and is ``average.scores - average.low`` here.)
        """
        values, weights = self._weighted()
        return self._grid(_mean(values, weights[:, None, :, None])).rename("effect")

    @property
    def scores(self) -> xr.DataArray:
        """The metric in the restored runs, over the same tokens as `effects`: dims ``(kind, role, layer)``."""
        _, weights = self._weighted()
        low = _mean(self.each["low"].values[:, None], weights)
        return (self.effects + xr.DataArray(low, dims="role")).rename("score")

    def interval(self, level: float = 0.95) -> xr.DataArray:
        """Return confidence intervals of `effects` over facts.

        What is drawn at random is the fact, not the token: tokens of one prompt are no independent observations, so
        n is the number of facts that have a token of the role (`facts_counted`). Where each of them has one, this is
        Student's interval for a mean. For middle subject tokens and further tokens `effects` is a ratio of two sums
        over facts (of effects, and of tokens), and its variance is that of the ratio estimator with facts as clusters
        (Cochran 1977, Sampling Techniques, Chapter 2), with n - 1 degrees of freedom. The centre is `effects` in any
        case; with fewer than two facts every bound is NaN. What the finite number of noise samples adds to a fact's
        effect is part of the scatter between facts, and so of the interval.

        Parameters
        ----------
        level
            Share of intervals that cover the mean over all facts of this sort.

        Returns
        -------
        xarray.DataArray
            Dims ``(bound, kind, role, layer)``; `bound` is ``"lower"`` and ``"upper"``.
        """
        from scipy.stats import t

        values, weights = self._weighted()
        weights = weights[:, None, :, None]
        mean = _mean(values, weights)
        count = (weights > 0).sum(0)
        free = np.where(count > 1, count - 1, np.nan)
        squares = ((weights * (values - mean)) ** 2).sum(0)
        half = t.ppf((1 + fraction("level", level)) / 2, free) * np.sqrt(squares * count / free) / weights.sum(0)
        bounds = [self._grid(mean - half), self._grid(mean + half)]
        return xr.concat(bounds, dim="bound").assign_coords(bound=["lower", "upper"]).rename("effect")

    @property
    def count(self) -> xr.DataArray:
        """How many tokens play each role in all the prompts together: dims ``(role,)``."""
        return self.each["tokens"].sum("fact").rename("count")

    @property
    def facts_counted(self) -> xr.DataArray:
        """How many facts have a token of each role, the n of `interval`: dims ``(role,)``."""
        return (self.each["tokens"] > 0).sum("fact").rename("facts_counted")

    @property
    def best(self) -> xr.DataArray:
        """Mean over facts of the largest effect of any of a fact's cells: dims ``(kind,)``.

        What the best choice of token and layer for each fact would bring back, rather than one choice for all (Meng
        et al. 2022, Appendix B). For ``"state"``, and answers of one token, it is at least `total_effect`: the last
        token's state after the last layer is the answer itself.
        """
        return self.each["best"].mean("fact")

    def peak(self, kind: str = "mlp") -> RolePeak:
        """Return the role and layer with the largest average effect of a kind.

        Raises
        ------
        FactError
            If that kind was not traced.
        """
        kind = a_text("kind", kind, example="'mlp'")
        if kind not in self.kinds:
            raise FactError(f"The kind {kind!r} was not traced; there are {', '.join(self.kinds)}.")
        grid = self.effects.sel(kind=kind).values
        role, layer = (int(i) for i in np.unravel_index(np.nanargmax(self.measure.better * grid), grid.shape))
        return RolePeak(ROLES[role], layer, float(grid[role, layer]))

    def skipped_reasons(self) -> dict[str, int]:
        """Return how many facts were left out for each reason, the most frequent first."""
        return _reasons(self.skipped)

    def _weighted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return effects, zero where NaN, and their weights: ``(n, kinds, roles, layers)`` and ``(n, roles)``."""
        values = self.each["effect"].values.astype(np.float64)
        return np.where(np.isnan(values), 0.0, values), self.each["tokens"].values.astype(np.float64)

    def _grid(self, values: np.ndarray) -> xr.DataArray:
        one = self.each["effect"].isel(fact=0, drop=True)
        return xr.DataArray(values, dims=one.dims, coords=one.coords)

    # Elsewhere ---------------------------------------------------------------------------------------------------

    def to_dataframe(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row per kind, role and layer: effect, its confidence interval, and the facts and tokens in it."""
        bounds = self.interval(level)
        columns = {
            "effect": self.effects,
            "lower": bounds.sel(bound="lower", drop=True),
            "upper": bounds.sel(bound="upper", drop=True),
            "facts": self.facts_counted,
            "tokens": self.count,
        }
        frame = xr.Dataset(columns).to_dataframe(dim_order=["kind", "role", "layer"]).reset_index()
        return frame[["kind", "role", "layer", *columns]]

    def caption(self) -> str:
        """Return what a figure should say below itself: model, facts, every setting, the average total effect."""
        return average_caption(self)

    @taking(LOOK)
    def plot(self, *, lines: bool = False, level: float = 0.95, **look: Unpack[LookOptions]) -> Figure:
        """Draw the average indirect effects by role, in the manner of the paper's Figure 2; needs ``factlens[plot]``.

        One heatmap per kind, all on one scale that begins at zero: negative averages are as pale as zero, as
        published.

        Parameters
        ----------
        lines
            Draw them by layer instead, as `plot_lines` does.
        level
            Of the lines' confidence intervals.
        **look
            Size, letters and colours for a paper; see `factlens.drawing.look.Look`.
        """
        asked, level = Look.of(look), fraction("level", level)
        return plot_average_lines(self, level, asked) if flag("lines", lines) else plot_average(self, asked)

    @taking(LOOK)
    def plot_lines(self, level: float = 0.95, **look: Unpack[LookOptions]) -> Figure:
        """Draw the same by layer, one line per role with its confidence band; needs ``factlens[plot]``.

        Parameters
        ----------
        level
            Of the confidence intervals.
        **look
            As for `plot`.
        """
        return plot_average_lines(self, fraction("level", level), Look.of(look))

    def _frame(self) -> pd.DataFrame:
        return self.to_dataframe()

    def _table(self, part: str | None) -> Table:
        return average_table(self, part)

    def save(self, path: str | Path) -> Path:
        """Write the average, with what each fact contributes, to one safetensors file; its header is JSON."""
        return _FORMAT.write(
            path,
            self,
            {name: self.each[name].values for name in _ARRAYS},
            facts=[asdict(fact) for fact in self.facts],
            skipped=[{**vars(left_out), "fact": asdict(left_out.fact)} for left_out in self.skipped],
            own_metric=None if self.own_metric is None else self.own_metric.described(),
            corruption=None if self.corruption is None else corruption_record(self.corruption),
        )

    @classmethod
    def load(cls, path: str | Path) -> Average:
        """Read a saved average; needs neither torch nor the model.

        Raises
        ------
        FileFormatError
            If the file is not an average written by `save`, is damaged, or comes from another version's format.
        """
        with _FORMAT.reading(path) as (fields, numbers):
            facts, kinds = fields["facts"], fields.pop("kinds")
            sizes = {"fact": len(facts), "kind": len(kinds), "role": len(ROLES)}
            numbers = arrays(numbers, _ARRAYS, sizes)
            if len(fields["edit_ids"]) != len(fields["edits"]):
                raise ValueError(f"it names {len(fields['edits'])} edits, but {len(fields['edit_ids'])} ids")
            if len(fields["answers"]) != len(facts):
                raise ValueError(f"it has {len(fields['answers'])} answers for {counted(len(facts), 'fact')}")
            if fields["corruption"] is not None and not isinstance(fields["corruption"], Noise):
                raise ValueError("it names one replacement for all facts")
            if (np.isnan(numbers["effect"]) != (numbers["tokens"] == 0)[:, None, :, None]).any():
                raise ValueError("its effects do not fit the tokens that play each role")
            loaded = cls(each=_label(numbers, facts, kinds), **fields)
            check_metric(loaded)
            return loaded

    def __repr__(self) -> str:
        left_out = f" ({len(self.skipped)} left out)" if self.skipped else ""
        return (
            f"<factlens.Average over {counted(self.n, 'fact')}{left_out} on {self.model!r}, {len(self.kinds)} kinds × "
            f"{len(ROLES)} roles × {self.n_layers} layers, {self.headline}>"
        )

    def _svg(self) -> str:
        return average_svg(self)

    def _repr_html_(self) -> str:
        return as_image(self._svg(), f"Causal tracing averaged over {len(self.facts)} facts")


# What a file must hold.
_SKIPPED = record({"fact": read_fact, "reason": text, "answer": optional(text)})
_FIELDS: dict[str, Check] = {
    "facts": many(read_fact, least=1),
    "skipped": many(lambda value: Skipped(**_SKIPPED(value))),
    "corruption": optional(read_corruption),
    "kinds": many(read_kind, least=1, unique=True),
    "own_metric": optional(read_trace_metric),
    "answers": many(text),
    "model": text,
    "fingerprint": text,
    "edits": many(text),
    "edit_ids": many(text),
    "metric": text,
    "window": whole(1),
    "window_convention": one_of(*WINDOW_CONVENTIONS),
}
_FORMAT = Format("factlens.average", "average", 3, _FIELDS, {3: ("own_metric",)})
_ARRAYS = {
    # NaN for a role that no token plays.
    "effect": Array(("fact", "kind", "role", "layer"), nan=True, largest=MOST),
    "tokens": Array(("fact", "role"), ("int64", "int32"), least=0),
    "best": Array(("fact", "kind"), largest=MOST),
    "high": Array(("fact",), largest=MOST),
    "low": Array(("fact",), largest=MOST),
}


def average(traces: Iterable[Trace | Skipped]) -> Average:
    """Average traces of many facts by the role of each token.

    Only one trace is in memory at a time where they come from a generator, as from `factlens.trace_many`.

    Parameters
    ----------
    traces
        Complete traces, all made alike: of one model with the same edits, with the same kinds, metric, window and
        noise. (Replacements may differ, since each subject has its own.) What `factlens.trace_many` skipped may be
        among them, and is counted in `Average.skipped`.

    Raises
    ------
    FactError
        If there is no trace, one is incomplete, or two differ in how they were made; the message says in what.
    WrongModel
        If two are of different models, or were made with different edits applied.
    Interrupted
        On the kernel's interrupt; its ``partial`` is the average over the traces so far, or None.
    """
    first: Trace | None = None
    parts: list[_Part] = []
    skipped: list[Skipped] = []
    each = items("traces", traces, "traces in a list, or from factlens.trace_many", example="[trace, another]")
    try:
        for trace in each:
            if isinstance(trace, Skipped):
                skipped.append(trace)
                continue
            first = trace if first is None else first
            _check_alike(first, trace)
            parts.append(_Part.of(trace))
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"Averaging was stopped after {counted(len(parts), 'fact')}; the average so far is in the exception's "
            ".partial.",
            None if first is None or not parts else _average(first, parts, skipped),
        ) from error
    if first is None and skipped:
        reasons = "\n".join(f"  {count} × {reason}" for reason, count in _reasons(skipped).items())
        raise FactError(f"None of {counted(len(skipped), 'fact')} could be traced:\n{reasons}")
    if first is None:
        raise FactError("There is nothing to average: no trace was given.")
    return _average(first, parts, skipped)


class _Part(NamedTuple):
    """What is kept of one trace."""

    fact: Fact
    answer: str
    arrays: dict[str, Any]

    @classmethod
    def of(cls, trace: Trace) -> _Part:
        """Average a trace's grids over the tokens of each role."""
        grids = trace.samples.values.mean(-1, dtype=np.float64) - trace.low
        roles = tokens_of_roles(len(trace.tokens), trace.subject_range, trace.template_tokens)
        better = trace.measure.better
        effect = np.full((len(grids), len(ROLES), trace.n_layers), np.nan, np.float32)
        for i, tokens in enumerate(roles):
            if tokens:
                effect[:, i] = grids[:, list(tokens)].mean(1)
        arrays = {
            "effect": effect,
            "tokens": np.array([len(tokens) for tokens in roles]),
            "best": better * (better * grids).max((1, 2)),
            "high": trace.high,
            "low": trace.low,
        }
        return cls(trace.fact, trace.shown_answer, arrays)


def _average(first: Trace, parts: Sequence[_Part], skipped: Sequence[Skipped]) -> Average:
    facts = tuple(part.fact for part in parts)
    stacked = {name: np.stack([part.arrays[name] for part in parts]) for name in _ARRAYS}
    return Average(
        facts=facts,
        answers=tuple(part.answer for part in parts),
        each=_label(stacked, facts, first.kinds),
        model=first.model,
        fingerprint=first.fingerprint,
        edits=first.edits,
        edit_ids=first.edit_ids,
        metric=first.metric,
        own_metric=own_metric(first.measure),
        window=first.window,
        window_convention=first.window_convention,
        corruption=first.corruption if isinstance(first.corruption, Noise) else None,
        skipped=tuple(skipped),
    )


def _label(numbers: dict[str, np.ndarray], facts: Sequence[Fact], kinds: Sequence[str]) -> xr.Dataset:
    """Give the arrays their dimensions and coordinates; raise ValueError if they do not fit."""
    return xr.Dataset(
        {name: (array.dims, numbers[name]) for name, array in _ARRAYS.items()},
        coords={
            "fact": np.arange(len(facts)),
            "kind": list(kinds),
            "role": list(ROLES),
            "layer": np.arange(numbers["effect"].shape[-1]),
            # Two facts may share a prompt, so prompts label the dimension but do not index it.
            "prompt": ("fact", [fact.prompt for fact in facts]),
        },
    )


def _check_alike(first: Trace, trace: Trace) -> None:
    """Raise an error unless a trace is complete and was made on the same weights and in the same way as the first."""
    if not isinstance(trace, Trace):
        raise ArgumentError(f"traces must be factlens.Trace objects: only these can be averaged, not {shown(trace)}.")
    if not trace.complete:
        raise FactError(f"The trace of {trace.fact.prompt!r} is incomplete; trace the fact again to the end.")
    if (first.fingerprint, first.edit_ids) != (trace.fingerprint, trace.edit_ids):
        # Here and not above: averages are read where there is no torch.
        from factlens.models.belonging import Weights, check_belongs

        check_belongs(
            Weights(first.model, first.fingerprint, first.edit_ids, first.edits),
            f"The trace of {_short(trace.fact.prompt)!r}",
            name=trace.model,
            fingerprint=trace.fingerprint,
            edit_ids=trace.edit_ids,
            labels=trace.edits,
            other=f"the trace of {_short(first.fact.prompt)!r}",
        )
    ours, others = _ways(first), _ways(trace)
    for name, value in ours.items():
        if value != others[name]:
            raise FactError(
                f"Traces that were made differently cannot be averaged: the {name} is {_short(value)} for "
                f"{first.fact.prompt!r}, but {_short(others[name])} for {trace.fact.prompt!r}."
            )


def _ways(trace: Trace) -> dict[str, Any]:
    """Return what traces must have in common to be averaged, by what it is called."""
    noise = isinstance(trace.corruption, Noise)
    return {
        "number of layers": trace.n_layers,
        "list of kinds": trace.kinds,
        "metric": trace.metric if trace.own_metric is None else repr(trace.own_metric),
        "window": trace.window,
        "window_convention": trace.window_convention,
        "corruption": trace.corruption if noise else "a replacement",
    }


def _short(value: object) -> str:
    return textwrap.shorten(value if isinstance(value, str) else repr(value), 120, placeholder=" ...")


def _reasons(skipped: Iterable[Skipped]) -> dict[str, int]:
    return dict(Counter(left_out.reason for left_out in skipped).most_common())


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean over the first axis; NaN where the weights add up to zero."""
    total = weights.sum(0)
    return np.asarray((weights * values).sum(0) / np.where(total > 0, total, np.nan))
