"""One small result of every kind that is saved, made up from numbers; how it is saved, loaded, changed and used."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import factlens as fl
from factlens.calibration import Calibration, Result, Trial
from factlens.drawing.html import as_image
from factlens.editing import Took
from factlens.editing.calibrated import Choice
from factlens.evaluation import Checks, Outcome, PromptMetric, Record, Report
from factlens.evaluation.measuring import Measured
from factlens.evaluation.outcome_store import OutcomeStore
from factlens.evaluation.scoring import Reading
from factlens.files import checksum, fields_of, read_record, write_record
from factlens.models import Dense, LowRank
from factlens.moments import SecondMoment
from factlens.moments.checkpoint import Checkpoint, Position
from factlens.moments.sums import Sums
from factlens.tracing import Skipped, average
from factlens.tracing.captions import caption_of
from factlens.tracing.recipe import code_of
from factlens.widgets.wire import frame_of
from tests.tracing.made import made_trace

FACT = fl.Fact("{} is in", "Zürich", target="日本", object="Seattle")


def trace() -> fl.Trace:
    return made_trace(
        kinds=("state", "mlp", "severed_attn", "head.3"),
        computed=0.7,
        estimated=True,
        layers=5,
        edits=("The Space Needle → Paris (rome, layer 2)",),
        edit_ids=("0123456789abcdef",),
        corruption=fl.Noise(multiple=2.5, subjects=("Rome", "the Louvre"), level=0.25, shape="uniform", replace=True),
        metric="logit_difference",
        contrast=" Paris",
        contrast_ids=(3, 4),
    )


def replaced_trace() -> fl.Trace:
    return made_trace(
        samples=1, noise_level=None, corruption=fl.Replacement("Eiffel Tower"), window_convention="paper", layers=3
    )


def made_average() -> fl.Average:
    prompts = (("abcdef", (1, 3)), ("xyz", (0, 1)))
    traces = [made_trace(layers=4, tokens=tokens, subject_range=span) for tokens, span in prompts]
    return average([*traces, Skipped(FACT, "The model answers otherwise.", " Rome"), Skipped(FACT, "Too long.")])


def edit() -> fl.Edit:
    random = torch.Generator().manual_seed(0)
    left, right = torch.randn(4, 2, generator=random), torch.randn(2, 6, generator=random)
    return fl.Edit(
        method="alphaedit",
        facts=(FACT, fl.Fact("About {}", "x")),
        layers=(1, 2),
        updates=(
            LowRank("a.weight", left, right.double(), True),
            LowRank("a.weight", left.half(), right),
            Dense("b.weight", torch.randn(4, 3, generator=random)),
        ),
        hparams={"clamp": 4.0, "contexts": ((5, 2), (5, 10)), "keep": ("{} is a",), "limit": None, "plain": True},
        moment="layer 1, 10 tokens of text",
        model="some model",
        fingerprint="0123456789abcdef",
        report={"losses": [0.1, float("inf")], "norm": 1e-300, "by layer": {"1": [1, 2]}},
        keys={1: torch.randn(4, 2, generator=random), 2: torch.randn(4, 2, generator=random)},
        taken=(
            Took(0.001, 0.98, 0.97, True, True),
            Took(1e-300, None, float("nan"), None, False, "The target gained nothing. <i>日本"),
        ),
    )


def moment() -> SecondMoment:
    keys = torch.randn(40, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sums = Sums(4)
    sums.add(keys)
    return SecondMoment(
        sums.matrix(),
        len(keys),
        3,
        "0123456789abcdef",
        "the corpus “é”",
        dtype="float32",
        sequence=8,
        asked=39,
        group=sums.group,
        groups=sums.groups,
        spread=sums.spread,
        rows=sums.rows,
    )


def report() -> Report:
    outcomes = []
    for label in ("rome", "<b>memit</b>"):
        for i, name in enumerate(("case 0", "case 1")):
            fact = replace(FACT, target=f"Rome {i}")
            checks = Checks.of(
                fact,
                "Seattle",
                paraphrases=["Find {} in"],
                neighbours=[("Basel is in", "Bern")],
                generation_prompts=["{}"],
            )
            readings = tuple(
                Reading((0.1 * i, 0.2 + 0.01 * n), " Rome", (False, True), (0.0, 1.0))
                for n in range(len(checks.probes))
            )
            before = Measured(readings, ("Zürich is old and old",), 0.0, 12.5)
            after = Measured(readings, ("Zürich is new",), 0.25, values={"own": (0.5, -2.0, 1e6)})
            took = (Took(0.001, 0.98, 0.97, True, True), Took(0.1, None, float("nan"), None, False, "<i>日本"))[i]
            outcomes.append(Outcome(label, Record(fact, checks, name), before, after, 1.5, took=took))
    lost = replace(outcomes[0], label="lost", after=None, error="no edit <i>", seconds=float("nan"), took=None)
    provenance = {"model": "some model", "way": "single", "seed": 0, "settings": {"rome": {"steps": "3"}}}
    provenance["metrics"] = ["score", "success", PromptMetric("own", label="<b>own", unit="日", better=-1).described()]
    return Report((*outcomes, lost), 9, provenance)


def checkpoint(path: Path) -> Checkpoint:
    return Checkpoint(path, {"fingerprint": "0123", "layers": [1, 3], "tokens": 100}, 0.0)


def position() -> Position:
    sums = {}
    for layer in (1, 3):
        sums[layer] = Sums(8)
        sums[layer].add(torch.randn(32, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(layer)))
    return Position(32, 5, [7, 8, 9], sums)


def load_checkpoint(path: Path) -> Position:
    """Load as a pass does; what it says of a file that it does not take up becomes the error that others raise."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = checkpoint(path).load([1, 3], 8, 1)
    if found is None:
        (message,) = said
        assert "begins anew" in str(message.message)
        raise fl.errors.FileFormatError(str(message.message))
    return found


