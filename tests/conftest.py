"""What holds for every test: no network, no user's cache, few threads, fast tests first, and no silent skips."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import factlens as fl

# One thread: these models are too small to share out, and on a machine with other work two threads spend their time
# waiting for each other.
THREADS = "1"
# Before torch is imported anywhere, and inherited by the kernels and commands that tests start.
os.environ.setdefault("OMP_NUM_THREADS", THREADS)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["FACTLENS_CACHE"] = tempfile.mkdtemp(prefix="factlens-cache-")

E2E = Path(__file__).parent / "e2e"
_WITHOUT_LOOP = {"calibration", "editing", "evaluation", "models", "moments", "reproduce", "tracing"}
"""Folders whose tests are plain functions on tensors, which run in any process."""
#: With this set (make test sets it) a test that skips itself has failed, unless it is marked gpu.
NO_SKIP = os.environ.get("FACTLENS_NO_SKIP") == "1"


def pytest_configure(config: pytest.Config) -> None:
    """Keep torch from starting more threads than there are cores to share, and let interrupts interrupt.

    A shell that starts the tests in the background has them ignore SIGINT, and Python then does not ask for it either.
    """
    import torch

    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser tests last, or with ``-n 2 --dist loadgroup`` in a process of their own beside all others.

    They are the slow ones, mostly waiting, and Playwright keeps an event loop running on its thread from its first
    test on.
    """
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    items.sort(key=lambda item: (E2E in item.path.parents) + bool(item.get_closest_marker("browser")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Share the groups out; the marks of xdist 3.8 for this are lost on pytest 9.2, which makes ids of its own."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group_of(nodeid)

    return Groups(config, log) if config.getvalue("dist") == "loadgroup" else None


def _group_of(nodeid: str) -> str:
    """Return with which tests one runs in a process.

    Files of plain functions go to whichever process is free, and the longest of them by test. Others stay together,
    away from the browser: they may ask for an event loop, and Playwright's would be in the way.
    """
    path = nodeid.partition("::")[0]
    folder = path.removeprefix("tests/").partition("/")[0]
    if folder in ("e2e", "js"):
        return "browser"
    if folder not in _WITHOUT_LOOP:
        return "others"
    return nodeid.partition("[")[0] if path.endswith("test_strikes.py") else path


@pytest.fixture(scope="session")
def shared_atlas() -> fl.Model:
    """Load the shipped model once."""
    return fl.load("atlas", device="cpu")


@pytest.fixture
def atlas(shared_atlas: fl.Model) -> Iterator[fl.Model]:
    """The shipped model; a test that leaves it edited has failed."""
    from tests.support import lent

    yield from lent(shared_atlas)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw few bootstrap samples, and wait for no disk, where files are written, read and shown thousands of times."""
    from factlens import files
    from factlens.evaluation import intervals

    for name in ("RESAMPLES", "_AT_ONCE"):
        monkeypatch.setattr(intervals, name, 20)
    monkeypatch.setattr(files, "_sync", lambda _descriptor: None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn a skip into a failure where nothing may be skipped."""
    report: pytest.TestReport = yield  # type: ignore[misc]
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("gpu") is None:
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"skipped, which make test does not allow: {reason}"
    return report  # type: ignore[return-value]
