"""What several commands show in the terminal: a trace's grids, answers, how far a computation is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import factlens as fl
from factlens.drawing.text import grid_text
from factlens.progress import Share
from factlens.timing import TimeLeft
from factlens.tracing import Replacement
from factlens.tracing.picture import trace_picture
from factlens.tracing.sites import site_of
from factlens.visible import as_label, isolated

if TYPE_CHECKING:
    from factlens.models import Answer


def say(text: str) -> None:
    """Print a line at once, also where the output is no terminal."""
    print(text, flush=True)


def show_trace(trace: fl.Trace) -> None:
    """Print the grids: one character pair per cell, darker where more of the answer comes back."""
    corruption = (
        f"replaced by “{isolated(trace.corruption.subject)}”"
        if isinstance(trace.corruption, Replacement)
        else f"corrupted (noise {trace.noise_level:.3f}, {trace.samples.sizes['sample']} samples)"
    )
    answer = isolated(trace.shown_answer.strip())
    if trace.whole_answer is not None:
        answer += f" (measured: its first token, {trace.answer.strip()})"
    say(
        f"“{isolated(trace.fact.prompt)}” → {answer}: {trace.measure.label} = {trace.high:.2f} clean, "
        f"{trace.low:.2f} with the subject {corruption}\n"
    )
    picture = trace_picture(trace)
    say(grid_text(picture))
    for line in picture.legend("estimates are not shown"):
        say(line)
    for kind in trace.kinds:
        peak = trace.leading(kind)
        if peak is None:
            say(f"{site_of(kind).label}: nothing comes back that is larger than the noise")
            continue
        where = f"“{as_label(peak.piece)}”, layer {peak.layer}"
        say(f"{site_of(kind).label}: most comes back at {where} ({peak.effect:+.2f})")


def show_answers(before: Iterable[Answer], after: Iterable[Answer]) -> None:
    """Print the likeliest answers before and after an edit."""
    for name, answers in (("before", before), ("after", after)):
        say(f"{name:>7}: " + ", ".join(f"{as_label(a.shown)} {a.probability:.1%}" for a in answers))


@contextmanager
def progress_line() -> Iterator[Share]:
    """Show how far a computation is: on a line that is overwritten in a terminal, else a line for every tenth."""
    line, shown, terminal = TimeLeft(), -1, sys.stderr.isatty()

    def show(share: float) -> None:
        nonlocal shown
        text = line(share)
        if terminal:
            print(f"\r{text:40}", end="", file=sys.stderr, flush=True)
        elif int(10 * share) > shown:
            print(text, file=sys.stderr, flush=True)
            shown = int(10 * share)

    try:
        yield show
    finally:
        if terminal:
            print(file=sys.stderr)
