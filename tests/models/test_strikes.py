"""Before or after, nothing between: whatever strikes at whichever line of a call that writes, all is put back.

The short calls are struck at every line as often as it runs. The long ones, edits and judgements, run thousands of
lines, and each strike runs the call anew: these are struck at a sample, half of it in the files that write, hook and
settle. What that leaves out is a line at which only a strike in one of these very calls goes wrong, until it is chosen:
each test has another sample, and together they have all lines that write and most of the others.
``FACTLENS_STRIKES=lines`` strikes at the first and the last run of every line, which takes hours, and
``FACTLENS_STRIKES=all`` at every run: for after a change to what settles.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any

import pytest
import torch

import factlens as fl
from factlens.evaluation import Checks
from factlens.models.belonging import edit_id
from factlens.models.settling import open_stays
from tests.calibration.made import add_quick_method, facts_known_to
from tests.editing.made import moment_of
from tests.models.made import bits, same_bits, some_edit
from tests.strikes import Struck, evenly, first_and_last, first_of, interrupt, lines_of, sample_of, struck_at, throw
from tests.support import small_model
from tests.tracing.faults import locked

FACT = fl.Fact("In {} is", "Paris", target="a")
OTHER = fl.Fact("Near {} is", "Rome", target="a")


def tiny() -> fl.Model:
    """As small as can be, as somebody left it who was training part of it."""
    model = small_model("gpt2", n_layer=1, n_embd=8, n_head=2, resid_pdrop=0.5)
    model.model.train()
    model.blocks[0].attn.eval()
    model.embedding.weight.requires_grad_(False)
    model.head.register_forward_hook(lambda *_: None)
    return model


@dataclass
class State:
    """Everything that a call must not leave half-way."""

    weights: dict[str, torch.Tensor]
    rest: dict[str, Any]

    @classmethod
    def of(cls, model: fl.Model) -> State:
        modules = list(model.model.modules())
        rest = {
            "edits": model.edit_ids,
            "undone": [edit_id(edit) for edit in model.undone],
            "originals": sorted(model._record.stack._originals),
            "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in vars(m)) for m in modules],
            "attributes": [sorted(vars(m)) for m in modules],
            "training": [m.training for m in modules],
            "requires_grad": [p.requires_grad for p in model.model.parameters()],
            "parameters": [id(p) for p in model.model.parameters()],
            "gradients": torch.is_grad_enabled(),
            "random": torch.get_rng_state().tolist(),
            "interrupts": signal.getsignal(signal.SIGINT),
            "lock": (list(model._record.turn._held), model._record.turn._free.locked()),
            "stays": len(open_stays()),
            "threads": threading.active_count(),
        }
        return cls(bits(model), rest)

    def differs(self, other: State) -> list[str]:
        wrong = [name for name, value in self.rest.items() if value != other.rest[name]]
        return wrong if same_bits(self.weights, other.weights) else [*wrong, "weights"]


@dataclass
class Made:
    """A model with two edits in force and one undone, and what the calls are made with."""

    model: fl.Model
    a: Any
    b: Any
    c: Any
    moments: Any
    judged: fl.Edit
    stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def new(cls) -> Made:
        model = tiny()
        a, b, c = (some_edit(model, seed, layers=(0,)) for seed in range(3))
        judged = fl.edit(model, FACT, method="ft", layers=0, steps=1, apply=False)
        made = cls(model, a, b, c, moment_of(model, 0, rank=20), judged)
        made.reset()
        return made

    def reset(self) -> None:
        """Bring the stack to where it begins; everything else is left for the test to find."""
        self.stop.clear()
        self.model.set_edits([self.a, self.b, self.c])
        self.model.undo()


Call = Callable[[Made], object]


def block(enter: Callable[[Made], Any]) -> Call:
    """A ``with`` block with something in it."""

    def call(made: Made) -> None:
        with enter(made) as model:
            assert model is made.model

    return call


def refused(made: Made) -> None:
    """A call that ends in an error anyway."""
    with contextlib.suppress(ValueError):
        made.model.apply(made.a)


def asked_inside(made: Made) -> None:
    """A block in which the model is used."""
    with made.model.edited(made.c) as model:
        assert len(model.answers("In Paris", k=1)) == 1


STACK: dict[str, Call] = {
    "apply": lambda made: made.model.apply(made.c),
    "undo": lambda made: made.model.undo(),
    "drop": lambda made: made.model.undo(made.a),
    "redo": lambda made: made.model.redo(),
    "reorder": lambda made: made.model.reorder([made.b, made.a]),
    "set_edits": lambda made: made.model.set_edits([made.c, made.a]),
    "clear": lambda made: made.model.clear(),
    "edited": block(lambda made: made.model.edited(made.c)),
    "as edited": block(lambda made: made.model.as_edited(made.c)),
    "unedited": block(lambda made: made.model.unedited()),
    "without": block(lambda made: made.model.without(made.a)),
    "exclusive": block(lambda made: made.model.exclusive()),
    "asked inside": asked_inside,
    "refused": lambda made: refused(made),
}

VALUE: dict[str, Any] = {"contexts": (), "openings": (), "keep": ("{} is a",), "steps": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "rome": VALUE,
    "emmet": VALUE,
    "memit": VALUE,
    "alphaedit": VALUE,
    "ft": {"steps": 2},
    "ft_l": {"steps": 2},
    "lora": {"steps": 2, "rank": 2},
}


def edit(method: str, **options: Any) -> Call:
    def call(made: Made) -> object:
        if SETTINGS[method] is VALUE:
            options["moments"] = made.moments
        return fl.edit(made.model, FACT, method=method, layers=0, stop=made.stop, **SETTINGS[method], **options)

    return call


EDITS: dict[str, Call] = {method: edit(method) for method in SETTINGS}


def evaluate(what: Any = (FACT,), **options: Any) -> Call:
    def call(made: Made) -> object:
        checks = [Checks.of(fact, "b") for fact in what]
        return fl.evaluate(
            made.model,
            list(what),
            checks,
            layers=0,
            method="ft",
            steps=1,
            generate=False,
            unrelated=(),
            texts=(),
            stop=made.stop,
            **options,
        )

    return call


JUDGING: dict[str, Call] = {
    "one edit": lambda made: fl.evaluate(
        made.model, made.judged, Checks.of(FACT, "b"), generate=False, unrelated=(), texts=(), stop=made.stop
    ),
    "single": evaluate(),
    "sequential": evaluate((FACT, OTHER), way="sequential"),
    "at once": evaluate((FACT, OTHER), way="at once"),
}

Strike = Callable[[Made], None]
SUDDEN: dict[str, Strike] = {"exception": lambda _: throw(Struck), "interrupt": lambda _: interrupt()}
#: What runs out of memory is tried again with less, so this is an error that is caught.
OUT_OF_MEMORY: Strike = lambda _: throw(torch.OutOfMemoryError)  # noqa: E731
#: As somebody else's click on Stop: the call goes on, and ends where it looks.
CANCEL: Strike = lambda made: made.stop.set()  # noqa: E731


#: Where the long calls are struck: at a sample of their lines, at all "lines", or at "all" runs of them.
HOW = os.environ.get("FACTLENS_STRIKES", "sample")
#: So many strikes in a sample …
MOST = 64
#: … of which half go where weights are written, things are put on a model, and all of it is put back.
CLOSELY = (
    *(f"/factlens/models/{name}.py" for name in ("weights", "originals", "record", "turn", "settling")),
    *(f"/factlens/models/{name}.py" for name in ("hooks", "interrupts", "surroundings")),
    *(f"/factlens/editing/{name}" for name in ("api.py", "descent.py", "spreading.py", "methods/")),
)
Chosen = Callable[[Sequence[str]], list[int]]
LONG = {**EDITS, **JUDGING}
STRIKES = {**SUDDEN, "memory": OUT_OF_MEMORY, "cancel": CANCEL}
TURNS = {which: turn for turn, which in enumerate(product(LONG, STRIKES))}


def sampled(call: str, strike: str, chosen: Chosen = first_and_last) -> Chosen:
    """Return how the places are chosen at which a long call is struck."""

    def places(lines: Sequence[str]) -> list[int]:
        if HOW == "all":
            return list(range(len(lines)))
        every = chosen(lines)
        if HOW == "lines":
            return every
        return sample_of(lines, every, closely=CLOSELY, most=MOST, turn=TURNS[call, strike])

    return places


def every_run(lines: Sequence[str]) -> list[int]:
    return list(range(len(lines)))


def assert_before_or_after(call: Call, strike: Strike, chosen: Chosen) -> int:
    """Strike at the chosen lines of a call, one after the other; return how many strikes there were."""
    made = Made.new()
    before = State.of(made.model)
    call(made)  # what is looked up once, and kept, is no line of the calls to come
    made.reset()
    lines = lines_of(lambda: call(made))
    after, count = State.of(made.model), len(lines)
    made.reset()
    assert before.differs(State.of(made.model)) == []
    struck = 0
    for line in chosen(lines):
        place = struck_at(line, lambda: call(made), lambda: strike(made))
        struck += place != ""
        now = State.of(made.model)
        wrong = min(before.differs(now), after.differs(now), key=len)
        assert wrong == [], f"{wrong} after a strike at {place}, line {line} of {count}"
        made.reset()
    assert not locked(made.model)
    return struck


@pytest.fixture(autouse=True)
def _interruptible(monkeypatch: pytest.MonkeyPatch) -> Any:
    # Where a strike falls into what Python does when an object is released, Python says so and goes on.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    gc.collect()


@pytest.mark.parametrize("strike", SUDDEN.values(), ids=SUDDEN)
@pytest.mark.parametrize("call", STACK.values(), ids=STACK)
def test_a_strike_at_any_line_of_a_change(call: Call, strike: Strike) -> None:
    assert assert_before_or_after(call, strike, every_run) > 200


@pytest.mark.parametrize("strike", SUDDEN)
@pytest.mark.parametrize("call", EDITS)
def test_a_strike_at_the_lines_of_an_edit(call: str, strike: str) -> None:
    assert assert_before_or_after(EDITS[call], SUDDEN[strike], sampled(call, strike)) > MOST - 10


@pytest.mark.parametrize("strike", SUDDEN)
@pytest.mark.parametrize("call", JUDGING)
def test_a_strike_at_the_lines_of_a_judgement(call: str, strike: str) -> None:
    assert assert_before_or_after(JUDGING[call], SUDDEN[strike], sampled(call, strike)) > MOST - 10


@pytest.mark.filterwarnings("ignore:Nothing that was tried")
@pytest.mark.parametrize("strike", SUDDEN.values(), ids=SUDDEN)
def test_a_strike_during_a_calibration(strike: Strike, monkeypatch: pytest.MonkeyPatch) -> None:
    add_quick_method(monkeypatch, elsewhere={"steps": 1, "rank": 2}, tries={})
    facts = facts_known_to(tiny())

    def calibrate(made: Made) -> None:
        fl.calibrate(made.model, facts, methods="quick", layers=0, budget="1h", store=False, stop=made.stop)

    # It traces and edits in ways that are struck at elsewhere: here at a few lines of every part.
    assert assert_before_or_after(calibrate, strike, lambda lines: first_of(lines)[::120]) > 10


@pytest.mark.parametrize("call", ["apply", "edited"])
def test_memory_that_ends_at_any_line_of_a_change(call: str) -> None:
    assert assert_before_or_after(STACK[call], OUT_OF_MEMORY, first_and_last) > 100


@pytest.mark.parametrize("call", ["rome", "single"])
def test_memory_that_ends_at_the_lines_of_a_long_call(call: str) -> None:
    assert assert_before_or_after(LONG[call], OUT_OF_MEMORY, sampled(call, "memory")) > MOST - 10


@pytest.mark.parametrize("call", LONG)
def test_a_call_that_is_cancelled_at_its_lines(call: str) -> None:
    # After the first time that a line runs, the rest of it has all the chances to go wrong.
    assert assert_before_or_after(LONG[call], CANCEL, sampled(call, "cancel", first_of)) > MOST - 10


def test_a_sample_begins_and_ends_with_the_call_and_looks_closely_where_things_are_written() -> None:
    made = Made.new()
    lines = lines_of(lambda: LONG["rome"](made))
    places = first_and_last(lines)

    def sample(turn: int) -> list[int]:
        return sample_of(lines, places, closely=CLOSELY, most=MOST, turn=turn)

    for turn in TURNS.values():
        assert sample(turn) == sample(turn)
        assert {*sample(turn)} <= {*places}
        assert MOST - 10 < len(sample(turn)) <= MOST
        assert (sample(turn)[0], sample(turn)[-1]) == (0, len(lines) - 1)
        assert sum(any(part in lines[place] for part in CLOSELY) for place in sample(turn)) >= MOST // 2 - 1
        gaps = [b - a for a, b in pairwise(sample(turn))]
        assert max(gaps) < len(lines) / 3, "a part of the call is not struck at all"
    all_of_them = {lines[place] for turn in TURNS.values() for place in sample(turn)}
    close = {lines[place] for place in places if any(part in lines[place] for part in CLOSELY)}
    assert len(all_of_them & close) > 0.9 * len(close), "together the samples miss much of what writes"


def test_few_places_are_all_taken() -> None:
    assert evenly([3, 5, 8], 3) == evenly([3, 5, 8], 7, turn=2) == [3, 5, 8]
    assert evenly(range(100), 4) == [0, 25, 50, 75]
