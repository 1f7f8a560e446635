"""`Turn`: whose turn it is with a model, as a re-entrant lock that can be brought back to any of its levels."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from factlens.errors import Interrupted
from factlens.models.interrupts import deliver_to_holder, interrupts_held

_LOOK = 0.05  # seconds between two looks at who wants to give up waiting


class Turn:
    """A lock that one thread holds, as often as it likes.

    `threading.RLock` does not say how often it is held, so that after a fault in the middle of taking or giving back
    it could not be told how often to release it. Here the level is data: it changes in the same line as the lock, so
    that nothing can come between.
    """

    def __init__(self) -> None:
        self._free = threading.Lock()
        # The holder's thread, once for each level. Only the holder changes it.
        self._held: list[int] = []

    @property
    def level(self) -> int:
        """How often the present thread holds it."""
        return len(self._held) if self.mine else 0

    @property
    def mine(self) -> bool:
        """Whether the present thread holds it."""
        return self._held[-1:] == [threading.get_ident()]

    def take(self, stops: Sequence[threading.Event] = (), name: str = "the model") -> None:
        """Wait for the lock, and hold it once more.

        Parameters
        ----------
        stops
            Events that end the waiting.
        name
            What is waited for, for the message.

        Raises
        ------
        Interrupted
            If one of `stops` was set before the lock was free.
        KeyboardInterrupt
            If the kernel's interrupt came while it waited.
        """
        if self.mine:
            self._held.append(threading.get_ident())
            return
        me = threading.get_ident()
        # Held, so that an interrupt cannot strike between the lock and the note of who has it.
        with interrupts_held() as interrupted:
            while not (self._free.acquire(timeout=_LOOK) and self._held.append(me) is None):  # type: ignore[func-returns-value]
                if any(stop.is_set() for stop in stops):
                    raise Interrupted(f"Stopped while waiting for {name}, which another computation uses.")
                if interrupted.is_set():
                    deliver_to_holder()

    def take_if_free(self) -> bool:
        """Hold the lock once more if that needs no waiting; say whether it does."""
        me = threading.get_ident()
        if self.mine:
            self._held.append(me)
            return True
        return self._free.acquire(blocking=False) and self._held.append(me) is None  # type: ignore[func-returns-value]

    def back_to(self, level: int) -> None:
        """Release the lock as often as it takes to hold it `level` times; never take it."""
        while self.level > max(level, 1):
            self._held.pop()
        if level == 0 and self.mine:
            _ = self._held.clear(), self._free.release()  # type: ignore[func-returns-value]
