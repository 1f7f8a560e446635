"""The whole list of benchmarks for a model, one after the other, into one table.

    python benchmarks/all.py                                 # atlas and random models, as each does by itself
    python benchmarks/all.py --model path/to/model.gguf      # a real checkpoint, in those that take one
    python benchmarks/all.py --quick                         # minutes: few rounds, few facts, small shapes

Each runs in a process of its own, so that none leaves the next one a warm cache or a full memory. Two files are
written: a table in Markdown and the same as CSV, with a row for each line of numbers, and the heading that it stands
under. One that fails has a row that says so; the others run, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
COLUMNS = ("benchmark", "arguments", "heading", "result", "seconds")


class Row(NamedTuple):
    """One line of numbers: the benchmark, its arguments, what it stands under, and the seconds of the whole."""

    benchmark: str
    arguments: str
    heading: str
    result: str
    seconds: float


def plan(model: str | None, device: str | None, quick: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield the benchmarks to run with their arguments."""
    where = [] if device is None else ["--device", device]
    which = [] if model is None else ["--model", model]
    small = ["--shape", "tiny"] if quick else []
    few = ["--rounds", "1"] if quick else []
    yield "tracing", [*(which or small), *where, *few, *(["--every", "60"] if quick else [])]
    yield "identity", [*which, *where, *few]
    yield "editing", [*(which or small), *where, *few, *(["--batch", "2"] if quick else [])]
    yield "moments", [*small, *where, *few, *(["--tokens", "4096"] if quick else [])]
    yield "attribution_patching", ["--facts", "3"] if quick else []
    if not quick:
        yield "edit_quality", ["--layers", "default"]


def run(name: str, arguments: Sequence[str]) -> tuple[list[Row], bool]:
    """Run a benchmark; return its rows, and whether it came to its end."""
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(HERE / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)
    seconds = time.perf_counter() - began
    rows, complete = rows_of(name, shown_arguments(arguments), done.stdout, seconds), done.returncode == 0
    if not complete:
        last = (done.stderr.strip().splitlines() or ["without a message"])[-1]
        rows.append(Row(name, shown_arguments(arguments), "failed", f"exit status {done.returncode}: {last}", seconds))
    return rows, complete


def shown_arguments(arguments: Sequence[str]) -> str:
    """Return arguments for a table: of a file its name, since its folder says nothing on another machine."""
    return " ".join(Path(one).name if os.sep in one else one for one in arguments)


def rows_of(name: str, arguments: str, output: str, seconds: float) -> list[Row]:
    """Return what a benchmark has printed as rows: a line that is indented stands under the one before that is not.

    A heading that nothing stands under is a row of its own.
    """
    rows: list[Row] = []
    heading, empty = "", False
    for line in output.splitlines():
        if not line.strip():
            continue
        if line[0].isspace():
            rows.append(Row(name, arguments, heading, line.strip(), seconds))
            empty = False
            continue
        if empty:
            rows.append(Row(name, arguments, "", heading, seconds))
        heading, empty = line.strip(), True
    if empty:
        rows.append(Row(name, arguments, "", heading, seconds))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Return rows as a table in Markdown."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(row._replace(seconds=round(row.seconds, 1)) for row in rows)]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a Hub id, a folder or a .gguf file")
    parser.add_argument("--device")
    parser.add_argument("--quick", action="store_true", help="to see that all of it runs; its numbers mean little")
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks"), help="both files, without the ending")
    options = parser.parse_args()
    rows: list[Row] = []
    failed = []
    for name, arguments in plan(options.model, options.device, options.quick):
        print(f"{name} {shown_arguments(arguments)} ...", flush=True)
        more, complete = run(name, arguments)
        rows += more
        failed += [] if complete else [name]
        # After each, so that what was measured is there if a later one is stopped.
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.with_suffix(".md").write_text(markdown(rows), encoding="utf-8")
        with options.out.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
    print(f"{len(rows)} rows in {options.out}.md and .csv")
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
