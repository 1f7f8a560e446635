"""What is left of a lens that was closed: nothing, whatever was done with it before; and what it says then."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import ipywidgets as w
import pytest
from ipywidgets.widgets.widget import _instances
from traitlets import TraitError, link

import factlens as fl
from factlens.errors import Closed
from factlens.evaluation import Checks
from factlens.session import locating
from tests.support import small_model

FACT = fl.Fact("In Paris, the {} is near", "Eiffel Tower", target="Seattle")
QUICK = {"steps": 1, "learning_rate": 0.001}
CELL = {"kind": "mlp", "token": 1, "layer": 2}


def gesture(lens: fl.Lens, name: str, **payload: object) -> None:
    lens.gestures._handle_custom_msg({"type": "gesture", "id": 1, "name": name, **payload}, [])


def traced(lens: fl.Lens) -> None:
    lens.start()
    assert lens.session.wait(30)


def edited(lens: fl.Lens) -> None:
    lens.method = "ft"
    gesture(lens, "apply", target="Rome", layer=1, settings=QUICK)
    assert lens.session.wait(60)
    assert lens.edits


def judged(lens: fl.Lens) -> None:
    edited(lens)
    gesture(lens, "judge")
    assert lens.session.wait(60)
    assert lens.judgement


def read(lens: fl.Lens) -> None:
    traced(lens)
    gesture(lens, "select", **CELL)
    gesture(lens, "pins", cells=[CELL, {**CELL, "kind": "attn"}])
    gesture(lens, "range", layers=[1, 2], tokens=None)
    assert lens.session.wait(30)
    assert lens.details


def compared(lens: fl.Lens) -> None:
    traced(lens)
    edited(lens)
    traced(lens)
    assert lens.heatmap.comparison


def followed(lens: fl.Lens) -> None:
    traced(lens)
    fl.edit(lens.session.model, FACT, method="ft", layers=1, steps=1)
    assert lens.session.wait(30)
    assert lens.edits


def following(lens: fl.Lens) -> None:
    """Answers are being read again."""
    traced(lens)
    with lens.session.model.exclusive():
        fl.edit(lens.session.model, FACT, method="ft", layers=1, steps=1)
        lens.close()


def failed(lens: fl.Lens) -> None:
    """An error has frames, and these have the model."""
    traced(lens)
    edited(lens)
    lens.session.model.down_projection(1).weight.data.mul_(2)
    lens.start()
    assert lens.session.wait(30)
    assert lens.editor.state["foreign"]
    assert lens.session.last_error.__traceback__


def refused(lens: fl.Lens) -> None:
    with pytest.raises(TraitError):
        lens.selection = {**CELL, "layer": 99}
    gesture(lens, "nonsense")


def observed(lens: fl.Lens) -> None:
    second = fl.Lens(lens.session.model, FACT)
    lens.observe(lambda change: lens.trace, "status")
    for name in ("fact", "selection", "edits", "target"):
        link((lens, name), (second, name))
    traced(lens)
    edited(lens)
    assert second.session.wait(60)
    second.close()


def shown(lens: fl.Lens) -> None:
    lens._repr_mimebundle_()
    lens.snapshot.show(lens.trace, lens.edits)
    traced(lens)
    lens.snapshot.show(lens.trace, lens.edits)


def tracing(lens: fl.Lens) -> None:
    lens.start()
    until(lambda: lens.trace is not None)
    assert lens.status == "tracing"


def stopped(lens: fl.Lens) -> None:
    tracing(lens)
    gesture(lens, "stop")
    assert lens.session.wait(30)
    assert not lens.trace.complete


def editing(lens: fl.Lens) -> None:
    gesture(lens, "apply", target="Rome", layer=1, settings={"steps": 500})
    until(lambda: lens.progress > 0)
    assert lens.status == "editing"


def waiting(lens: fl.Lens) -> None:
    """Closed while somebody else has the model."""
    with lens.session.model.exclusive():
        lens.start()
        lens.close()


def reading(lens: fl.Lens) -> None:
    traced(lens)
    with lens.session.model.exclusive():
        lens.selection = CELL
        lens.close()


def from_an_observer(lens: fl.Lens) -> None:
    lens.observe(lambda change: lens.close(), "trace")
    lens.start()
    assert lens.session.wait(30)


BEFORE: list[Callable[[fl.Lens], None]] = [
    lambda lens: None,
    *[traced, edited, judged, read, compared, followed, following, failed, refused, observed, shown, tracing, stopped],
    *[editing, waiting, reading, from_an_observer],
]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)


@pytest.fixture(autouse=True)
def _slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a trace take its time, so that something can happen in the middle of it."""
    real = locating.stream

    def stream(*args: object, **options: object) -> Iterator[object]:
        for update in real(*args, **options):
            yield update
            time.sleep(0.02)

    monkeypatch.setattr(locating, "stream", stream)


