"""A Jupyter server with a configuration of its own, and what other servers of these tests need, too."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, cast

from scripts.kernels import KERNELS, WITHOUT_SUBSHELLS, kernelspec

App = Literal["lab", "notebook"]

#: Where pictures and logs are left.
ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts"

#: Settings that keep the application from asking the network for news and updates.
QUIET: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension:notification": {
        "checkForUpdates": False,
        "fetchNews": "false",
        "doNotDisturbMode": True,
    },
}


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
