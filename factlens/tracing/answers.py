"""What is measured: the answer, in one token or several, and the metric of the logits that read it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from factlens.errors import FactError
from factlens.facts import Fact
from factlens.models import Model
from factlens.spelling import Wording
from factlens.tracing.metrics import TraceMetric
from factlens.tracing.result import Trace


@dataclass(frozen=True)
class Measurement:
    """A metric at some positions: of the answer to be measured, and of the contrast.

    Attributes
    ----------
    metric
        What is read off the logits.
    answer
        Token ids of the answer; empty for the model's own, until the clean run has said what it is.
    contrast
        Token ids of the answer to compare with; empty without one.
    """

    metric: TraceMetric
    answer: tuple[int, ...]
    contrast: tuple[int, ...]

    @classmethod
    def of(cls, trace: Trace) -> Measurement:
        """Return what a trace measured."""
        return cls(trace.measure, trace.answer_ids, trace.contrast_ids)

    @property
    def shared(self) -> int:
        """How many tokens answer and contrast begin with in common."""
        pairs = zip(self.answer, self.contrast, strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(self.answer), len(self.contrast)))

    @property
    def forced(self) -> tuple[int, ...]:
        """Token ids to append to the prompt, so that every token of the answer is read with those before it."""
        return self.answer[: self.shared] if self.contrast else self.answer[:-1]

    @property
    def positions(self) -> int:
        """Number of positions, at the end of prompt and forced tokens, whose logits are read."""
        return 1 if self.contrast else max(1, len(self.answer))

    @property
    def reads_the_end(self) -> bool:
        """Whether the first of these positions is the prompt's own last one."""
        return not self.contrast or self.shared == 0

    def score(self, logits: Tensor) -> Tensor:
        """Return the metric of logits, ``(..., positions, vocabulary)`` to ``(...)``."""
        return self.metric(logits, *self._read)

    @property
    def columns(self) -> tuple[int, ...]:
        """The columns of the logits that the metric reads; empty for all."""
        if not self.metric.own_columns:
            return ()
        return tuple(dict.fromkeys(token for tokens in self._read for token in tokens))

    def score_of_columns(self, logits: Tensor) -> Tensor:
        """Return the metric of logits of `columns` alone, ``(..., positions, columns)`` to ``(...)``."""
        place = {token: i for i, token in enumerate(self.columns)}
        answer, contrast = (tuple(place[token] for token in tokens) for tokens in self._read)
        return self.metric(logits, answer, contrast)

    def smooth(self, logits: Tensor) -> Tensor:
        """Return what a gradient is taken of in place of the metric, of the same shape."""
        return self.metric.smooth(logits, *self._read)

    @property
    def _read(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids of answer and contrast that are read at the positions."""
        if not self.contrast:
            return self.answer, ()
        return self.answer[self.shared : self.shared + 1], self.contrast[self.shared : self.shared + 1]

    def with_own_answer(self, token_id: int) -> Measurement:
        """Return the measurement with the model's own answer filled in.

        Raises
        ------
        FactError
            If the contrast begins with that very token.
        """
        if self.answer:
            return self
        if self.contrast and self.contrast[0] == token_id:
            raise FactError("The contrast is what the model answers anyway. Give another one, or an answer.")
        return Measurement(self.metric, (token_id,), self.contrast)


def measurement_of(
    model: Model, fact: Fact, metric: TraceMetric, answer: Wording | None, contrast: Wording | None
) -> Measurement:
    """Return what is to be measured.

    Raises
    ------
    FactError
        If the contrast is missing or superfluous, or the two answers do not differ.
    """
    if metric.contrasted and contrast is None:
        raise FactError(f"The {metric.title} needs the answer to compare with: contrast='Paris'.")
    check_contrast(metric, contrast)
    measurement = Measurement(
        metric,
        () if answer is None else model.encode_option(fact.prompt, answer, role="answer")[1],
        () if contrast is None else model.encode_option(fact.prompt, contrast, role="contrast")[1],
    )
    if (
        measurement.answer
        and measurement.contrast
        and measurement.shared == min(len(measurement.answer), len(measurement.contrast))
    ):
        raise FactError(f"{answer!r} and {contrast!r} do not differ in any token that both have.")
    return measurement


def check_contrast(metric: TraceMetric, contrast: Wording | None) -> None:
    """Raise FactError if there is an answer to compare with, and the metric compares nothing."""
    if metric.contrasted is False and contrast is not None:
        raise FactError(f"A contrast is used by metric='logit_difference' only, not by {metric.name!r}.")
