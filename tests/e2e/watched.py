"""A browser that can reach nothing but this machine, and a page that keeps whatever went wrong on it."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route, WebSocket, sync_playwright

from scripts import browser as chromium
from tests.e2e.server import ARTIFACTS

Theme = Literal["light", "dark"]
#: What JupyterLab says of its own plugins where the machine is busy.
_SLOW = re.compile(r"Plugin @jupyter(lab|-notebook)/\S+ .*took [\d.]+ms to activate")


@dataclass(frozen=True)
class Problem:
    """A warning or an error the page has reported."""

    kind: str
    text: str
    url: str = ""


@contextlib.contextmanager
def launch_browser(*, headless: bool = True) -> Iterator[Browser]:
    """The Chromium that `scripts.browser` finds; it is an error if there is none."""
    path = chromium.find()
    if path is None:
        raise RuntimeError(chromium.HELP)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=headless, args=list(chromium.ARGS))
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """One page that can reach one server and nothing else, and whatever went wrong on it.

    Parameters
    ----------
    browser
        What `launch_browser` gives.
    url
        The server's address.
    shots
        The folder for this page's screenshots.
    viewport
        Width and height of the page in CSS pixels.
    baseline
        Kind and text of what the application itself writes to the console, without anything of ours.
    scheme
        The colours that the operating system would ask for.
    """

    #: Every wait on the page ends after this many seconds.
    timeout = 120.0

    def __init__(
        self,
        browser: Browser,
        url: str,
        shots: Path = ARTIFACTS,
        viewport: tuple[int, int] = (1400, 1000),
        baseline: Collection[tuple[str, str]] = (),
        scheme: Theme = "light",
    ) -> None:
        self.url = url
        self.shots = shots
        #: every console message as (kind, text, url)
        self.console: list[Problem] = []
        #: addresses outside the server that the page asked for; all were refused
        self.external: list[str] = []
        #: addresses that failed or were answered with an error, with the reason
        self.failed: list[tuple[str, str]] = []
        #: what was done with the page, and after how many seconds: shown where a test has failed
        self.journal: list[str] = []
        self._since = time.monotonic()
        self._baseline = baseline
        self.context = browser.new_context(viewport={"width": viewport[0], "height": viewport[1]}, color_scheme=scheme)
        self.context.set_default_timeout(self.timeout * 1000)
        self.context.route("**/*", self._gate)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.console.append(Problem("pageerror", str(error))))
        self.page.on("requestfailed", lambda request: self.failed.append((request.url, str(request.failure))))
        self.page.on(
            "response",
            lambda answer: self.failed.append((answer.url, str(answer.status))) if answer.status >= 400 else None,
        )
        self.page.on("websocket", self._socket_opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def note(self, what: str) -> None:
        """Write something into the journal."""
        self.journal.append(f"{time.monotonic() - self._since:6.1f} s  {what}")

    def problems(self) -> list[Problem]:
        """Warnings and errors of the page, less what the application says of itself."""
        return [
            entry
            for entry in self.console
            if entry.kind in ("error", "pageerror", "warning")
            and (entry.kind, entry.text) not in self._baseline
            and not _SLOW.match(entry.text)
        ]

    def assert_clean(self) -> None:
        """No warning, no error, no request that failed or wanted to leave the machine."""
        found = {"console": self.problems(), "external": self.external, "failed": self.failed}
        assert not any(found.values()), found

    def shot(self, name: str, of: Locator | None = None) -> Path:
        """A picture of the page, or of one element, among this page's screenshots."""
        self.shots.mkdir(parents=True, exist_ok=True)
        path = self.shots / f"{name}.png"
        if of is None:
            self.page.screenshot(path=path)
        else:
            of.screenshot(path=path)
        return path

    def close(self) -> None:
        """Close the page; twice is fine."""
        self.context.close()

    def _gate(self, route: Route) -> None:
        if route.request.url.startswith((self.url + "/", "data:", "blob:")):
            route.continue_()
        else:
            self.external.append(route.request.url)
            route.abort()

    def _socket_opened(self, opened: WebSocket) -> None:
        if not opened.url.startswith(self.url.replace("http", "ws", 1) + "/"):
            self.external.append(opened.url)

    def _heard(self, message: ConsoleMessage) -> None:
        self.console.append(Problem(message.type, message.text, message.location.get("url", "")))
