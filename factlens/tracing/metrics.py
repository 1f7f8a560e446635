"""What a trace measures: each metric is one value, its function among its parts, registered in one table.

A metric reads logits and gives a number for each run; a cell's effect is how much of that number one restored state
brings back. A user's own is any function of the same arguments, ``factlens.trace(model, fact, metric=my_function)``.

This file asks for no torch, so that a saved trace can be read anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from factlens import typed
from factlens.arguments import a_text, flag, function, optional, refuse
from factlens.errors import MetricError
from factlens.registry import Registry
from factlens.visible import visible

if TYPE_CHECKING:
    from torch import Tensor

MetricFunction = Callable[["Tensor", Sequence[int], Sequence[int]], "Tensor"]
SHARE = "%"
"""The unit of numbers from 0 to 1 that are shown in percent."""
MOST = 1e15
"""No metric is larger than this, nor smaller than its negative: what is computed from it stays within float32."""
read_number = typed.number_within(-MOST, MOST)


@dataclass(frozen=True)
class TraceMetric:
    """What is measured of the answer.

    Parameters
    ----------
    name
        The name to ask for it by, also in files.
    function
        Takes the logits at the positions that are read, ``(..., positions, vocabulary)`` in float32, and the token ids
        that are read there: the answer's, one for each position, and the contrast's. Without a contrast its ids are
        empty; with one, a single position is read, the first in which the two differ, and there is one id of each.
        Returns one finite number for each run, ``(...)``. It must look at every run by itself, since how many come at
        once varies. None for a metric that was read from a file, and is not registered here.
    label
        In formulas and legends: ``"p"`` in ``p(Seattle)``. Default: the name.
    title
        In words. Default: the label.
    unit
        ``"%"`` for numbers from 0 to 1 that are shown in percent.
    better
        1 if larger numbers mean a surer answer, -1 if smaller ones do.
    contrasted
        Whether it compares with a contrast: True if it must, False if it cannot, None if it takes one and needs none.
    logarithm
        The logarithm of `function`, for a metric whose gradient vanishes where the answer has become improbable: the
        estimate takes the gradient of it in place of the function's own.
    own_columns
        Whether it reads no other columns of the logits than those of the answer and the contrast. Restored runs then
        compute no others, and number the ids to fit.
    """

    name: str
    function: MetricFunction | None = field(default=None, compare=False, repr=False)
    label: str = ""
    title: str = ""
    unit: str = ""
    better: int = 1
    contrasted: bool | None = None
    logarithm: MetricFunction | None = field(default=None, compare=False, repr=False)
    own_columns: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        name = a_text("name", self.name)
        label = a_text("label", self.label, empty=True) or name
        if isinstance(self.better, bool) or self.better not in (1, -1):
            refuse("better", self.better, "1 or -1")
        checked = {
            "function": optional(function, "function", self.function),
            # A file may come from anyone, and these stand among other words.
            "label": visible(label),
            "title": visible(a_text("title", self.title, empty=True) or label),
            "unit": visible(a_text("unit", self.unit, empty=True)),
            "contrasted": optional(flag, "contrasted", self.contrasted),
            "logarithm": optional(function, "logarithm", self.logarithm),
            "own_columns": flag("own_columns", self.own_columns),
        }
        for part, value in checked.items():
            object.__setattr__(self, part, value)

    @property
    def share(self) -> bool:
        """Whether its numbers are shown in percent."""
        return self.unit == SHARE

    def __call__(self, logits: Tensor, answer: Sequence[int], contrast: Sequence[int]) -> Tensor:
        """Return the number of each run, ``(..., positions, vocabulary)`` to ``(...)``, float32.

        Raises
        ------
        MetricError
            If the function gives anything else, or what is not finite.
        """
        values = self._read(self.function, logits, answer, contrast)
        bad = ~(values.abs() <= MOST)
        if bool(bad.any()):
            number = values[bad].flatten()[0].item()
            raise MetricError(f"The metric {self.name!r} gives {number:g}; numbers must be finite, up to {MOST:g}.")
        return values

    def smooth(self, logits: Tensor, answer: Sequence[int], contrast: Sequence[int]) -> Tensor:
        """Return what a gradient is taken of: the logarithm where there is one, else the metric."""
        return self._read(self.logarithm or self.function, logits, answer, contrast)

    def _read(
        self, function: MetricFunction | None, logits: Tensor, answer: Sequence[int], contrast: Sequence[int]
    ) -> Tensor:
        import torch

        if function is None:
            raise MetricError(
                f"The function of the metric {self.name!r} is not known here, since no file keeps it. Register it: "
                f"factlens.tracing.METRICS.register({self.name!r}, factlens.tracing.TraceMetric({self.name!r}, "
                "function))."
            )
        try:
            values = function(logits, answer, contrast)
        except Exception as error:
            error.add_note(f"Raised by the metric {self.name!r} for logits of shape {tuple(logits.shape)}.")
            raise
        runs = tuple(logits.shape[:-2])
        if not isinstance(values, torch.Tensor) or values.is_complex() or values.shape != runs:
            shape = (
                f"{values.dtype} {tuple(values.shape)}" if isinstance(values, torch.Tensor) else type(values).__name__
            )
            raise MetricError(
                f"The metric {self.name!r} gives {shape} for logits {tuple(logits.shape)}: it must give a tensor "
                f"{runs}, one number for each run."
            )
        return values.float()

    def described(self) -> dict[str, Any]:
        """Return everything but the functions, as plain JSON; `read_trace_metric` is its inverse."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS: dict[str, typed.Check] = {
    "name": typed.text,
    "label": typed.text,
    "title": typed.text,
    "unit": typed.text,
    "better": typed.whole(-1, 1),
    "contrasted": typed.optional(typed.flag),
}
_RECORD = typed.record(_FIELDS)