def left() -> tuple[set[str], int]:
    """Our threads, and how many widgets ipywidgets keeps."""
    names = {thread.name for thread in threading.enumerate() if thread.name.startswith("factlens")}
    return names, len(_instances)


def use(before: Callable[[fl.Lens], None], *, keep: bool) -> tuple[dict[str, weakref.ref], list[object]]:
    """Do something with a lens and close it; return what should be gone, and what is kept."""
    model = small_model("gpt2")
    lens = fl.Lens(model, FACT)
    parts = {"wrapper": model, "Hugging Face model": model.model}
    if not keep:
        parts |= {"lens": lens, "session": lens.session, "heatmap": lens.heatmap, "bars": lens.bars.figure}
        parts |= {"profile": lens.profile, "snapshot": lens.snapshot, "gestures": lens.gestures}
    gone = {name: weakref.ref(part) for name, part in parts.items()}
    record = model._record
    before(lens)
    lens.close()
    assert record._listeners == {}
    return gone, [record, lens] if keep else [record]


@pytest.mark.parametrize("before", BEFORE, ids=lambda before: before.__name__)
def test_nothing_survives_a_lens_that_is_closed(before: Callable[[fl.Lens], None]) -> None:
    gc.collect()
    at_first = left()
    gone, _kept = use(before, keep=False)
    assert left() == at_first
    gc.collect()
    assert {name for name, ref in gone.items() if ref() is not None} == set()


@pytest.mark.parametrize("before", BEFORE, ids=lambda before: before.__name__)
def test_a_closed_lens_that_somebody_keeps_keeps_no_model(before: Callable[[fl.Lens], None]) -> None:
    """As the notebook does it: Out[3]."""
    gone, (_record, lens) = use(before, keep=True)
    gc.collect()
    assert {name for name, ref in gone.items() if ref() is not None} == set()
    assert isinstance(lens, fl.Lens)
    assert repr(lens) == "<factlens.Lens, closed>"
    assert (lens.status, lens.fact.prompt) == ("idle", FACT.prompt)
    lens.close()


def test_ten_lenses_and_no_thread() -> None:
    model = small_model("gpt2")
    lenses = [fl.Lens(model, FACT) for _ in range(10)]
    assert left()[0] == set()
    for lens in lenses:
        lens.start()
    for lens in lenses:
        assert lens.session.wait(120)
        assert lens.trace.complete
    assert left()[0] == set()
    for lens in lenses:
        lens.close()


ASKED: dict[str, Callable[[fl.Lens], object]] = {
    "start": lambda lens: lens.start(),
    "display": lambda lens: lens._ipython_display_(),
    "marimo": lambda lens: lens._display_(),
    "trace": lambda lens: lens.session.start_trace(),
    "resume": lambda lens: lens.session.start_resume(),
    "edit": lambda lens: lens.session.start_edit("Rome"),
    "undo": lambda lens: lens.session.start_undo(),
    "redo": lambda lens: lens.session.start_redo(),
    "drop": lambda lens: lens.session.start_drop("0"),
    "load": lambda lens: lens.session.start_load(b""),
    "edits": lambda lens: lens.session.start_edits(()),
    "keep": lambda lens: lens.session.start_keep(),
    "revert": lambda lens: lens.session.start_revert(),
    "judge": lambda lens: lens.session.start_judge(),
    "take": lambda lens: lens.session.take(lens.trace),
    "open": lambda lens: lens.session.open(b""),
    "select": lambda lens: lens.session.select("mlp", 1, 1),
    "examine": lambda lens: lens.session.examine(CELL),
    "save": lambda lens: lens.session.saved("0"),
    "save_trace": lambda lens: lens.session.saved_trace(),
    "method": lambda lens: lens.session.choose_method("ft"),
    "spell": lambda lens: lens.session.spell("Rome"),
    "add_prompt": lambda lens: lens.session.add_prompt("Rome is"),
    "remove_prompt": lambda lens: lens.session.remove_prompt("Rome is"),
    "catch_up": lambda lens: lens.session.catch_up(),
    "model": lambda lens: lens.session.model,
}


