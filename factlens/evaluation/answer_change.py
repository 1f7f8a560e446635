"""`AnswerChange`: what the model answers to a prompt with its original weights, and what with the present ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from factlens import __version__
from factlens.arguments import a_text, whole
from factlens.drawing.bars_figure import BarPanel, bars_figure
from factlens.drawing.exporting import Exported, no_part
from factlens.drawing.look import LOOK, Look, LookOptions
from factlens.drawing.numbers import brief
from factlens.drawing.tables import Table
from factlens.models import Model
from factlens.models.belonging import Weights, named
from factlens.models.continuing import whole_texts
from factlens.models.given import a_model
from factlens.models.settling import settled
from factlens.signatures import taking
from factlens.visible import as_label, isolated, line, quoted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Shares = tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class AnswerChange(Exported):
    """The top answers to a prompt before and after the edits in force.

    Attributes
    ----------
    prompt, model, fingerprint
        What was asked, and of which model.
    answers
        Each next token as ``(text, probability before, probability now)``, the most probable of either first.
    edits, edit_ids
        The edits in force, in words and by content.
    """

    prompt: str
    model: str
    fingerprint: str
    answers: Shares
    edits: tuple[str, ...] = ()
    edit_ids: tuple[str, ...] = ()

    def caption(self) -> str:
        """Return what a figure or a table of it should say below itself: the model, the prompt, the edits."""
        edits = f"edits in force: {named(self.edits, self.edit_ids)}" if self.edits else "no edit is in force"
        return line(
            f"{self.model} ({self.fingerprint[:8]}): probability of the next token after “{isolated(self.prompt)}”, "
            f"with the original weights and with the present ones; {edits}. factlens {__version__}."
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per answer: its text, and its probability before and now."""
        import pandas as pd

        return pd.DataFrame(self.answers, columns=["answer", "before", "now"])

    @taking(LOOK)
    def plot(self, **look: Unpack[LookOptions]) -> Figure:
        """Draw two bars for each answer; needs ``factlens[plot]``.

        Parameters
        ----------
        **look
            Size, letters and colours for a paper; see `factlens.drawing.look.Look`.
        """
        bars = {
            "original weights": [before for _, before, _ in self.answers],
            "edited" if self.edits else "present weights": [now for _, _, now in self.answers],
        }
        part = BarPanel("", "probability of the next token", [text for text, _, _ in self.answers], bars)
        return bars_figure("Drawing answers", [part], Look.of(look))

    def _frame(self) -> pd.DataFrame:
        return self.to_dataframe()

    def _table(self, part: str | None) -> Table:
        no_part(part)
        rows = [(as_label(text), brief(before, True), brief(now, True)) for text, before, now in self.answers]
        return Table(("next token", "before", "now"), rows)

    def __repr__(self) -> str:
        return f"<factlens.AnswerChange {quoted(self.prompt)}, {len(self.answers)} answers>"


@settled
def answer_change(model: Model, prompt: str, *, k: int = 5) -> AnswerChange:
    """Return the top answers to a prompt with the original weights and with the present ones.

    Parameters
    ----------
    model
        The model, with the edits in question in force.
    prompt
        The prompt: ``fact.prompt``.
    k
        How many of the most probable next tokens count, before and now; at most one more is returned.

    Returns
    -------
    AnswerChange
        Answers with two probabilities each.
    """
    model, prompt = a_model("model", model), a_text("prompt", prompt, example="'The Space Needle is in downtown'")
    k = whole("k", k, least=1, example="5")
    with model.watched():
        weights, answers = Weights.of(model), top_answers(model, prompt, k)
    return AnswerChange(prompt, model.name, weights.fingerprint, answers, weights.labels, weights.edit_ids)


def top_answers(model: Model, prompt: str, k: int = 5) -> Shares:
    """Read the top answers with the original weights and with the present ones; the caller has the model."""
    with model.as_original():
        before = model.next_token(prompt)
    after = model.next_token(prompt)
    top = dict.fromkeys([*before.topk(k).indices.tolist(), *after.topk(k).indices.tolist()])
    best = sorted(top, key=lambda i: -max(float(before[i]), float(after[i])))[: k + 1]
    # The texts are those of the model as it is: a token that ends inside a character is continued only to be read.
    continued = whole_texts(model, [model.ids_of(prompt)] * len(best), [[i] for i in best])
    texts = [text or model.token(i) for i, text in zip(best, continued, strict=True)]
    return tuple((text, float(before[i]), float(after[i])) for i, text in zip(best, texts, strict=True))