def read_trace_metric(value: Any) -> TraceMetric:
    """Return the metric that a JSON record describes, without its function; raise ValueError if there is none."""
    return TraceMetric(**_RECORD(value))


def probability(logits: Tensor, answer: Sequence[int], contrast: Sequence[int]) -> Tensor:
    """Return the probability of the whole answer: the product over its tokens (Meng et al. 2022, Section 2)."""
    if len(answer) == 1:
        return logits[..., 0, :].softmax(-1)[..., answer[0]]
    return log_probability(logits, answer, contrast).exp()


def log_probability(logits: Tensor, answer: Sequence[int], contrast: Sequence[int]) -> Tensor:
    """Return the log-probability of the whole answer, in nats: the sum over its tokens."""
    logs = logits.log_softmax(-1)
    return sum((logs[..., i, token] for i, token in enumerate(answer)), start=logs.new_zeros(()))


def logit_difference(logits: Tensor, answer: Sequence[int], contrast: Sequence[int]) -> Tensor:
    """Return the answer's logit less the contrast's, at the first token in which they differ (Zhang and Nanda 2023)."""
    return logits[..., 0, answer[0]] - logits[..., 0, contrast[0]]


_TABLE = {
    metric.name: metric
    for metric in (
        TraceMetric("probability", probability, "p", "probability", SHARE, contrasted=False, logarithm=log_probability),
        TraceMetric("log_probability", log_probability, "log p", "log-probability", "nats", contrasted=False),
        TraceMetric("logit_difference", logit_difference, "logit difference", contrasted=True, own_columns=True),
    )
}
METRICS: Registry[TraceMetric] = Registry("trace metric", _TABLE, TraceMetric)
"""The metrics of traces by name; ``METRICS.register("mine", TraceMetric("mine", my_function))`` adds one."""


class _Measured(Protocol):
    """A trace or an average."""

    metric: str
    own_metric: TraceMetric | None


def metric_of(result: _Measured) -> TraceMetric:
    """Return what a trace or an average measured: its name and label, its direction, and its function."""
    registered = METRICS.get(result.metric)
    own = result.own_metric
    if own is None or (own.function is None and own == registered):
        assert registered is not None  # checked where a file is read
        return registered
    return own


def own_metric(metric: TraceMetric) -> TraceMetric | None:
    """Return what a result keeps of its metric besides the name: nothing of a metric that comes with factlens."""
    return None if metric.name in _TABLE else metric


def check_metric(result: _Measured) -> None:
    """Raise ValueError unless name and metric of a result that was read from a file fit together."""
    own = result.own_metric
    if (result.metric not in _TABLE) if own is None else (own.name != result.metric or result.metric in _TABLE):
        raise ValueError("there is no metric of that name, or another is described")


def a_metric(argument: str, value: Any) -> TraceMetric:
    """Return the metric that was given: by name, as a `TraceMetric`, or as a function of your own.

    Raises
    ------
    ArgumentError
        If it is none, has no function, or has the name of another one.
    """
    return METRICS.resolved(argument, value, TraceMetric)
