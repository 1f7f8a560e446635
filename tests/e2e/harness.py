"""JupyterLab (or Notebook 7) in a real browser, driven from pytest; marimo is in `marimo_harness`.

Three pieces, each a context manager::

    with JupyterServer(folder) as server, launch_browser() as browser, Lab(browser, server) as lab:
        lab.open(["1 + 1"])
        lab.run_cell(0)
        assert lab.output_text(0) == "2"

`JupyterServer` starts the application with a configuration of its own, so that nothing of the user's settings, trust
store or extensions leaks in. `launch_browser` starts a Chromium that can reach nothing but this machine. `Lab` is one
page on one notebook: it waits on the state of the application (``window.jupyterapp``), never on a sleep, and keeps
every console message and every request that wanted to leave the machine.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import queue
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast

import nbformat
from jupyter_client.blocking.client import BlockingKernelClient
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route, WebSocket, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from scripts import browser as chromium
from scripts.kernels import INSTALLED, KERNELS, WITHOUT_SUBSHELLS, kernelspec

T = TypeVar("T")
App = Literal["lab", "notebook"]
Theme = Literal["light", "dark"]

ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts"

#: Settings that keep the application from asking the network for news and updates.
QUIET: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension:notification": {
        "checkForUpdates": False,
        "fetchNews": "false",
        "doNotDisturbMode": True,
    },
}

#: Whether the page's kernel is connected and idle, in the page's words.
IDLE = """() => {
    const kernel = window.jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel;
    return kernel?.status === 'idle' && kernel.connectionStatus === 'connected';
}"""

#: So many seconds a request from here may go unanswered before the kernel is asked to look for what it has missed.
MISSED = 2.0

#: So many seconds a run may go on before the harness looks whether the kernel is idle all the same.
STALLED = 8.0

#: Whether the kernel has begun with what a run has sent it. Its status does not tell: a subshell that is through with
#: something else says idle too, while a cell runs.
BEGUN = """run => {
    const { state, inputs } = window.factlensRuns[run];
    return window.factlensInputs > inputs || state !== 'running';
}"""

#: What Notebook 7.6 itself writes to the console for a notebook without any widget; JupyterLab writes nothing.
NOTEBOOK_BASELINE = frozenset(
    {
        ("warning", "Menu entry for command 'filemenu:close-and-cleanup' is duplicated."),
        ("warning", "Menu entry for command 'debugger:show-panel' is duplicated."),
        ("warning", "Menu entry for command 'toc:show-panel' is duplicated."),
        ("warning", "[yjs#509] Not same Y.Doc"),
        ("pageerror", "Cannot read properties of undefined (reading 'schema')"),
    }
)


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast(int, probe.getsockname()[1])


def wait_until_up(process: subprocess.Popen[bytes], ask: Callable[[], object], log: Path, seconds: float = 60) -> None:
    """Ask a server until it answers; an error with the end of its log if it does not, or has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            ask()
        except OSError:  # of which urllib's errors are some
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} did not come up:\n{log.read_text()[-3000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process politely, or else at once."""
    if process.poll() is not None:
        return
    os.kill(process.pid, signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@dataclass(frozen=True)
class Problem:
    """A warning or an error the page has reported."""

    kind: str
    text: str
    url: str = ""


class JupyterServer:
    """A Jupyter server on a free port, with a configuration folder of its own.

    Parameters
    ----------
    root
        The folder whose notebooks it serves.
    app
        ``"lab"`` for JupyterLab, ``"notebook"`` for Notebook 7.
    settings
        More settings of the application, plugin id (``"package:plugin"``) to values.
    env
        More environment variables for the server and its kernels.
    """

    def __init__(
        self,
        root: Path,
        app: App = "lab",
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.root = Path(root)
        self.app: App = app
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {**QUIET, **(settings or {})}
        self._env = dict(env or {})

    def __enter__(self) -> Self:
        self.state = Path(tempfile.mkdtemp(prefix="factlens-jupyter-"))
        ARTIFACTS.mkdir(exist_ok=True)
        self.log = ARTIFACTS / f"server-{self.app}-{self.port}.log"
        self._write_configuration()
        with self.log.open("w") as log:
            # A session of its own: an interrupt typed at pytest must not reach the server before we stop it.
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until_up(self._process, lambda: self.api("/api/status"), self.log)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for kernel in self._list("/api/kernels"):
            with contextlib.suppress(OSError):
                self.api(f"/api/kernels/{kernel['id']}", "DELETE")
        self._stop()

    def api(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Call the server's REST interface; None where the answer is empty."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, method=method, data=data)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def connection_file(self, kernel_id: str) -> Path:
        """Where a running kernel listens."""
        return self.state / "runtime" / f"kernel-{kernel_id}.json"

    def _list(self, path: str) -> list[dict[str, Any]]:
        try:
            return cast("list[dict[str, Any]]", self.api(path))
        except OSError:
            return []

    def _write_configuration(self) -> None:
        for plugin, values in self._settings.items():
            package, _, name = plugin.partition(":")
            path = self.state / "settings" / package / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        for name in (*KERNELS, WITHOUT_SUBSHELLS):
            path = self.state / "data" / "kernels" / name / "kernel.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(kernelspec(name)))

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(self.state / "config"),
            "JUPYTER_DATA_DIR": str(self.state / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.state / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.state / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.state / "workspaces"),
            "IPYTHONDIR": str(self.state / "ipython"),
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            **self._env,
        }

    def _command(self) -> list[str]:
        module, application = {
            "lab": ("jupyterlab", "LabApp"),
            "notebook": ("notebook", "JupyterNotebookApp"),
        }[self.app]
        return [
            sys.executable,
            "-m",
            module,
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.open_browser=False",
            "--ServerApp.disable_check_xsrf=True",
            f"--ServerApp.root_dir={self.root}",
            "--IdentityProvider.token=",
            "--PasswordIdentityProvider.hashed_password=",
            f"--{application}.expose_app_in_browser=True",
        ]

    def _stop(self) -> None:
        end(self._process)
        shutil.rmtree(self.state, ignore_errors=True)


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


def wake(connection_file: Path) -> None:
    """Have a kernel look at what it has missed.

    ipykernel 7.0 to 7.3 can overlook a request that arrives while it answers another (ipython/ipykernel#1554; mended
    in 7.4), and with it all that follows on the same connection, until something comes by another one.
    """
    client = BlockingKernelClient(connection_file=str(connection_file))
    client.load_connection_file()
    client.start_channels(stdin=False, hb=False, iopub=False, control=False)
    client.shell_channel.send(client.session.msg("kernel_info_request", {}))
    # The answer may be long in coming, if a cell is what was missed; until then the message has surely arrived.
    with contextlib.suppress(queue.Empty):
        client.get_shell_msg(timeout=1)
    client.stop_channels()


class KernelLink:
    """A second client on a running kernel, beside the page's.

    It asks what the kernel holds without a cell and without the page noticing. Its sockets live on a thread of their
    own, because Playwright keeps an event loop running on the test's thread.
    """

    def __init__(self, connection_file: Path) -> None:
        self._connection_file = connection_file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kernel-link")
        self._subshell: str | None = None
        self._client = BlockingKernelClient(connection_file=str(connection_file))
        self._do(self._connect)

    def execute(
        self, code: str, expressions: Mapping[str, str] | None = None, *, busy: bool = False, timeout: float = 60
    ) -> dict[str, Any]:
        """Run code silently and return the content of the reply.

        With `busy` it runs on a subshell, so that the answer comes while the main shell is busy with a cell.
        """
        return self._do(lambda: self._execute(code, dict(expressions or {}), busy, timeout))

    def close(self) -> None:
        """Let go of the kernel, which keeps running."""
        self._do(self._client.stop_channels)
        self._thread.shutdown()

    def _do(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result()

    def _connect(self) -> None:
        self._client.load_connection_file()
        self._client.start_channels(stdin=False, hb=False)

    def _execute(self, code: str, expressions: dict[str, str], busy: bool, timeout: float) -> dict[str, Any]:
        content = {
            "code": code,
            "silent": True,
            "store_history": False,
            "user_expressions": expressions,
            "allow_stdin": False,
            "stop_on_error": False,
        }
        message = self._client.session.msg("execute_request", content)
        if busy:
            message["header"]["subshell_id"] = self._subshell_id(timeout)
        self._client.shell_channel.send(message)
        reply = self._reply(self._client.get_shell_msg, message, timeout)
        if reply["status"] != "ok":
            raise RuntimeError(f"{reply.get('ename')}: {reply.get('evalue')}\n" + "\n".join(reply.get("traceback", [])))
        return reply

    def _subshell_id(self, timeout: float) -> str:
        if self._subshell is None:
            message = self._client.session.msg("create_subshell_request", {})
            self._client.control_channel.send(message)
            self._subshell = cast(str, self._reply(self._client.get_control_msg, message, timeout)["subshell_id"])
        return self._subshell

    def _reply(self, receive: Callable[..., Any], message: dict[str, Any], timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                answer = receive(timeout=min(left, MISSED))
            except queue.Empty:
                wake(self._connection_file)
                continue
            if answer["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return cast("dict[str, Any]", answer["content"])
        raise TimeoutError(f"no reply in {timeout} s to {message['header']['msg_type']}")


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
            if entry.kind in ("error", "pageerror", "warning") and (entry.kind, entry.text) not in self._baseline
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


class Lab(Watched):
    """One page of a Jupyter application on one notebook.

    Parameters
    ----------
    browser, server
        What `launch_browser` and `JupyterServer` give.
    shots
        The folder for this page's screenshots.
    viewport
        Width and height of the page in CSS pixels.
    """

    def __init__(
        self,
        browser: Browser,
        server: JupyterServer,
        shots: Path = ARTIFACTS,
        viewport: tuple[int, int] = (1400, 1000),
    ) -> None:
        super().__init__(
            browser, server.url, shots, viewport, NOTEBOOK_BASELINE if server.app == "notebook" else frozenset()
        )
        self.server = server
        self.notebook: Path | None = None
        #: how often the kernel had to be woken, see `_until`
        self.woken = 0
        self._link: KernelLink | None = None
        self._theme: Theme = "light"

    # -- notebook ------------------------------------------------------------------------------------------------

    def open(self, source: Path | str | Sequence[str], kernel: str = INSTALLED) -> Path:
        """Open a copy of a notebook, or a new one of these code cells, and wait until its kernel is idle.

        Every copy has a name of its own: the application remembers names, and two tests must not meet in one.
        """
        if self.notebook is not None:
            raise RuntimeError("a Lab holds one notebook: make another Lab")
        if isinstance(source, (str, Path)):
            notebook = nbformat.read(source, as_version=4)
            stem = Path(source).stem
        else:
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in source])
            stem = "cells"
        notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
        self.notebook = self.server.root / f"{stem}-{secrets.token_hex(4)}.ipynb"
        nbformat.write(notebook, self.notebook)
        name = self.notebook.name
        if self.server.app == "lab":
            address = f"/lab/workspaces/ws-{secrets.token_hex(4)}/tree/{name}?reset"
        else:
            address = f"/notebooks/{name}"
        self.page.goto(self.server.url + address)
        self.page.wait_for_function("() => !!window.jupyterapp")
        self.page.evaluate("async () => { await window.jupyterapp.restored; }")
        self.page.locator(".jp-Notebook").first.wait_for()
        self._until(IDLE)
        self.note(f"{name} open on {kernel}")
        return self.notebook

    def _until(self, condition: str, arg: object = None, patience: float = 10) -> None:
        """Wait for something that the kernel does first of all; wake the kernel if it seems to have missed a request.

        It happens about once in thirty starts, on a notebook without anything of ours: the server and the kernel then
        say idle, and the page waits.
        """
        for _ in range(3):
            try:
                self.page.wait_for_function(condition, arg=arg, timeout=patience * 1000)
            except PlaywrightTimeout:
                self._wake()
            else:
                return
        self.page.wait_for_function(condition, arg=arg)

    def _wake(self) -> None:
        with ThreadPoolExecutor(1) as thread:  # as in KernelLink
            thread.submit(wake, self.server.connection_file(self._kernel_id())).result()
        self.woken += 1
        self.note("kernel woken")

    def cell_count(self) -> int:
        """How many cells the notebook has."""
        return cast(int, self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length"))

    def cell(self, index: int) -> Locator:
        """The element of a cell, scrolled into view."""
        self.page.evaluate(
            """async index => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.activeCellIndex = index;
                await notebook.scrollToItem(index, 'smart');
            }""",
            index,
        )
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """The element with a cell's outputs."""
        return self.cell(index).locator(".jp-OutputArea").first

    def start_cell(self, index: int) -> int:
        """Start a cell and return at once; `wait_run` takes the number this gives."""
        return self._command("notebook:run-cell", active=index)

    def run_cell(self, index: int, *, check: bool = True, timeout: float | None = None) -> None:
        """Run a cell to its end; with `check`, an error in it is an error here."""
        self.wait_run(self.start_cell(index), timeout)
        if check and (errors := self.errors(index)):
            raise AssertionError(f"cell {index} of {self.notebook}:\n" + "\n".join(errors))

    def run_all(self, *, check: bool = True, timeout: float | None = None) -> None:
        """Run all cells, as the menu does; the application stops at the first error."""
        self.wait_run(self._command("notebook:run-all-cells"), timeout)
        for index in range(self.cell_count() if check else 0):
            if errors := self.errors(index):
                raise AssertionError(f"cell {index} of {self.notebook}:\n" + "\n".join(errors))

    def wait_run(self, run: int, timeout: float | None = None) -> None:
        """Wait until what `start_cell` has started is through."""
        deadline = time.monotonic() + (timeout or self.timeout)
        through = "run => window.factlensRuns[run].state !== 'running'"
        while (left := deadline - time.monotonic()) > STALLED:
            try:
                self.page.wait_for_function(through, arg=run, timeout=STALLED * 1000)
                break
            except PlaywrightTimeout:
                # It may have begun with another request than the run's, and have missed that one.
                if self.page.evaluate(IDLE):
                    self._wake()
        else:
            self.page.wait_for_function(through, arg=run, timeout=max(left, 1) * 1000)
        state = self.page.evaluate("run => window.factlensRuns[run].state", run)
        self.note(f"run {run} over: {state}")
        if state != "done":
            raise AssertionError(f"the application could not run the cell: {state}")

    def running(self, run: int) -> bool:
        """Whether what `start_cell` has started is still going on."""
        return bool(self.page.evaluate("run => window.factlensRuns[run].state === 'running'", run))

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """A cell's outputs as the notebook file would keep them."""
        return cast(
            "list[dict[str, Any]]",
            self.page.evaluate(
                """index => {
                    const outputs = window.jupyterapp.shell.currentWidget.content.widgets[index].model.outputs;
                    return outputs ? outputs.toJSON() : [];
                }""",
                index,
            ),
        )

    def output_text(self, index: int) -> str:
        """What a cell has printed and returned, as text."""
        parts: list[str] = []
        for output in self.outputs(index):
            text = output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue") or ""
            parts.append(text if isinstance(text, str) else "".join(text))
        return "".join(parts)

    def errors(self, index: int) -> list[str]:
        """The errors a cell has ended with."""
        return [
            f"{output['ename']}: {output['evalue']}\n" + "\n".join(output.get("traceback", []))
            for output in self.outputs(index)
            if output["output_type"] == "error"
        ]

    def save(self) -> dict[str, Any]:
        """Save the notebook and return what is now in its file."""
        self.page.evaluate("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")
        assert self.notebook is not None
        return cast("dict[str, Any]", json.loads(self.notebook.read_text()))

    # -- kernel --------------------------------------------------------------------------------------------------

    def wait_idle(self, timeout: float | None = None) -> None:
        """Wait until the kernel is connected and idle."""
        self.page.wait_for_function(IDLE, timeout=(timeout or self.timeout) * 1000)

    def kernel_eval(self, expression: str, *, busy: bool = False, timeout: float = 60) -> Any:
        """The value of an expression in the notebook's kernel; it must be one that JSON can carry.

        No cell is run and the page takes no part. With `busy` the answer comes from a subshell (ipykernel 7), also
        while a cell is running.
        """
        reply = self._kernel().execute(
            "", {"value": f"__import__('json').dumps({expression})"}, busy=busy, timeout=timeout
        )
        value = reply["user_expressions"]["value"]
        if value["status"] != "ok":
            raise RuntimeError(f"{expression}: {value['ename']}: {value['evalue']}")
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def kernel_exec(self, code: str, *, busy: bool = False, timeout: float = 60) -> None:
        """Run statements in the notebook's kernel, without a cell."""
        self._kernel().execute(code, busy=busy, timeout=timeout)

    def wait_kernel(self, expression: str, *, busy: bool = False, timeout: float = 30) -> Any:
        """Ask for an expression until it is true; its value."""
        deadline = time.monotonic() + timeout
        while not (value := self.kernel_eval(expression, busy=busy)):
            if time.monotonic() > deadline:
                raise AssertionError(f"still {value!r} after {timeout} s: {expression}")
            self.page.wait_for_timeout(50)
        return value

    def interrupt(self) -> None:
        """What the stop button does."""
        self.note("interrupted")
        self.server.api(f"/api/kernels/{self._kernel_id()}/interrupt", "POST")

    def restart_kernel(self) -> None:
        """Restart the kernel, as the menu does once its question is answered."""
        self._drop_link()
        self.page.evaluate(
            """async () => {
                await window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart();
            }"""
        )
        self.wait_idle()

    # -- page ----------------------------------------------------------------------------------------------------

    def set_theme(self, theme: Theme) -> None:
        """Switch the whole application to its light or dark theme, as its menu does."""
        name = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[theme]
        self.page.evaluate(
            "async theme => { await window.jupyterapp.commands.execute('apputils:change-theme', { theme }); }", name
        )
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light && !document.getElementById('jupyterlab-splash')",
            arg=str(theme == "light").lower(),
        )
        self._theme = theme

    def close(self) -> None:
        """Close the page and shut its kernel down; twice is fine."""
        if self.page.is_closed():
            return
        self._drop_link()
        if self._theme != "light":  # the setting outlives the page
            with contextlib.suppress(Exception):
                self.set_theme("light")
        self.context.close()
        for session in self.server.api("/api/sessions"):
            if self.notebook is not None and session["path"] == self.notebook.name:
                with contextlib.suppress(OSError):
                    self.server.api(f"/api/sessions/{session['id']}", "DELETE")

    # -- inside --------------------------------------------------------------------------------------------------

    def _command(self, command: str, active: int | None = None) -> int:
        """Start a command and keep its promise where `wait_run` finds it."""
        run = cast(
            int,
            self.page.evaluate(
                """([command, active]) => {
                    const app = window.jupyterapp;
                    if (active !== null) {
                        const notebook = app.shell.currentWidget.content;
                        notebook.deselectAll();
                        notebook.activeCellIndex = active;
                    }
                    // What the kernel echoes of the page's own code, once it begins with it.
                    const { kernel } = app.shell.currentWidget.context.sessionContext.session;
                    window.factlensInputs ??= 0;
                    if (window.factlensKernel !== kernel) {
                        window.factlensKernel = kernel;
                        kernel.iopubMessage.connect((_, message) => {
                            const echo = message.header.msg_type === 'execute_input';
                            if (echo && message.parent_header.session === kernel.clientId) window.factlensInputs += 1;
                        });
                    }
                    const run = { state: 'running', inputs: window.factlensInputs };
                    const number = (window.factlensRuns ??= []).push(run) - 1;
                    app.commands.execute(command).then(
                        () => { run.state = 'done'; },
                        error => { run.state = String(error); },
                    );
                    return number;
                }""",
                [command, active],
            ),
        )
        self._until(BEGUN, run)
        self.note(f"run {run} begun: {command}" + ("" if active is None else f" {active}"))
        return run

    def _kernel_id(self) -> str:
        return cast(
            str,
            self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.id"),
        )

    def _kernel(self) -> KernelLink:
        if self._link is None:
            self._link = KernelLink(self.server.connection_file(self._kernel_id()))
        return self._link

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
