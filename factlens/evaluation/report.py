"""`evaluate`: the same questions before and after an edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from factlens.editing import Edit
from factlens.evaluation.checks import ROLES, Checks, Probe, atlas_checks
from factlens.evaluation.scoring import Reading, read
from factlens.models import Model

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Report:
    """Probes read before and after an edit.

    Attributes
    ----------
    edit
        The edit.
    probes
        What was asked.
    before, after
        What the model said; each reading's options are the probe's old and new object, in that order.
    """

    edit: Edit
    probes: tuple[Probe, ...]
    before: tuple[Reading, ...]
    after: tuple[Reading, ...]

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per probe: role, prompt, old, new, the probabilities and top answers before and after."""
        import pandas as pd

        rows = []
        for probe, before, after in zip(self.probes, self.before, self.after, strict=True):
            row: dict[str, object] = {
                "role": probe.role,
                "prompt": probe.prompt,
                "old": probe.old,
                "new": probe.new,
            }
            for when, reading in (("before", before), ("after", after)):
                old, new = reading.probabilities
                row |= {f"p_old_{when}": old, f"p_new_{when}": new, f"top_{when}": reading.top}
                wanted = probe.wanted == probe.new
                row[f"success_{when}"] = (new > old) if wanted else (old > new)
                row[f"leads_{when}"] = reading.leads[1] if wanted else reading.leads[0]
            rows.append(row)
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """Return one row per role.

        ``success`` is the published comparison of two objects: the new one more probable than the old after the
        edited prompt and its paraphrases (efficacy, paraphrase), the old one more probable than the new for
        neighbours and other facts (neighbourhood). ``leads`` is stricter: the wanted object is the model's answer.
        """
        frame = self.to_dataframe()
        columns = ["success_before", "success_after", "leads_before", "leads_after"]
        found = frame.groupby("role")[columns].mean()
        found.insert(0, "probes", frame.groupby("role").size())
        return found.reindex([role for role in ROLES if role in found.index])

    def __repr__(self) -> str:
        return f"<factlens.Report on {self.edit}\n{self.summary().round(3).to_string()}>"

    def _repr_html_(self) -> str:
        return str(self.summary().round(3).to_html())


def evaluate(model: Model, edit: Edit, checks: Checks | None = None) -> Report:
    """Ask the model the same questions without and with an edit.

    The model is as it was before afterwards: an applied edit stays applied, an unapplied one is taken back.

    Parameters
    ----------
    model
        The model.
    edit
        The edit, applied or not.
    checks
        What to ask. Default, for a fact that atlas knows: paraphrases, neighbours and other facts of the subject
        from its fact file.

    Returns
    -------
    Report
        What the model said.
    """
    checks = atlas_checks(edit.facts[0]) if checks is None else checks
    prompts = [probe.prompt for probe in checks.probes]
    options = [(probe.old, probe.new) for probe in checks.probes]
    with model.exclusive():
        with model.without(edit):
            before = read(model, prompts, options)
        if any(edit is other for other in model.edits):
            after = read(model, prompts, options)
        else:
            with model.edited(edit):
                after = read(model, prompts, options)
    return Report(edit, checks.probes, tuple(before), tuple(after))
