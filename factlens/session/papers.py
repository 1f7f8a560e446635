"""Figures and tables of what a lens shows, as files for a paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from factlens import __version__
from factlens.arguments import one_of
from factlens.drawing.exporting import Exported, Tabled, figure_file, no_part
from factlens.drawing.numbers import brief
from factlens.drawing.tables import Table
from factlens.errors import FactError
from factlens.evaluation import ROLE_NAMES
from factlens.evaluation.answer_change import AnswerChange
from factlens.models.belonging import named
from factlens.session.judging import Judging
from factlens.tracing import CellDetails, Comparison
from factlens.visible import as_label, isolated, line

if TYPE_CHECKING:
    import pandas as pd

FIGURES = ("trace", "comparison", "answers", "details")
TABLES = ("details", "judgement", "answers")
FORMS = {"csv": "csv", "latex": "tex"}


class Papers(Judging):
    """What a session hands out for a paper."""

    def figure_file(self, what: str, form: str, look: Mapping[str, Any]) -> tuple[str, bytes] | None:
        """Return the name and the bytes of a figure; None where it cannot be drawn, and then the error says why.

        Parameters
        ----------
        what
            One of `FIGURES`.
        form
            ``"pdf"``, ``"svg"`` or ``"png"``.
        look
            Options of `factlens.drawing.look.Look`, and ``dpi``.
        """
        place = "details" if what == "details" else "locate"
        with self.reporting(place, "The figure was not drawn"):
            with self.gate:
                self.check_open()
                self._check_idle("draw a figure")
                result = self._result(one_of("what", what, FIGURES))
            # Without the gate: it takes a second or two, and the page goes on.
            return f"factlens-{what}.{form}", figure_file(result, form, look)
        return None

    def table_file(self, what: str, form: str) -> tuple[str, bytes] | None:
        """Return the name and the bytes of a table; None where there is none, and then the error says why.

        Parameters
        ----------
        what
            One of `TABLES`.
        form
            ``"csv"`` or ``"latex"``.
        """
        place = "judge" if what == "judgement" else "details" if what == "details" else "edit"
        with self.reporting(place, "There is no such table"):
            with self.gate:
                self.check_open()
                result = self._result(one_of("what", what, TABLES))
            text = result.to_csv() if one_of("form", form, FORMS) == "csv" else result.to_latex()
            return f"factlens-{what}.{FORMS[form]}", str(text).encode("utf-8", "replace")
        return None

    def _result(self, what: str) -> Any:
        """Return what is shown; the session has the gate."""
        result: Exported | Tabled | None = None
        if what == "trace":
            result = self.trace
        elif what == "comparison" and self.previous is not None and self.trace is not None:
            result = Comparison(self.previous, self.trace, ("before", "now"))
        elif what == "answers" and self.comparison and self.fact is not None:
            _, fingerprint, ids, labels = self.weights
            result = AnswerChange(self.fact.prompt, self.model.name, fingerprint, self.comparison, labels, ids)
        elif what == "details" and self.details is not None:
            result = CellDetails.from_dict(self.details)
        elif what == "judgement" and self.judgement is not None:
            result = Judgement(self.model.name, self.judgement)
        if result is None:
            raise FactError(f"There is nothing yet of which the {what} could be shown.")
        return result


@dataclass(frozen=True)
class Judgement(Tabled):
    """What the checks of a lens have found, as a table.

    Attributes
    ----------
    model
        Name of the model.
    content
        `factlens.session.judging.Judging.judgement`.
    """

    model: str
    content: Mapping[str, Any]

    def caption(self) -> str:
        """Return what the table should say above itself: the model and the edits that were judged."""
        edits = named(self.content["edits"], self.content["edit_ids"])
        return line(
            f"{isolated(self.model)} ({self.content['fingerprint'][:8]}): answers before and after the edits {edits}. "
            "Probabilities are geometric means over the tokens of an object. "
            f"factlens {__version__}."
        )

    def _frame(self) -> pd.DataFrame:
        import pandas as pd

        rows = [
            {
                **{name: row[name] for name in ("role", "prompt", "old", "new")},
                **{f"top_{when}": row[when]["top"] for when in ("before", "after")},
                **{f"p_{x}_{when}": row[when][x] for when in ("before", "after") for x in ("old", "new")},
                **dict(zip(("held_before", "held_after"), row["held"], strict=True)),
            }
            for row in self.content["rows"]
        ]
        texts = [
            {"role": "continuation", "prompt": one["prompt"], "top_before": one["before"], "top_after": one["after"]}
            for one in self.content["texts"]
        ]
        return pd.DataFrame([*rows, *texts])

    def _table(self, part: str | None) -> Table:
        no_part(part)
        columns = ("role", "prompt", "answer before", "answer now", "p(old)", "p(new)")
        rows = [
            (
                ROLE_NAMES.get(row["role"], "own prompt"),
                isolated(row["prompt"]),
                *(as_label(row[when]["top"]) for when in ("before", "after")),
                *(f"{brief(row['before'][x], True)} → {brief(row['after'][x], True)}" for x in ("old", "new")),
            )
            for row in self.content["rows"]
        ]
        return Table(columns, rows, 4)
