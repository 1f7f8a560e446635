"""The stack of edits: W0 plus a sum in the order of the stack, and the very bits of W0 back."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
import torch

import factlens as fl
from factlens.errors import NumericalError
from factlens.models import Dense, LowRank
from tests.models.made import Update, bits, same_bits, some_edit, stacked
from tests.support import small_model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_three_edits_undone_in_any_order(order: tuple[int, ...], dtype: torch.dtype) -> None:
    model = small_model("gpt2", dtype=dtype)
    before = bits(model)
    edits = [some_edit(model, seed) for seed in range(3)]
    for edit in edits:
        model.apply(edit)
    assert not same_bits(bits(model), before)
    for i in order:
        model.undo(edits[i])
    assert same_bits(bits(model), before)
    assert model.edits == ()


def test_what_is_left_after_an_undo_is_what_the_rest_alone_would_be() -> None:
    model, other = small_model("gpt2"), small_model("gpt2")
    edits = [some_edit(model, seed, layers=(seed, 2)) for seed in range(3)]
    for edit in edits:
        model.apply(edit)
    model.undo(edits[1])
    other.apply(edits[0])
    other.apply(edits[2])
    assert same_bits(bits(model), bits(other))


class Tracked:
    """The stack as a list of lists: what `Model` should do, said in the simplest way."""

    def __init__(self, model: fl.Model) -> None:
        self.model = model
        self.before = bits(model)
        self.stack: list[Update] = []
        #: For every undo that can be taken back, the whole stack before it.
        self.history: list[list[Update]] = []

    def check(self) -> None:
        assert self.model.edits == tuple(self.stack)
        later = [*self.history, self.stack]
        undone = [next(e for e in later[i] if e not in later[i + 1]) for i in range(len(self.history))]
        assert self.model.undone == tuple(reversed(undone))
        assert same_bits(bits(self.model), {name: self.expected(name, self.stack) for name in self.before})

    def expected(self, name: str, stack: list[Update]) -> torch.Tensor:
        """W0 + Σ by numpy in float32, in the order of the stack, and the bits of W0 where nothing is added."""
        terms = [term for edit in stack for term in edit.updates if term.parameter == name]
        if not terms:
            return self.before[name]
        total = self.before[name].float().numpy().copy()
        for term in terms:
            total = total + (term.change.numpy() if isinstance(term, Dense) else term.left.numpy() @ term.right.numpy())
        return torch.from_numpy(total).to(self.before[name].dtype)


def random_edit(model: fl.Model, random: Random) -> Update:
    """Terms of any kind, on one or more weights, now and then two on the same; the embedding may be the head too."""
    generator = torch.Generator().manual_seed(random.randrange(2**32))
    names = [model.down_projection(layer).parameter for layer in range(model.n_layers)]
    embedding = f"{model.family.embedding}.weight"
    chosen = random.choices([*names, embedding], k=random.choice([1, 1, 2, 3]))
    terms: list[LowRank | Dense] = []
    for name in chosen:
        rows, columns = model.model.get_parameter(name).shape
        rank = random.choice([0, 1, 1, 2, 5])
        if rank == 0:
            terms.append(Dense(name, torch.randn(rows, columns, generator=generator)))
        else:
            # Multiples of 1/8: their products' sums are exact in float32 in whatever order a matrix product takes.
            left, right = (torch.randint(-8, 9, n, generator=generator) / 8 for n in ((rows, rank), (rank, columns)))
            terms.append(LowRank(name, left, right))
    return Update(*terms)


def too_large(model: fl.Model, good: Update) -> Update:
    """An edit whose first terms are in order and whose last one is not."""
    projection = model.down_projection(0)
    change = torch.full(projection.weight.shape, 3e38)
    return Update(*good.updates, Dense(projection.parameter, change), Dense(projection.parameter, change))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_two_hundred_random_changes_of_the_stack(kind: str, tied: bool, dtype: torch.dtype) -> None:
    model = small_model(kind, dtype=dtype, tie_word_embeddings=tied)
    random, tracked, done = Random(f"{kind} {tied} {dtype}"), Tracked(model), set()
    for _ in range(200):
        what = random.choice(["apply", "apply", "undo", "drop", "redo", "redo", "reorder", "set", "refused", "block"])
        stack = tracked.stack
        if what == "apply":
            edit = random_edit(model, random)
            model.apply(edit)
            tracked.stack, tracked.history = [*stack, edit], []
        elif what in ("undo", "drop") and stack:
            edit = stack[-1] if what == "undo" else random.choice(stack)
            assert (model.undo() if what == "undo" else model.undo(edit)) is edit
            tracked.history.append(stack)
            tracked.stack = [other for other in stack if other is not edit]
        elif what == "redo" and tracked.history:
            tracked.stack = tracked.history.pop()
            assert model.redo() in tracked.stack
        elif what == "reorder" and len(stack) > 1:
            tracked.stack, tracked.history = random.sample(stack, len(stack)), []
            model.reorder(tracked.stack)
        elif what == "set":
            kept = random.sample(stack, random.randint(0, len(stack)))
            tracked.stack = [*kept, random_edit(model, random)]
            tracked.history = []
            model.set_edits(tracked.stack)
            assert model.edits == tuple(tracked.stack)
        elif what == "refused":
            with pytest.raises(NumericalError):
                model.set_edits([too_large(model, random_edit(model, random)), *stack])
            with pytest.raises(NumericalError):
                model.apply(too_large(model, random_edit(model, random)))
        elif what == "block":
            edit = random_edit(model, random)
            with model.edited(edit):
                inside = {name: tracked.expected(name, [*stack, edit]) for name in tracked.before}
                assert same_bits(bits(model), inside)
        else:
            continue
        done.add(what)
        tracked.check()
    assert done == {"apply", "undo", "drop", "redo", "reorder", "set", "refused", "block"}
    while model.edits:
        model.undo()
    assert same_bits(bits(model), tracked.before)
    assert (model.head.weight is model.embedding.weight) == tied
    assert model._record.stack._originals == {}


def test_drop_is_the_old_name_of_undo() -> None:
    model = small_model("gpt2")
    a, b = (some_edit(model, seed) for seed in range(2))
    for edit in (a, b):
        model.apply(edit)
    with pytest.warns(DeprecationWarning, match=r"model\.undo\(edit\) does the same") as warned:
        assert model.drop(a, origin="a lens") is a
    assert [warning.filename for warning in warned] == [__file__], "it points at the user's own line"
    assert (model.edits, model.undone) == ((b,), (a,))


def test_undo_and_redo_are_an_editors() -> None:
    model = small_model("gpt2")
    a, b, c, d = (some_edit(model, seed) for seed in range(4))
    with pytest.raises(ValueError, match="nothing to redo"):
        model.redo()
    for edit in (a, b, c):
        model.apply(edit)
    three = bits(model)
    assert (model.undo(a), model.undo()) == (a, c)
    assert (model.edits, model.undone) == ((b,), (c, a))
    assert (model.redo(), model.redo()) == (c, a)
    assert (model.edits, model.undone) == ((a, b, c), ())
    assert same_bits(bits(model), three), "each is back where it stood"
    model.undo()
    model.apply(d)
    assert (model.edits, model.undone) == ((a, b, d), ())
    with pytest.raises(ValueError, match="nothing to redo"):
        model.redo()


def test_edits_are_set_as_a_whole() -> None:
    model = small_model("gpt2")
    a, b, c = stacked(model)
    model.set_edits([a, b])
    assert (model.edits, model.undone) == ((a, b), (c,)), "they were in force already"
    model.set_edits([c, a])
    assert (model.edits, model.undone) == ((c, a), ())
    with pytest.raises(ValueError, match="named twice"):
        model.set_edits([a, a])
    assert model.edits == (c, a)
    model.set_edits([])
    assert (model.edits, model._record.stack._originals) == ((), {})


def test_the_sum_is_taken_in_the_order_of_the_stack() -> None:
    model = small_model("gpt2")
    name = model.down_projection(1).parameter
    before = model.down_projection(1).weight.detach().clone()
    large, back, small = (Update(Dense(name, torch.full_like(before, x))) for x in (2.0**40, -(2.0**40), 1.0))
    for edit in (large, back, small):
        model.apply(edit)
    # The large number swallows the weight; what comes after both is kept.
    assert torch.equal(model.down_projection(1).weight.detach(), torch.ones_like(before))
    model.reorder([large, small, back])
    assert model.edits == (large, small, back)
    assert torch.equal(model.down_projection(1).weight.detach(), torch.zeros_like(before))


def test_only_the_edits_in_force_can_be_reordered() -> None:
    model = small_model("gpt2")
    a, b, other = (some_edit(model, seed) for seed in range(3))
    model.apply(a)
    model.apply(b)
    model.apply(other)
    model.undo()
    before = bits(model)
    for wrong in ([a], [a, a], [a, b, b], [a, other], []):
        with pytest.raises(ValueError, match="every one once"):
            model.reorder(wrong)
        assert (model.edits, model.undone) == ((a, b), (other,))
        assert same_bits(bits(model), before)


def test_blocks_put_everything_back() -> None:
    model = small_model("gpt2")
    first, second = some_edit(model, 1), some_edit(model, 2)
    clean = bits(model)
    model.apply(first)
    one = bits(model)
    with model.edited(second):
        assert model.edits == (first, second)
        with model.unedited():
            assert same_bits(bits(model), clean)
        with model.without(first):
            assert model.edits == (second,)
    assert same_bits(bits(model), one)
    with pytest.raises(RuntimeError, match="from inside"), model.edited(second):
        raise RuntimeError("from inside")
    assert same_bits(bits(model), one)


def test_nothing_to_undo_is_said() -> None:
    model = small_model("gpt2")
    with pytest.raises(ValueError, match="nothing to undo"):
        model.undo()
    model.apply(some_edit(model, 1))
    with pytest.raises(ValueError, match="not applied"):
        model.undo(some_edit(model, 2))


def test_what_is_done_in_a_block_ends_with_it() -> None:
    model = small_model("gpt2")
    a, b, c = stacked(model)
    before = bits(model)
    d = some_edit(model, 9)
    for block in (model.edited(d), model.unedited(), model.without(a)):
        with block:
            assert model.undone == ()
            model.apply(some_edit(model, 10))
            model.undo(model.edits[0])
            assert len(model.undone) == 1
        assert (model.edits, model.undone) == ((a, b), (c,))
        assert same_bits(bits(model), before)
    with pytest.raises(ValueError, match="already applied"), model.edited(a):
        pass
    assert model.undone == (c,)
