"""JupyterLab (or Notebook 7) in a real browser, driven from pytest; marimo is in `marimo_harness`.

Three pieces, each a context manager::

    with JupyterServer(folder) as server, launch_browser() as browser, Lab(browser, server) as lab:
        lab.open(["1 + 1"])
        lab.run_cell(0)
        assert lab.output_text(0) == "2"

`JupyterServer` (in `server`) starts the application with a configuration of its own, so that nothing of the user's
settings, trust store or extensions leaks in. `launch_browser` (in `watched`) starts a Chromium that can reach nothing
but this machine. `Lab` is one page on one notebook: it waits on the state of the application (``window.jupyterapp``),
never on a sleep, and keeps every console message and every request that wanted to leave the machine. What it asks the
kernel without a cell goes by a `kernel_link`.
"""

from __future__ import annotations

import ast
import contextlib
import json
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import nbformat
from playwright.sync_api import Browser, Locator
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from scripts.kernels import INSTALLED
from tests.e2e.kernel_link import MISSED, KernelLink, wake
from tests.e2e.server import ARTIFACTS, JupyterServer, end, free_port, wait_until_up
from tests.e2e.watched import Problem, Theme, Watched, launch_browser

__all__ = [
    "ARTIFACTS",
    "MISSED",
    "JupyterServer",
    "KernelLink",
    "Lab",
    "Problem",
    "Theme",
    "Watched",
    "end",
    "free_port",
    "launch_browser",
    "wait_until_up",
    "wake",
]

#: Whether the page's kernel is connected and idle, in the page's words.
IDLE = """() => {
    const kernel = window.jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel;
    return kernel?.status === 'idle' && kernel.connectionStatus === 'connected';
}"""

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
