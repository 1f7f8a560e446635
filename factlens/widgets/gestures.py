"""`Gestures`: the one widget that the browser talks to, and that is never streamed to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from factlens.widgets.base import Bundled, Part


class Gestures(Part):
    """Receives every gesture of a lens and answers at once; the work happens elsewhere.

    ipykernel 7.4 hands a message from the browser to the shell that last *sent* on its comm. A comm that a worker
    thread streams to is therefore bound to the main shell, and a click on it waits for the user's cell. This comm
    carries nothing but replies, sent by the very handler that the gesture reached.
    """

    _esm = Bundled("gestures.js")

    def __init__(self, handle: Callable[[str, dict[str, Any], Sequence[memoryview]], None], **traits: Any) -> None:
        super().__init__(**traits)
        self._handle = handle
        self.on_msg(self._received)
        _follow_the_sender(self.comm)

    def _received(self, _widget: Any, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict):
            return
        if content.get("type") == "hello":
            self.send({"type": "pong"})
        elif content.get("type") == "gesture":
            self.send({"type": "ack", "id": content.get("id")})
            payload = {k: v for k, v in content.items() if k not in ("type", "id", "name")}
            self._handle(str(content.get("name")), payload, buffers or ())


def _follow_the_sender(comm: Any) -> None:
    """Let ipykernel deliver to the shell that the browser named, also before this comm has sent anything.

    A private method of ipykernel 7.4 (7.3 has none and needs none): without it, the first click after a cell that
    displays a lens and goes on computing would wait for that cell. Where the method is missing nothing happens.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, default: default
