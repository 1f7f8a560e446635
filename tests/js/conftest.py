"""Chromium, a page, and a local server for the browser tests of the built bundles.

Python is a mock of anywidget's model (``js/preview/mock.js``): what is tested is what a user sees, does and hears.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright import sync_api

from scripts import browser as chromium

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BLANK = b"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>factlens</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/js/preview/themes.css"><link rel="stylesheet" href="/factlens/static/factlens.css">
</head><body data-jp-theme-light="true"><div id="a"></div><div id="b"></div><div id="c"></div></body></html>"""


@pytest.fixture(scope="session")
def chromium_path() -> pathlib.Path | None:
    """The browser to drive: the one all tests use; ``None`` leaves the choice to Playwright."""
    return chromium.find()


@pytest.fixture(scope="module")
def chromium_args() -> tuple[str, ...]:
    """What else Chromium is started with; for a module to say."""
    return ()


@pytest.fixture(scope="module")
def context_options() -> dict[str, Any]:
    """What the pages' context is made with; for a module to say."""
    return {}


class Browsers:
    """One Chromium for each choice of arguments, started when it is first asked for."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self._running: dict[tuple[str, ...], sync_api.Browser] = {}

    def running(self, path: pathlib.Path | None, args: tuple[str, ...]) -> sync_api.Browser:
        if not self._running:
            self._type = self._open.enter_context(sync_api.sync_playwright()).chromium
        if args not in self._running:
            started = self._type.launch(executable_path=path, args=[*chromium.ARGS, *args])
            self._open.callback(started.close)
            self._running[args] = started
        return self._running[args]

    def close(self) -> None:
        self._open.close()
        self._running.clear()


BROWSERS = pytest.StashKey[Browsers]()


@pytest.fixture(scope="session")
def browsers(pytestconfig: pytest.Config) -> Iterator[Browsers]:
    """The browsers of this folder's tests, which begin in one and the same."""
    started = pytestconfig.stash[BROWSERS] = Browsers()
    yield started
    started.close()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Close the browsers behind the last test here: a thread drives one Playwright, and tests/e2e has its own."""
    if BROWSERS in item.config.stash and (nextitem is None or HERE not in nextitem.path.parents):
        item.config.stash[BROWSERS].close()


@pytest.fixture(scope="module")
def browser(browsers: Browsers, chromium_path: pathlib.Path | None, chromium_args: tuple[str, ...]) -> sync_api.Browser:
    """A Chromium with the module's arguments."""
    return browsers.running(chromium_path, chromium_args)


def _font(name: str) -> bytes:
    """One of the fonts that matplotlib brings along: the same on every machine."""
    import matplotlib

    return (pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf" / pathlib.PurePosixPath(name).name).read_bytes()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/blank":
            self._answer("text/html", BLANK)
        elif self.path.startswith("/fonts/"):
            self._answer("font/ttf", _font(self.path), {"Cache-Control": "max-age=3600"})
        else:
            super().do_GET()

    def _answer(self, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of the repository's root, served to this machine only."""
    handler = functools.partial(_Handler, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


PREPARE = """async () => {
    Object.assign(window, await import('/js/preview/mock.js'));
    window.models = {};
    window.ends = {};
    window.put = async (name, at, traits) => {
        models[at] = new MockModel(traits);
        ends[at] = await mount(name, models[at], document.querySelector('#' + at));
    };
    window.frames = (n = 2) => new Promise((done) => {
        const step = () => (n-- > 0 ? requestAnimationFrame(step) : done());
        step();
    });
}"""


class Watched:
    """A page that remembers what went wrong in it: page errors, console errors, requests to other places."""

    def __init__(self, context: sync_api.BrowserContext, server: str) -> None:
        self.server = server
        self.trouble: list[str] = []
        self.page = context.new_page()
        self.page.set_default_timeout(5000)
        self.page.on("pageerror", lambda error: self.trouble.append(f"page error: {error}"))
        self.page.on("console", self._console)
        self.page.on("request", self._request)

    def _console(self, message: sync_api.ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(f"console: {message.text}")

    def _request(self, request: sync_api.Request) -> None:
        if not request.url.startswith((self.server, "data:", "blob:")):
            self.trouble.append(f"request: {request.url}")

    def fresh(self) -> sync_api.Page:
        """Loads the blank page anew, with the mock model on ``window``: nothing is left of the test before."""
        self.trouble.clear()
        self.page.set_viewport_size({"width": 1200, "height": 900})
        self.page.emulate_media(color_scheme="light")
        self.page.mouse.move(0, 0)
        self.page.goto(f"{self.server}/blank")
        self.page.evaluate(PREPARE)
        return self.page


@pytest.fixture(scope="module")
def _watched(browser: sync_api.Browser, server: str, context_options: dict[str, Any]) -> Iterator[Watched]:
    context = browser.new_context(**context_options)
    yield Watched(context, server)
    context.close()


@pytest.fixture
def page(_watched: Watched) -> Iterator[sync_api.Page]:
    """A page with ``#a``, ``#b`` and ``#c`` to render into. Any trouble in it fails the test."""
    yield _watched.fresh()
    assert _watched.trouble == []


@pytest.fixture
def clock_page(browser: sync_api.Browser, server: str) -> Iterator[sync_api.Page]:
    """The same with a context of its own, for tests that stop its clock."""
    context = browser.new_context()
    watched = Watched(context, server)
    yield watched.fresh()
    context.close()
    assert watched.trouble == []
