"""The bar that long computations show by themselves, and stages that become one bar."""

from __future__ import annotations

import io
import json
import sys

import pytest

import factlens.bar as bar_module
from factlens.bar import Bar, by_itself, of_count, of_stages, unshown
from factlens.progress import Stage, Stages, words_of


class Screen:
    """A front end that remembers what it was told to show."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.shown: list[tuple[float, str]] = []
        self.closed = 0

    def open_bar(self, what: str) -> Screen:
        self.opened.append(what)
        return self

    def draw(self, share: float, words: str) -> None:
        self.shown.append((share, words))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A screen for all bars, which come at once and are drawn at every step."""
    screen = Screen()
    monkeypatch.setattr(bar_module, "import_module", lambda _name: screen)
    monkeypatch.setattr(bar_module, "LATE", 0.0)
    monkeypatch.setattr(bar_module, "EVERY", 0.0)
    return screen


@by_itself("Counting")
def counting(*, progress=None):
    for i in range(3):
        if progress is not None:
            progress((i + 1) / 3)
    return progress


@by_itself("Counting things", of_count("things"))
def counting_all(*, progress=None, inner=counting):
    for done in range(2):
        inner()
        if progress is not None:
            progress(done + 1, 2)


def test_a_bar_comes_by_itself_and_goes_at_the_end(screen):
    counting()
    assert screen.opened == ["Counting"]
    assert [round(share, 2) for share, _ in screen.shown] == [0.33, 0.67, 1.0]
    assert screen.closed == 1


def test_nothing_is_shown_where_progress_is_a_function_or_false_or_in_a_block_of_unshown(screen):
    shares = []
    counting(progress=shares.append)
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])
    assert counting(progress=False) is None
    with unshown():
        counting()
        counting_all()
    counting_all(progress=lambda *_: None)
    counting_all(progress=False)
    assert screen.opened == []
    counting()
    assert screen.opened == ["Counting"], "and the thread is as it was"


def test_what_is_called_inside_moves_the_same_bar_and_says_what_it_does(screen):
    counting_all()
    assert screen.opened == ["Counting things"]
    shares = [share for share, _ in screen.shown]
    assert shares == sorted(shares)
    assert {round(share, 2) for share in shares} >= {0.5, 0.67, 0.83, 1.0}
    assert (pytest.approx(2 / 3), "1 of 2 things, counting") in screen.shown
    assert screen.closed == 1


def test_an_error_takes_the_bar_away_and_leaves_the_thread_whole(screen):
    def struck():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        counting_all(inner=lambda: counting() and struck())
    with pytest.raises(KeyboardInterrupt):
        counting_all(inner=struck)
    assert bar_module._around() is None
    counting()
    assert screen.opened[-1] == "Counting"


def test_what_an_interrupt_has_left_open_silences_nothing_that_comes_after(screen):
    left = bar_module._within(None)
    left.__enter__()
    del left  # struck at its end: nothing has closed it
    counting()
    assert screen.opened == ["Counting"]


def test_a_screen_that_fails_ends_no_computation(screen, monkeypatch):
    def broken(*_: object) -> None:
        raise OSError("the terminal is gone")

    monkeypatch.setattr(screen, "draw", broken)
    monkeypatch.setattr(screen, "close", broken)
    counting()


def test_what_is_quick_shows_nothing_and_what_lasts_shows_itself_also_without_news(screen, monkeypatch):
    monkeypatch.setattr(bar_module, "LATE", 0.5)
    now = [0.0]
    bar = Bar("Waiting", clock=lambda: now[0])
    bar.tell(0.5)
    now[0] = 0.4
    bar.beat()
    assert screen.opened == []
    now[0] = 0.6
    bar.beat()  # as an interruption point does, in the middle of a long pass
    assert screen.opened == ["Waiting"]


def test_time_left_is_stated_once_it_is_known(screen):
    now = [0.0]
    bar = Bar("Working", clock=lambda: now[0])
    for second in range(6):
        now[0] = float(second)
        bar.tell(second / 10, "on it")
    assert [words for _, words in screen.shown][:3] == ["on it"] * 3
    assert screen.shown[-1][1] == "on it, about 5 s left"
    bar.tell(0.6, "on it", "for as long as it takes")
    assert screen.shown[-1][1] == "on it, for as long as it takes"


def test_stages_make_one_bar_that_never_goes_back(screen):
    told = of_stages({"first": 0.25, "second": 0.25, "third": 0.5})

    @by_itself("Stages", told)
    def work(*, progress=None):
        for stage in ("first", "third", "first"):
            for share in (0.0, 0.5, 1.0):
                progress(Stage(stage, f"doing the {stage}"), share)

    work()
    shares = [share for share, _ in screen.shown]
    assert shares == sorted(shares)
    # The second was left out: the third has what the first leaves.
    assert shares[:6] == pytest.approx([0, 0.125, 0.25, 0.25, 0.625, 1.0])
    assert screen.shown[0][1] == "doing the first"
    assert words_of("plain") == "plain"
    assert Stages({"a": 1.0}).whole("unheard of", 0.5) == 0.5


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("output", [Terminal, io.StringIO])
def test_in_a_terminal_a_line_comes_and_goes_and_elsewhere_nothing_is_written(monkeypatch, output):
    stream = output()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(bar_module, "LATE", 0.0)
    counting()
    written = stream.getvalue()
    if output is Terminal:
        assert "Counting:  33 %|" in written
        assert not written.endswith("\n"), "the line is taken away, not left"
        assert written.split("\r")[-1].strip() == "" or written.split("\r")[-2].strip() == ""
    else:
        assert written == ""


def test_in_a_notebook_a_widget_comes_and_one_quiet_line_stays():
    import nbformat
    from nbclient import NotebookClient

    cell = """
import factlens.bar as bar
bar.LATE = 0.0
@bar.by_itself("Counting")
def counting(*, progress=None):
    for i in range(3):
        progress(i / 3)
counting()
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(notebook, timeout=120).execute()
    (output,) = notebook.cells[0].outputs
    assert output["data"] == {"text/plain": "Counting took 1 s."}
    assert "widget-view" not in json.dumps(notebook.cells[0])
