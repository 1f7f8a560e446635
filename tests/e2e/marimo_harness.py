"""marimo in a real browser: a server for a folder of apps, and a page on one of them.

    with MarimoServer(folder) as server, MarimoPage(browser, server) as page:
        page.open("app.py")

The counterpart of `harness` for the other notebook. marimo runs an app anew for every page that opens it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Self

from playwright.sync_api import Browser

from tests.e2e.harness import ARTIFACTS, Problem, Theme, Watched, end, free_port, wait_until_up

#: marimo's page loads two pictures for the case that its server goes away, and the browser finds them unused.
UNUSED = "was preloaded using link preload but not used"


class MarimoServer:
    """``marimo run`` on a folder of apps, on a free port, with a home of its own.

    Parameters
    ----------
    root
        The folder with the apps. It is also where they find what they import.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        # marimo keeps settings, recent files and caches in the user's folders.
        self._home = Path(tempfile.mkdtemp(prefix="factlens-marimo-"))
        ARTIFACTS.mkdir(exist_ok=True)
        self.log = ARTIFACTS / f"server-marimo-{self.port}.log"
        folders = {f"XDG_{kind}_HOME": str(self._home / kind.lower()) for kind in ("CONFIG", "CACHE", "STATE", "DATA")}
        command = ["run", str(self.root), "--headless", "--no-token", "--no-sandbox", "--no-check"]
        with self.log.open("w") as log:
            # A session of its own: an interrupt typed at pytest must not reach the server before we stop it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "marimo", *command, "--host", "127.0.0.1", "--port", str(self.port)],
                env={**os.environ, "HOME": str(self._home), **folders},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until_up(
                self._process, lambda: urllib.request.urlopen(self.url + "/health", timeout=20).close(), self.log
            )
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def errors(self) -> str:
        """What went wrong in the server and its apps; the log, if it holds an exception."""
        text = self.log.read_text()
        return text if "Traceback" in text else ""

    def _stop(self) -> None:
        end(self._process)
        shutil.rmtree(self._home, ignore_errors=True)


class MarimoPage(Watched):
    """One page on one app.

    Parameters
    ----------
    browser, server
        What `launch_browser` and `MarimoServer` give.
    shots
        The folder for this page's screenshots.
    scheme
        The colours that the operating system would ask for; marimo's theme is the app's.
    """

    def __init__(
        self, browser: Browser, server: MarimoServer, shots: Path = ARTIFACTS, scheme: Theme = "light"
    ) -> None:
        super().__init__(browser, server.url, shots, scheme=scheme)
        self.server = server

    def open(self, app: str) -> None:
        """Open an app of the folder, which begins to run: wait for what it is to show."""
        self.page.goto(f"{self.url}/?file={app}")

    def problems(self) -> list[Problem]:
        """Warnings and errors of the page, less what marimo says of itself."""
        return [entry for entry in super().problems() if UNUSED not in entry.text]

    def assert_clean(self) -> None:
        """Nothing wrong with the page, and no exception in the server."""
        super().assert_clean()
        assert not self.server.errors()
