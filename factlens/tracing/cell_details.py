"""`CellDetails`: what one cell of a grid knows. A plain record: numbers, words, and tables of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from factlens.drawing.exporting import Exported, no_part
from factlens.drawing.html import paragraph, table
from factlens.drawing.look import LOOK, Look, LookOptions
from factlens.drawing.numbers import fixed, signed
from factlens.drawing.tables import Table
from factlens.signatures import taking
from factlens.tracing.captions import details_caption
from factlens.tracing.cell_figure import details_frame, plot_details
from factlens.tracing.sites import site_of
from factlens.visible import as_label, isolated, quoted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from factlens.models import Answer

RUNS = ("clean", "corrupted", "restored")


class HeadShare(NamedTuple):
    """What an attention head brings to the answer's logit, in the clean run and on average in the corrupted ones."""

    head: int
    clean: float
    corrupted: float


class NeuronShare(NamedTuple):
    """A neuron's activation in the clean run and on average in the corrupted ones, and what it brings when clean."""

    neuron: int
    clean: float
    corrupted: float
    contribution: float


@dataclass(frozen=True)
class CellDetails(Exported):
    """What a cell of a trace knows of the answer, in the clean, the corrupted and the restored run.

    `lens`, `rank`, `probability` and `cosine` have one entry per run, ``"clean"``, ``"corrupted"`` and
    ``"restored"``. They look at the residual stream where it leaves the cell's layer, at the cell's token. Of a window
    of restored outputs, those up to the cell's layer have acted there, and those above have not.

    Attributes
    ----------
    kind, token, piece, layer
        The cell; `piece` is the token's text.
    answer, answer_id
        Text and id of the answer's first token, which everything here is about.
    whole_answer
        Where that token ends inside a character: the text up to that character's end. None otherwise.
    score, effect, interval
        The cell in the grids: `Trace.scores`, `Trace.effects` and the 95 % interval of the effect. None where it has
        not been computed (yet), or there is one sample only.
    lens
        The most probable next tokens by the logit lens (nostalgebraist 2020): what the model would answer after this
        token if the layer were its last, by its own final norm and unembedding. Probabilities are means over samples.
        A token that ends inside a character is shown as its bytes.
    rank, probability
        The answer's place among all tokens by the same probabilities, 1 for the best, and its own probability.
    cosine
        Cosine between the state as the unembedding reads it (after the final norm, and after the projection where
        there is one) and the unembedding's row of the answer, mean over samples. None if that row cannot be read.
    total
        For attention and MLP cells: what the output of that module, in this layer alone, brings to the answer's
        logit, in the ``"clean"`` and the ``"corrupted"`` run. A direct contribution, in units of the logit before
        scaling and capping, with norms frozen at the clean run; see `factlens.tracing.direct_logit_attribution`. At
        other tokens than the prompt's last it says what would be read there, since the answer is read from the last
        one. What a module brings to all tokens alike is in it, though it changes no probability. None for other
        cells, and where the model does not simply add such outputs up.
    heads
        For ``attn`` and ``head.N``: each head's share of `total`; what is missing is the output projection's bias.
    neurons
        For ``mlp``: the neurons with the largest shares of `total` in the clean run, either sign, largest first. A
        neuron is an input of the down projection. None for mixtures of experts.
    """

    kind: str
    token: int
    piece: str
    layer: int
    answer: str
    answer_id: int
    score: float | None
    effect: float | None
    interval: tuple[float, float] | None
    lens: Mapping[str, Sequence[Answer]]
    rank: Mapping[str, int]
    probability: Mapping[str, float]
    cosine: Mapping[str, float | None]
    total: Mapping[str, float] | None = None
    heads: tuple[HeadShare, ...] | None = None
    neurons: tuple[NeuronShare, ...] | None = None
    whole_answer: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data that JSON can hold; the keys are the attributes."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "interval": None if self.interval is None else list(self.interval),
            "lens": {run: [answer._asdict() for answer in self.lens[run]] for run in RUNS},
            "rank": dict(self.rank),
            "probability": dict(self.probability),
            "cosine": dict(self.cosine),
            "total": None if self.total is None else dict(self.total),
            "heads": None if self.heads is None else [share._asdict() for share in self.heads],
            "neurons": None if self.neurons is None else [share._asdict() for share in self.neurons],
            "whole_answer": self.whole_answer,
        }

    def caption(self) -> str:
        """Return what a figure or a table of it should say below itself."""
        return details_caption(self, self._where())

    @taking(LOOK)
    def plot(self, **look: Unpack[LookOptions]) -> Figure:
        """Draw what each run would answer next, and the shares of heads or neurons; needs ``factlens[plot]``.

        Parameters
        ----------
        **look
            Size, letters and colours for a paper; see `factlens.drawing.look.Look`.
        """
        return plot_details(self, f"to the logit of {self._answer()}", Look.of(look))

    def _frame(self) -> pd.DataFrame:
        return details_frame(self)

    def _table(self, part: str | None) -> Table:
        shares = self._shares()
        no_part(part, ("answers", "shares") if shares else ("answers",))
        return shares if part == "shares" and shares else Table(("logit lens", *RUNS), self._lens_rows())

    def _shares(self) -> Table | None:
        """Return the table of heads or of neurons; None where there is none."""
        if self.heads is not None:
            rows = [(f"head {share.head}", *map(signed, share[1:])) for share in self.heads]
            return Table((f"to the logit of {self._answer()}", "clean", "corrupted"), [*rows, *self._sum_rows()])
        if self.neurons is not None:
            rows = [(f"neuron {share.neuron}", *map(signed, share[1:])) for share in self.neurons]
            return Table(("activation", "clean", "corrupted", f"to the logit of {self._answer()}"), rows)
        return None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CellDetails:
        """Return the details that `to_dict` has written down."""
        from factlens.models import Answer

        parts = dict(content)
        parts["interval"] = parts["interval"] and tuple(parts["interval"])
        parts["lens"] = {run: [Answer(**answer) for answer in parts["lens"][run]] for run in RUNS}
        for name, share in (("heads", HeadShare), ("neurons", NeuronShare)):
            parts[name] = None if parts[name] is None else tuple(share(**one) for one in parts[name])
        return cls(**parts)

    def __repr__(self) -> str:
        best = ", ".join(f"{run} {quoted(self.lens[run][0].text)}" for run in RUNS)
        answer = quoted(self.answer if self.whole_answer is None else self.whole_answer)
        return f"<factlens.CellDetails {self._where()} → {answer}; lens: {best}>"

    def _repr_html_(self) -> str:
        parts = [
            paragraph(
                f"{self._where()}: score {fixed(self.score)}, effect {fixed(self.effect)}"
                + ("" if self.interval is None else f" ({fixed(self.interval[0])} to {fixed(self.interval[1])})")
            ),
            table(("logit lens", *RUNS), self._lens_rows()),
        ]
        shares = self._shares()
        if shares is not None:
            parts.append(table(shares.columns, shares.rows))
        return "<div>" + "".join(parts) + "</div>"

    def _where(self) -> str:
        return f"{site_of(self.kind).label} of token {self.token} {quoted(self.piece)}, layer {self.layer}"

    def _answer(self) -> str:
        answer = as_label(self.answer)
        return answer if self.whole_answer is None else f"{answer} of {isolated(self.whole_answer.strip())}"

    def _lens_rows(self) -> list[tuple[str, ...]]:
        rows = [
            (str(i + 1), *(f"{as_label(answer.text)} {answer.probability:.1%}" for answer in answers))
            for i, answers in enumerate(zip(*(self.lens[run] for run in RUNS), strict=True))
        ]
        answer = self._answer()
        rows.append((f"p({answer})", *(f"{self.probability[run]:.2%}" for run in RUNS)))
        rows.append((f"rank of {answer}", *(str(self.rank[run]) for run in RUNS)))
        rows.append((f"cosine to {answer}", *(fixed(self.cosine[run]) for run in RUNS)))
        return rows

    def _sum_rows(self) -> list[tuple[str, ...]]:
        if self.total is None:
            return []
        return [("whole output", signed(self.total["clean"]), signed(self.total["corrupted"]))]


_PLAIN = ("kind", "token", "piece", "layer", "answer", "answer_id", "score", "effect")
