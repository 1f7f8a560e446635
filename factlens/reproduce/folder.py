"""`Folder`: where an experiment writes its tables, figures and provenance, and what it has already computed."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from factlens.bounded import parse_json, read_text
from factlens.drawing.figure import FORMATS, figure_bytes
from factlens.drawing.look import LookOptions
from factlens.drawing.tables import frame_csv, frame_table, table_latex
from factlens.errors import FactlensError
from factlens.files import write_bytes, write_text
from factlens.models import Model
from factlens.models.belonging import Weights
from factlens.progress import Count
from factlens.timing import TimeLeft
from factlens.typed import mapping, plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SETTINGS = "settings.json"
"""What a folder was begun with."""
_SETTINGS = mapping(plain())
_PACKAGES = ("factlens", "torch", "transformers", "numpy", "scipy", "scikit-learn", "nltk")


class Folder:
    """An experiment's folder.

    Parameters
    ----------
    path
        The folder; it is made. What an earlier run of the same experiment has left there is used again.
    say
        Called with lines for the user.
    look
        How its figures look; see `factlens.drawing.look.Look`.
    """

    def __init__(
        self, path: str | Path, say: Callable[[str], None] | None = None, look: LookOptions | None = None
    ) -> None:
        self.path = Path(path)
        self.look: LookOptions = {} if look is None else look
        self.say = say or (lambda line: None)
        self.written: list[Path] = []
        self.notes: list[str] = []
        self._began = time.time()
        self.path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out of the folder for the block; a process that is killed lets go of it.

        Raises
        ------
        FactlensError
            If another process is at work in it.
        """
        try:
            held = FileLock(self.path / ".lock", timeout=0).acquire()
        except Timeout as error:
            raise FactlensError(
                f"Another process is running an experiment in {self.path}. Wait for it, or choose another folder."
            ) from error
        with held:
            yield

    def claim(self, **settings: Any) -> None:
        """Say what is computed here, the first time; refuse, later, to mix it with anything else.

        Parameters
        ----------
        **settings
            All that the results depend on, as plain JSON. ``{"called": ..., "is": ...}`` is told from others by what
            it is, and not by what it is called.

        Raises
        ------
        FactlensError
            If the folder holds results of other settings; the message says in what they differ.
        """
        path = self.path / SETTINGS
        # As the file has them: no tuples.
        settings = json.loads(json.dumps(settings, default=repr))
        try:
            begun = _SETTINGS(parse_json(read_text(path)))
        except FileNotFoundError:
            write_text(path, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")
            return
        except ValueError as error:
            raise FactlensError(
                f"{path} is damaged, so that it cannot be told what {self.path} holds. Choose another folder."
            ) from error
        if others := [
            f"{name} is {_for_people(begun.get(name))} there, and {_for_people(settings.get(name))} here"
            for name in dict.fromkeys([*begun, *settings])
            if _telling(begun.get(name)) != _telling(settings.get(name))
        ]:
            raise FactlensError(
                f"{self.path} holds what was begun with other settings: {'; '.join(others)}. Choose another folder, or "
                "the settings that it was begun with."
            )

    @property
    def store(self) -> Path:
        """The file of judged records."""
        return self.path / "outcomes.jsonl"

    def inner(self, name: str) -> Path:
        """Return a folder inside, made if need be."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def table(self, name: str, frame: pd.DataFrame, *, index: bool = True) -> None:
        """Write a table as CSV and for LaTeX, and show it."""
        self.csv(name, frame, index=index)
        text = table_latex(frame_table(frame.reset_index() if index else frame))
        self.written.append(write_text(self.path / f"{name}.tex", text))
        self.say(frame.round(4).to_string(index=index))

    def csv(self, name: str, frame: pd.DataFrame, *, index: bool = True) -> None:
        """Write a table as CSV. Its texts, such as the names of records, come from data sets: none is a formula."""
        self.written.append(write_text(self.path / f"{name}.csv", frame_csv(frame, index=index)))

    def figure(self, name: str, figure: Figure) -> None:
        """Write a figure, as PDF, SVG and PNG: letters as letters, and the same bytes every time."""
        for suffix in FORMATS:
            data = figure_bytes(figure, suffix, dpi=300 if self.look else 150)
            self.written.append(write_bytes(self.path / f"{name}.{suffix}", data))

    def note(self, line: str) -> None:
        """Say a line, and keep it for the summary."""
        self.notes.append(line)
        self.say(line)

    def summary(self, lines: Sequence[str]) -> None:
        """Write what the numbers say, in words, behind the notes; and show it."""
        text = "\n\n".join([*self.notes, *lines])
        self.written.append(write_text(self.path / "summary.md", f"{text}\n"))
        self.say(text)

    def provenance(self, model: Model, **what: Any) -> None:
        """Write where the numbers come from: model, settings, versions, machine, time."""
        weights = Weights.of(model)
        content = {
            "command": sys.argv,
            "model": model.name,
            "fingerprint": weights.fingerprint,
            "edits": list(weights.labels),
            "edit_ids": list(weights.edit_ids),
            "dtype": str(model.dtype),
            "device": str(model.device),
            **what,
            "versions": {name: installed for name in _PACKAGES if (installed := _version(name))},
            "python": platform.python_version(),
            "machine": platform.platform(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self._began, 1),
            "files": [path.name for path in self.written],
        }
        text = json.dumps(content, indent=1, ensure_ascii=False, default=repr)
        self.written.append(write_text(self.path / "provenance.json", f"{text}\n"))

    def progress(self, what: str) -> Count:
        """Return a function to call with how many of how many are done, which says so with the time left."""
        left, shown = TimeLeft(), -1

        def report(done: int, total: int) -> None:
            nonlocal shown
            line = left(done / total)
            if (tenth := 20 * done // total) > shown or done == total:
                shown = tenth
                self.say(f"{what}: {done} of {total}, {line}")

        return report


def layers_of(method: str, layers: Sequence[int] | Mapping[str, Sequence[int]] | None) -> Sequence[int] | None:
    """Return which layers a method edits, where layers are given for all methods or by method; None for its own."""
    return layers.get(method) if isinstance(layers, Mapping) else layers


def beside(rows: Mapping[str, tuple[float, ...]], columns: tuple[str, ...], source: str) -> pd.DataFrame:
    """Return published rows as a table, their source in the index."""
    import pandas as pd

    frame = pd.DataFrame.from_dict(dict(rows), orient="index", columns=list(columns))
    frame.index = pd.MultiIndex.from_product([[source], frame.index], names=["source", "method"])
    return frame


def _telling(value: Any) -> Any:
    """Return what tells a setting from another."""
    return value["is"] if isinstance(value, dict) and value.keys() == {"called", "is"} else value


def _for_people(value: Any) -> str:
    """Return how a setting is called; with a few digits of what it is, where it goes by that."""
    if isinstance(value, dict) and value.keys() == {"called", "is"}:
        return f"{value['called']} ({value['is']:.8})"
    return json.dumps(value, ensure_ascii=False)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
