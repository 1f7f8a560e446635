"""What is measured: the answer, in one token or several, and the metric over the logits that read it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from factlens.errors import FactError
from factlens.facts import Fact
from factlens.models import Model
from factlens.spelling import Wording
from factlens.tracing.protocol import METRICS


@dataclass(frozen=True)
class Question:
    """An answer to be measured.

    Attributes
    ----------
    metric
        One of `METRICS`.
    answer
        Token ids of the answer; empty for the model's own, until the clean run has said what it is.
    contrast
        Token ids of the answer to compare with; empty without one.
    """

    metric: str
    answer: tuple[int, ...]
    contrast: tuple[int, ...]

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
        """Return the metric of logits, ``(..., positions, vocabulary)`` to ``(...)``.

        Probability and log-probability are those of the whole answer: the product over its tokens.
        """
        if self.contrast:
            last = logits[..., -1, :]
            return last[..., self.answer[self.shared]] - last[..., self.contrast[self.shared]]
        if self.metric == "probability" and len(self.answer) == 1:
            return logits[..., 0, :].softmax(-1)[..., self.answer[0]]
        logs = logits.log_softmax(-1)
        total = sum((logs[..., i, token] for i, token in enumerate(self.answer)), start=logs.new_zeros(()))
        return total.exp() if self.metric == "probability" else total

    def smooth(self, logits: Tensor) -> Tensor:
        """Return what a gradient is taken of: the metric, with log-probability in the place of probability."""
        return Question("log_probability" if self.metric == "probability" else self.metric, *self.ids).score(logits)

    @property
    def ids(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The answer and the contrast."""
        return self.answer, self.contrast

    def with_own_answer(self, token_id: int) -> Question:
        """Return the question with the model's own answer filled in.

        Raises
        ------
        FactError
            If the contrast begins with that very token.
        """
        if self.answer:
            return self
        if self.contrast and self.contrast[0] == token_id:
            raise FactError("The contrast is what the model answers anyway. Give another one, or an answer.")
        return Question(self.metric, (token_id,), self.contrast)


def question_of(model: Model, fact: Fact, metric: str, answer: Wording | None, contrast: Wording | None) -> Question:
    """Return what shall be measured.

    Raises
    ------
    FactError
        If the metric is unknown, the contrast is missing or superfluous, or the two answers do not differ.
    """
    if metric not in METRICS:
        raise FactError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}.")
    if metric == "logit_difference" and contrast is None:
        raise FactError("The logit difference needs the answer to compare with: contrast='Paris'.")
    if metric != "logit_difference" and contrast is not None:
        raise FactError(f"A contrast is used by metric='logit_difference' only, not by {metric!r}.")
    question = Question(
        metric,
        () if answer is None else model.encode_option(fact.prompt, answer, role="answer")[1],
        () if contrast is None else model.encode_option(fact.prompt, contrast, role="contrast")[1],
    )
    if question.answer and question.contrast and question.shared == min(map(len, question.ids)):
        raise FactError(f"{answer!r} and {contrast!r} do not differ in any token that both have.")
    return question
