"""Before or after, nothing between: whatever strikes at whichever line of a call that writes, all is put back."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from tests.strikes import Struck, first_and_last, first_of, interrupt, lines_of, struck_at, throw
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


#: Strike at every line event of the long calls, too, which takes an hour and a half: FACTLENS_STRIKES=all.
ALL = os.environ.get("FACTLENS_STRIKES") == "all"


def assert_before_or_after(
    call: Call, strike: Strike, *, every: bool, chosen: Callable[[Sequence[str]], list[int]] = first_and_last
) -> int:
    """Strike at every line of a call, one after the other; return how many strikes there were.

    Parameters
    ----------
    every
        Whether to strike at every line as often as it runs.
    chosen
        At which lines otherwise. Default: when each runs for the first time, and for the last.
    """
    made = Made.new()
    before = State.of(made.model)
    lines = lines_of(lambda: call(made))
    after, count = State.of(made.model), len(lines)
    made.reset()
    assert before.differs(State.of(made.model)) == []
    places = range(count) if every else chosen(lines)
    for line in places:
        place = struck_at(line, lambda: call(made), lambda: strike(made))
        now = State.of(made.model)
        wrong = min(before.differs(now), after.differs(now), key=len)
        assert wrong == [], f"{wrong} after a strike at {place}, line {line} of {count}"
        made.reset()
    assert not locked(made.model)
    return len(places)


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
    assert assert_before_or_after(call, strike, every=True) > 200


@pytest.mark.parametrize("strike", SUDDEN.values(), ids=SUDDEN)
@pytest.mark.parametrize("call", EDITS.values(), ids=EDITS)
def test_a_strike_at_any_line_of_an_edit(call: Call, strike: Strike) -> None:
    assert assert_before_or_after(call, strike, every=ALL) > 300


@pytest.mark.parametrize("strike", SUDDEN.values(), ids=SUDDEN)
@pytest.mark.parametrize("call", JUDGING.values(), ids=JUDGING)
def test_a_strike_at_any_line_of_a_judgement(call: Call, strike: Strike) -> None:
    assert assert_before_or_after(call, strike, every=ALL) > 300


@pytest.mark.filterwarnings("ignore:Nothing that was tried")
@pytest.mark.parametrize("strike", SUDDEN.values(), ids=SUDDEN)
def test_a_strike_during_a_calibration(strike: Strike, monkeypatch: pytest.MonkeyPatch) -> None:
    add_quick_method(monkeypatch, elsewhere={"steps": 1, "rank": 2}, tries={})
    facts = facts_known_to(tiny())

    def calibrate(made: Made) -> None:
        fl.calibrate(made.model, facts, methods="quick", layers=0, budget="1h", store=False, stop=made.stop)

    # It traces and edits in ways that are struck at elsewhere: here at a few lines of every part.
    assert assert_before_or_after(calibrate, strike, every=ALL, chosen=lambda lines: first_of(lines)[::120]) > 10


@pytest.mark.parametrize("name", ["apply", "edited", "rome", "single"])
def test_memory_that_ends_at_any_line(name: str) -> None:
    assert assert_before_or_after({**STACK, **EDITS, **JUDGING}[name], OUT_OF_MEMORY, every=ALL) > 100


@pytest.mark.parametrize("call", {**EDITS, **JUDGING}.values(), ids={**EDITS, **JUDGING})
def test_a_call_that_is_cancelled_at_any_line(call: Call) -> None:
    # After the first time that a line runs, the rest of it has all the chances to go wrong.
    assert assert_before_or_after(call, CANCEL, every=ALL, chosen=first_of) > 300
