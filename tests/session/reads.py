"""Reading cells, held and counted; and waiting for what a session does."""

from __future__ import annotations

import threading
import time

import factlens as fl


class Reads:
    """In the place of `read_details`: what was asked for, and a gate that a read waits at."""

    def __init__(self) -> None:
        self.cells: list[tuple[str, int, int]] = []
        self.threads: set[str] = set()
        self.go = threading.Event()
        self.go.set()

    def __call__(self, model, trace, kind, token, layer):
        self.cells.append((kind, token, layer))
        self.threads.add(threading.current_thread().name)
        self.go.wait(10)
        if layer == 4:
            raise fl.FactlensError("It cannot be read.")
        return self

    def to_dict(self) -> dict:
        return {"cell": self.cells[-1]}


def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
