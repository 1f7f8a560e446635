"""Servers and the browser are shared by all browser tests; every test gets a page and a kernel of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from playwright.sync_api import Browser

from scripts.kernels import KERNELS, ensure
from tests.e2e.harness import ARTIFACTS, JupyterServer, Lab, Watched, launch_browser

FAILED = pytest.StashKey[bool]()
PAGES = pytest.StashKey[list[Watched]]()
Page = TypeVar("Page", bound=Watched)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the whole run."""
    with launch_browser() as running:
        yield running


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """One JupyterLab server for the whole run."""
    ensure()
    with JupyterServer(tmp_path_factory.mktemp("lab"), "lab") as server:
        yield server


@pytest.fixture(scope="session")
def notebook_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """One Notebook 7 server for the whole run."""
    ensure()
    with JupyterServer(tmp_path_factory.mktemp("notebook"), "notebook") as server:
        yield server


@pytest.fixture(params=list(KERNELS))
def kernel(request: pytest.FixtureRequest) -> str:
    """A test that asks for this runs once on every ipykernel version."""
    return str(request.param)


@pytest.fixture
def shots(request: pytest.FixtureRequest) -> Path:
    """The folder for a test's screenshots."""
    return ARTIFACTS / re.sub(r"[^\w.-]+", "-", request.node.nodeid.removeprefix("tests/e2e/")).strip("-")


@pytest.fixture
def watch(request: pytest.FixtureRequest) -> Iterator[Callable[[Page], Page]]:
    """Close a page when the test ends, and photograph it if it failed."""
    pages = request.node.stash[PAGES] = list[Watched]()

    def keep(page: Page) -> Page:
        pages.append(page)
        return page

    yield keep
    for number, page in enumerate(pages):
        if request.node.stash.get(FAILED, False):
            page.shot(f"failed-{number}")
            (page.shots / f"failed-{number}-console.txt").write_text("\n".join(map(str, page.console)))
        page.close()


@pytest.fixture
def new_page(browser: Browser, shots: Path, watch: Callable[[Lab], Lab]) -> Callable[[JupyterServer], Lab]:
    """Open pages on a Jupyter server."""
    return lambda server: watch(Lab(browser, server, shots))


@pytest.fixture
def lab(new_page: Callable[[JupyterServer], Lab], lab_server: JupyterServer) -> Lab:
    """A page of JupyterLab."""
    return new_page(lab_server)


@pytest.fixture
def notebook7(new_page: Callable[[JupyterServer], Lab], notebook_server: JupyterServer) -> Lab:
    """A page of Notebook 7."""
    return new_page(notebook_server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell of a failure what was done with its pages; remember it, so that they are photographed before they close."""
    report: pytest.TestReport = yield  # type: ignore[misc]
    if report.failed:
        item.stash[FAILED] = True
        for number, page in enumerate(item.stash.get(PAGES, [])):
            told = [*page.journal, *(f"{entry.kind}: {entry.text}" for entry in page.problems())]
            report.sections.append((f"page {number}", "\n".join(told)))
    return report  # type: ignore[return-value]
