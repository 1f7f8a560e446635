"""A second way to a kernel, beside the page's: to ask it something, and to wake it."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from jupyter_client.blocking.client import BlockingKernelClient

T = TypeVar("T")

#: So many seconds a request from here may go unanswered before the kernel is asked to look for what it has missed.
MISSED = 2.0


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
