"""A worker alone: jobs in turn on one thread that is there while there is something to do, and what it tells."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from factlens.errors import Interrupted
from factlens.session.worker import Doing, Job, Worker

SECONDS = 10


class Owner:
    """Has a worker, and notes what it is told: always with the gate."""

    def __init__(self) -> None:
        self.gate = threading.RLock()
        self.worker = Worker(self.gate, self._told, self._failed, self._let_go)
        self.statuses: list[str] = []
        self.errors: list[tuple[str, str, str]] = []
        self.let_go = 0
        self.on: dict[str, Callable[[], object]] = {}  # what to do when a status is told
        self.done: list[str] = []

    def _told(self, doing: Doing) -> None:
        assert self.gate._is_owned()
        assert doing is self.worker.doing
        self.statuses.append(doing.status)
        self.on.get(doing.status, lambda: None)()

    def _failed(self, error: BaseException, place: str, title: str) -> None:
        assert self.gate._is_owned()
        self.errors.append((repr(error), place, title))
        self.on.get("failed", lambda: None)()

    def _let_go(self) -> None:
        assert self.gate._is_owned()
        self.let_go += 1

    def job(self, name: str, work: Callable[[threading.Event], object] = lambda stop: None) -> Job:
        def noted(stop: threading.Event) -> None:
            assert not self.gate._is_owned()
            self.done.append(name)
            work(stop)

        return Job(f"{name} is being done", "place", f"{name} failed", noted)


@pytest.fixture
def owner() -> Iterator[Owner]:
    owner = Owner()
    yield owner
    owner.worker.close()
    owner.worker.join(SECONDS)
    assert owner.worker.thread is None


def raising(error: BaseException) -> Callable[[threading.Event], object]:
    def work(_stop: threading.Event) -> None:
        raise error

    return work


def until_stopped(began: threading.Event) -> Callable[[threading.Event], object]:
    def work(stop: threading.Event) -> None:
        began.set()
        assert stop.wait(SECONDS)
        raise Interrupted("stopped")

    return work


def test_jobs_are_done_in_turn_on_a_thread_that_ends_with_them(owner: Owner) -> None:
    worker, threads = owner.worker, set()
    assert worker.wait(0)
    assert worker.thread is None
    with owner.gate:
        worker.put(owner.job("first", lambda _stop: threads.add(threading.current_thread())))
        worker.start(owner.job("second", lambda _stop: threads.add(threading.current_thread())))
        worker.put(owner.job("third"))
        assert worker.at_hand.what == "second is being done"
        assert not worker.wait(0.05), "none begins before the gate is free"
        assert owner.done == []
    assert worker.wait(SECONDS)
    assert owner.done == ["first", "second", "third"]
    assert owner.statuses == ["queued", "idle"], "of the one that is waited for"
    assert (worker.at_hand, worker.thread, owner.errors) == (None, None, [])
    (thread,) = threads
    thread.join(SECONDS)
    assert not thread.is_alive()
    worker.put(owner.job("again"))
    assert worker.wait(SECONDS)
    assert owner.done[-1] == "again"


def test_how_far_a_job_is_is_told(owner: Owner) -> None:
    told: list[Doing] = []

    def work(_stop: threading.Event) -> None:
        owner.worker.tell(Doing("tracing"))
        owner.worker.progress(0.5, "half")
        told.append(owner.worker.doing)
        owner.worker.stop()
        owner.worker.progress(0.6, "more")
        told.append(owner.worker.doing)

    owner.worker.start(owner.job("a", work))
    assert owner.worker.wait(SECONDS)
    assert told == [Doing("tracing", 0.5, "half"), Doing("stopping", 0.6, "more")]
    assert owner.worker.doing == Doing("idle", 0.0, "")


def test_stop_is_about_the_job_at_hand(owner: Owner) -> None:
    began, aside = threading.Event(), owner.job("aside")
    owner.worker.stop()
    assert owner.statuses == [], "there is nothing to stop"
    owner.worker.start(owner.job("at hand", until_stopped(began)))
    owner.worker.put(aside)
    assert began.wait(SECONDS)
    owner.worker.stop()
    assert owner.worker.wait(SECONDS)
    assert owner.statuses == ["queued", "stopping", "idle"]
    assert owner.done == ["at hand", "aside"]
    assert not aside.stop.is_set()
    assert [error[0] for error in owner.errors] == ["Interrupted('stopped')"]


def test_a_stop_that_comes_with_the_end_leaves_it_idle(owner: Owner) -> None:
    stops: list[threading.Thread] = []

    def stop() -> None:
        stops.append(threading.Thread(target=owner.worker.stop))
        stops[-1].start()

    owner.on["idle"] = stop
    for _ in range(50):
        owner.worker.start(owner.job("a"))
        assert owner.worker.wait(SECONDS)
        stops[-1].join(SECONDS)
        assert owner.worker.doing == Doing()
    assert set(owner.statuses) == {"queued", "idle"}


def test_a_job_that_is_dropped_is_not_begun_or_ends_early(owner: Owner) -> None:
    began = threading.Event()
    running, waiting = owner.job("running", until_stopped(began)), owner.job("waiting")
    owner.worker.drop(None)
    owner.worker.put(running)
    owner.worker.put(waiting)
    assert began.wait(SECONDS)
    owner.worker.drop(waiting)
    owner.worker.drop(running)
    assert owner.worker.wait(SECONDS)
    assert owner.done == ["running"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("observer", ["", "failed", "idle"])
def test_whatever_goes_wrong_in_a_job_or_in_hearing_of_it_the_next_is_done(
    owner: Owner, error: BaseException, observer: str
) -> None:
    def fail() -> None:
        raise RuntimeError("somebody else's fault")

    owner.on[observer] = fail
    with owner.gate:
        owner.worker.start(owner.job("a", raising(error)))
        owner.worker.put(owner.job("b"))
    assert owner.worker.wait(SECONDS)
    assert owner.done == ["a", "b"]
    assert owner.errors[0] == (repr(error), "place", "a failed")
    others = [('RuntimeError("somebody else\'s fault")', "place", "An observer failed")] if observer == "idle" else []
    assert owner.errors[1:] == others
    assert owner.worker.at_hand is None
    owner.worker.start(owner.job("c"))
    assert owner.worker.wait(SECONDS)
    assert owner.done[-1] == "c"


def test_an_observer_that_fails_when_a_job_is_queued_does_not_keep_it_from_being_done(owner: Owner) -> None:
    def fail() -> None:
        raise RuntimeError

    owner.on["queued"] = fail
    with pytest.raises(RuntimeError):
        owner.worker.start(owner.job("a"))
    assert owner.worker.wait(SECONDS)
    assert (owner.done, owner.worker.at_hand) == (["a"], None)


def test_closing_ends_the_job_that_runs_and_begins_no_other(owner: Owner) -> None:
    began, worker, waiting = threading.Event(), owner.worker, owner.job("waiting")
    worker.put(owner.job("running", until_stopped(began)))
    assert began.wait(SECONDS)
    worker.start(waiting)
    worker.close()
    worker.join(SECONDS)
    assert waiting.stop.is_set()
    assert owner.done == ["running"]
    assert owner.statuses == ["queued", "stopping", "idle"]
    assert (worker.thread, worker.at_hand) == (None, None)
    assert owner.let_go >= 1
    assert worker.wait(0)
    assert not worker.put(owner.job("late"))
    worker.start(owner.job("late"))
    assert (worker.thread, worker.doing.status) == (None, "idle")


def test_joining_waits_so_long_and_no_longer(owner: Owner) -> None:
    go, began = threading.Event(), threading.Event()
    owner.worker.start(owner.job("stubborn", lambda _stop: began.set() or go.wait(SECONDS)))
    assert began.wait(SECONDS)
    owner.worker.close()
    owner.worker.join(0.05)
    assert (owner.let_go, owner.worker.thread is None) == (0, False), "it is in the middle of a step"
    go.set()
    assert owner.worker.wait(SECONDS)
    assert owner.let_go == 1


@pytest.mark.parametrize("where", ["the job itself", "an observer", "whoever has the gate"])
def test_closing_from_within_waits_for_nothing(owner: Owner, where: str) -> None:
    worker = owner.worker

    def close() -> None:
        worker.close()
        worker.join(None)

    if where == "whoever has the gate":
        worker.start(owner.job("a", lambda stop: stop.wait(SECONDS)))
        with owner.gate:
            close()
            assert worker.thread is not None
    elif where == "an observer":
        owner.on["idle"] = close
        worker.start(owner.job("a"))
    else:
        worker.start(owner.job("a", lambda _stop: close()))
    assert worker.wait(SECONDS)
    assert owner.let_go >= 1
    assert owner.errors == []
    assert (worker.doing, worker.thread) == (Doing(), None)


def test_a_worker_with_nothing_to_do_is_collected_with_its_owner() -> None:
    owner = Owner()
    owner.worker.start(owner.job("a"))
    assert owner.worker.wait(SECONDS)
    gone = [weakref.ref(owner), weakref.ref(owner.worker)]
    del owner
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_no_job_is_lost_between_the_end_of_a_thread_and_the_next(owner: Owner) -> None:
    for i in range(300):
        owner.worker.put(owner.job(str(i)))
    assert owner.worker.wait(SECONDS)
    assert owner.done == [str(i) for i in range(300)]
