"""Judging edits: what else changed."""

from factlens.evaluation.checks import ROLE_NAMES, ROLES, Checks, Probe, atlas_checks
from factlens.evaluation.records import Record
from factlens.evaluation.report import Report, evaluate
from factlens.evaluation.scoring import Reading, read

__all__ = ["ROLES", "ROLE_NAMES", "Checks", "Probe", "Reading", "Record", "Report", "atlas_checks", "evaluate", "read"]