@pytest.fixture
def closed() -> Iterator[fl.Lens]:
    lens = fl.Lens(small_model("gpt2"), FACT)
    traced(lens)
    edited(lens)
    lens.close()
    yield lens
    assert left()[0] == set(), "no thread was begun"


@pytest.mark.parametrize("asked", ASKED)
def test_a_closed_lens_says_so(closed: fl.Lens, asked: str) -> None:
    with pytest.raises(Closed, match=r"This lens is closed\. Make another one"):
        ASKED[asked](closed)
    assert isinstance(Closed(), fl.FactlensError)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fact", fl.Fact("{} is", "Rome")),
        ("selection", CELL),
        ("target", "Oslo"),
        ("method", "rome"),
        ("edits", ()),
        ("checks", Checks.of(FACT, "Paris")),
    ],
)
def test_no_trait_of_a_closed_lens_can_be_set(closed: fl.Lens, name: str, value: object) -> None:
    before = getattr(closed, name)
    with pytest.raises(TraitError, match="This lens is closed"):
        setattr(closed, name, value)
    assert getattr(closed, name) == before


def test_what_a_closed_lens_has_shown_can_still_be_read(closed: fl.Lens) -> None:
    assert closed.trace.complete
    assert [edit.label for edit in closed.edits] == ["Eiffel Tower → Rome"]
    assert closed.error is None
    for name in ("trace", "undo", "stop", "select", "judge", "close"):
        gesture(closed, name, prompt="a", subject="b", key="0")
    assert closed.session.wait(1)


def test_edits_stay_when_a_lens_goes() -> None:
    model = small_model("gpt2")
    lens, other = fl.Lens(model, FACT), fl.Lens(model, FACT)
    edited(lens)
    lens.close()
    assert model.edits == other.edits != ()
    assert other.editor.state["edits"][0]["origin"] == "lens"
    model.undo()
    assert other.edits == ()
    other.close()


def test_a_lens_that_cannot_be_made_leaves_nothing() -> None:
    fact = fl.Fact("word " * 500 + "{}", "Rome")
    model = small_model("gpt2")
    at_first = left()
    with pytest.raises(fl.FactlensError):
        fl.Lens(model, fact)
    assert left() == at_first
    gc.collect()
    fl.edit(model, FACT, method="ft", layers=1, steps=1)
    assert model._record._listeners == {}


def test_a_widget_that_the_user_has_put_in_is_not_closed() -> None:
    lens = fl.Lens(small_model("gpt2"), FACT)
    mine = w.HTML("mine")
    lens.children = (*lens.children, mine)
    lens.close()
    assert mine.comm is not None
    mine.close()
    for piece in (mine.layout, mine.style):
        piece.close()


def test_the_garbage_collector_never_waits_for_the_gate() -> None:
    """It may come in a thread that the holder of the gate is waiting for: then both would wait for ever."""
    lens = fl.Lens(small_model("gpt2"), FACT)
    lens.close()  # ipywidgets keeps what is open
    session = lens.session
    done = threading.Event()

    def collect(held: list[fl.Lens]) -> None:
        held.pop().__del__()
        done.set()

    with session.gate:
        thread = threading.Thread(target=collect, args=([lens],))
        thread.start()
        assert done.wait(10), "it waits for the gate"
    thread.join(10)
    deadline = time.monotonic() + 10
    while any(one.name == "factlens-closing" for one in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert session.closed


def test_a_lens_that_is_collected_while_the_gate_is_free_is_closed_at_once() -> None:
    lens = fl.Lens(small_model("gpt2"), FACT)
    session = lens.session
    lens.__del__()
    assert session.closed
    assert not session.gate._is_owned()  # type: ignore[attr-defined]
