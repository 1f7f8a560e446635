"""The state of one lens, and the one thread that computes for it. No views here: widgets look at the traits."""

from factlens.session.choosing import SETTINGS, Settings
from factlens.session.session import Session
from factlens.session.working import STATUSES

__all__ = ["SETTINGS", "STATUSES", "Session", "Settings"]