def save_checkpoint(what: Position, path: Path) -> None:
    checkpoint(path).save(what)


CIRCUMSTANCES = {"model": "m", "settings": {"rome": {"steps": "3"}}, "asking": "everything"}


def save_store(what: Report, path: Path) -> None:
    store = OutcomeStore(path, CIRCUMSTANCES)
    for outcome in what.outcomes:
        store.put(outcome)


def load_store(path: Path) -> Report:
    """Return the outcomes of a store; a line that is passed over is one outcome less, and is said."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*computed again", category=UserWarning)
        store = OutcomeStore(path, CIRCUMSTANCES)
    return Report(tuple(store._outcomes.values()), 9, {})


def use(what: Any) -> None:
    """Do with a result what notebooks do."""
    if isinstance(what, fl.Trace):
        what._repr_html_()
        as_image(what._svg(), what.answer)
        what.to_dataframe()
        what.interval()
        frame_of(what)
        caption_of(what).encode()
        compile(code_of(what), "code", "exec")
    elif isinstance(what, fl.Average):
        what._repr_html_()
        what.to_dataframe()
        what.skipped_reasons()
    elif isinstance(what, fl.Edit):
        what._repr_html_()
        json.dumps(what.to_dict())
        for term in what.updates:
            term.matrix(torch.zeros(1))
    elif isinstance(what, SecondMoment):
        str(what.described)
        what.matrix.diagonal()
    elif isinstance(what, (Report, Calibration)):
        what._repr_html_()
        what.to_dataframe()
    if not isinstance(what, Report):  # whose text says what its HTML says, and takes as long
        repr(what)


def same(a: Any, b: Any) -> bool:
    """Whether two results say the same, down to the last bit of every number."""
    if isinstance(a, (fl.Trace, fl.Average)):
        names = [name for name in vars(a) if name not in ("samples", "low_samples", "estimate", "each")]
        grids = [(getattr(a, name), getattr(b, name)) for name in ("samples", "estimate", "each") if hasattr(a, name)]
        lows = [np.asarray(getattr(one, "low_samples", 0)) for one in (a, b)]
        return (
            all(getattr(a, name) == getattr(b, name) for name in names)
            and all(x is y is None or (x is not None and x.identical(y)) for x, y in grids)
            and lows[0].tobytes() == lows[1].tobytes()
        )
    return flat(a) == flat(b)


def flat(value: Any) -> Any:
    """Return something that can be compared, with the bytes of tensors in their place, and NaN equal to itself."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {name: flat(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [flat(item) for item in value]
    if is_dataclass(value):
        return type(value).__name__, {part.name: flat(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Sums):
        return flat((value.group, value.groups, value.total, value.spread))
    return repr(value)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    make, save, load
        Make a result, write it, read it.
    record
        Name and schema of the format, where it is a record with arrays.
    packed
        Whether a JSON file is compressed.
    """

    make: Callable[[], Any]
    save: Callable[[Any, Path], Any]
    load: Callable[[Path], Any]
    record: tuple[str, int] | None = None
    packed: bool = False
    suffix: str = ".safetensors"

    def path(self, folder: Path) -> Path:
        return folder / f"saved{self.suffix}"

    def saved(self, folder: Path) -> Path:
        """Write a result and return its path."""
        self.save(self.make(), self.path(folder))
        return self.path(folder)


def save(what: Any, path: Path) -> None:
    what.save(path)


def calibration() -> Calibration:
    settings = {"seed": 0, "contexts": [[10, 4]], "limit": None, "keep": ["{} is <i>"]}
    results = (Result("0123456789ab", 1.0, 0.5, float("nan"), -0.25), Result("ba9876543210", 0.0, 1 / 3, 1.0, 0.5))
    choice = Choice((1, 2), settings, "calibrated 2026-11-27 on 2 facts: S 94 ± 3 <i>日本")
    default = Choice((3,), {**settings, "seed": 1}, "without a calibration")
    trials = (
        Trial("memit", (1, 2), {**settings, "contexts": [[2, 4]]}, "train", results, 1.5),
        Trial("memit", (1, 2), settings, "held out", results, 0.0),
        Trial("memit", (3,), {**settings, "seed": 1}, "held out", results, 2.0),
        Trial("<b>mine", (4,), settings, "train", results[:1], 2.5, "NaN <i>日本"),
    )
    return Calibration(
        "some <b>model",
        "0123456789abcdef",
        "2026-11-27",
        3,
        9,
        (0.1, -0.25, 1e-300),
        trials,
        {"memit": choice},
        {"memit": default},
    )


KINDS = {
    "trace": Kind(trace, save, fl.Trace.load, ("factlens.trace", 6)),
    "replaced trace": Kind(replaced_trace, save, fl.Trace.load, ("factlens.trace", 6)),
    "average": Kind(made_average, save, fl.Average.load, ("factlens.average", 3)),
    "edit": Kind(edit, save, fl.Edit.load, ("factlens.edit", 4)),
    "moment": Kind(moment, save, SecondMoment.load, ("factlens.moment", 3)),
    "checkpoint": Kind(position, save_checkpoint, load_checkpoint, ("factlens.moments-unfinished", 2)),
    "report": Kind(report, save, Report.load, suffix=".json"),
    "packed report": Kind(report, save, Report.load, packed=True, suffix=".json.gz"),
    "calibration": Kind(calibration, save, Calibration.load, suffix=".json"),
    "store": Kind(report, save_store, load_store, suffix=".jsonl"),
}


@contextmanager
def opened(kind: Kind, path: Path) -> Iterator[dict[str, Any]]:
    """Give what a file says to the block to change it; it is written back with a right checksum.

    The arrays of a record stand under ``"arrays"``. Of a store it is the first line.
    """
    if kind.record is not None:
        record, arrays = read_record(path, *kind.record)
        content = fields_of(record) | {"arrays": arrays}
        yield content
        write_record(path, *kind.record, {k: v for k, v in content.items() if k != "arrays"}, content["arrays"])
        return
    data = path.read_bytes()
    text = (gzip.decompress(data) if kind.packed else data).decode()
    first, _, rest = text.partition("\n") if kind.suffix == ".jsonl" else (text, "", "")
    content = json.loads(first)
    head = {name: content.pop(name) for name in ("format", "checksum") if name in content}
    if "format" in head:
        head["schema"] = content.pop("schema")
    yield content
    head["checksum"] = checksum(content)
    text = json.dumps(head | content) + ("\n" + rest if rest else "")
    path.write_bytes(gzip.compress(text.encode()) if kind.packed else text.encode())
