"""Calibration: which layers and settings edit a model best, measured on facts that it knows."""

from factlens.calibration.api import calibrate
from factlens.calibration.known import known_records
from factlens.calibration.result import Calibration
from factlens.calibration.trials import Result, Trial

__all__ = ["Calibration", "Result", "Trial", "calibrate", "known_records"]
