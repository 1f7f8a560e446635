"""Judging edits: what else changed."""

from factlens.evaluation.answer_change import AnswerChange, answer_change
from factlens.evaluation.checks import ROLE_NAMES, ROLES, Checks, Probe, atlas_checks
from factlens.evaluation.judging import WAYS, evaluate
from factlens.evaluation.measures import CombinedMetric, Metric, PromptMetric, RecordMetric
from factlens.evaluation.measuring import Measured
from factlens.evaluation.metrics import COLUMNS, METRICS
from factlens.evaluation.records import Record
from factlens.evaluation.report import Outcome, Report
from factlens.evaluation.scoring import Reading, read

__all__ = [
    "COLUMNS",
    "METRICS",
    "ROLES",
    "ROLE_NAMES",
    "WAYS",
    "AnswerChange",
    "Checks",
    "CombinedMetric",
    "Measured",
    "Metric",
    "Outcome",
    "Probe",
    "PromptMetric",
    "Reading",
    "Record",
    "RecordMetric",
    "Report",
    "answer_change",
    "atlas_checks",
    "evaluate",
    "read",
]
