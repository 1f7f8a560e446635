"""Whether an edit took: the rule, the numbers against plain passes, and what is kept and said of it."""

from __future__ import annotations

import math
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import factlens as fl
from factlens.editing import Took, taking
from factlens.editing.api import quiet_edit
from factlens.editing.contexts import contexts_for
from factlens.editing.methods import Solution
from factlens.editing.methods.alphaedit import AlphaEditHparams
from factlens.editing.methods.emmet import EmmetHparams
from factlens.editing.methods.memit import MemitHparams
from factlens.editing.methods.rome import RomeHparams
from factlens.editing.taking import Said, say, say_with, shown_share, summary_of, warning_of
from factlens.errors import EditWarning, FileFormatError
from factlens.files import fields_of, read_record, write_record
from factlens.models import Dense
from tests.editing import oracle
from tests.editing.made import FACT, FACTS, moment_of
from tests.models.made import bits, same_bits
from tests.support import small_model

# The numbers, against the plain way to get them ----------------------------------------------------------------------


def plain(model: fl.Model, fact: fl.Fact, module: torch.nn.Module | None = None, put: Any = None) -> Said:
    """p(target) by one full pass, with something put in the place of what a module puts out at the subject's end."""
    prompt, target = model.tokenizer(fact.prompt)["input_ids"], model.encode_option(fact.prompt, str(fact.target))[1]
    place = model.encode(fact).last_subject

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[0, place] = put
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = None if module is None else module.register_forward_hook(hook)
    with torch.no_grad():
        shares = model.model(torch.tensor([[*prompt, *target[:-1]]])).logits[0].softmax(-1)[len(prompt) - 1 :]
    if handle is not None:
        handle.remove()
    each = [float(shares[j, token]) for j, token in enumerate(target)]
    return Said(math.prod(each), all(int(shares[j].argmax()) == token for j, token in enumerate(target)))


def numbers(took: Took) -> list[Said]:
    assert took.with_value is not None
    assert took.value_leads is not None
    return [Said(took.with_value, took.value_leads), Said(took.after, took.leads)]


#: Where the subject ends the prompt, a random model is moved by its value.
MOVABLE = [
    fl.Fact("We saw {}", "Paris", target="is"),
    fl.Fact("They like the {}", "Eiffel Tower", target="is near the"),
    FACT,
]
OF_VALUE: dict[str, Any] = {
    "rome": (RomeHparams, "mlp", [2], {}),
    "emmet": (EmmetHparams, "mlp", [2], {}),
    "memit": (MemitHparams, "block", [1, 2], {"moment_weight": 30.0, "openings": ()}),
    "alphaedit": (AlphaEditHparams, "block", [1, 2], {"openings": (), "relative": True, "nullspace": 1e-3}),
}


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("method", OF_VALUE)
def test_the_numbers_are_those_of_plain_passes(method: str, kind: str) -> None:
    """Also where facts end at different steps, and are left out of the later ones."""
    kind_of_settings, site, layers, more = OF_VALUE[method]
    model = small_model(kind, dtype=torch.float64)
    settings = {"steps": 12, "clamp": 30.0, "learning_rate": 0.3, "contexts": (), "stop_loss": 3.7, **more}
    settings |= {"kl_factor": 0.0, "weight_decay": 0.0}
    hparams = replace(kind_of_settings(), **settings)
    facts = MOVABLE[:1] if method == "rome" else MOVABLE
    moments = {layer: moment_of(model, layer, rank=20) for layer in layers}
    made = quiet_edit(model, facts, method=method, layers=layers, moments=moments, apply=False, **settings)
    assert len(made.taken) == len(facts)
    about = [(context.text, context.weight) for context in contexts_for(model, hparams)]
    module = model.mlp(layers[-1]) if site == "mlp" else model.blocks[layers[-1]]
    found = [oracle.find(model, fact, layers[-1], site, about, hparams) for fact in facts]
    steps = {len(one.losses) for one in found}
    assert len(facts) == 1 or len(steps) > 1, "facts must end at different steps"
    wanted = [
        [plain(model, fact), plain(model, fact, module, one.wanted)] for fact, one in zip(facts, found, strict=True)
    ]
    with model.edited(made):
        after = [plain(model, fact) for fact in facts]
    for took, (before, with_value), now in zip(made.taken, wanted, after, strict=True):
        assert took.before == pytest.approx(before.probability, rel=1e-6)
        for got, meant in zip(numbers(took), (with_value, now), strict=True):
            assert got.probability == pytest.approx(meant.probability, rel=1e-3)
            assert got.leads == meant.leads
    assert any(one.with_value > 3 * one.before for one in made.taken), "something must have moved"


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("method", ["ft", "ft_l", "lora"])
def test_fine_tuning_has_no_value(method: str, kind: str) -> None:
    model = small_model(kind, dtype=torch.float64)
    settings = {"steps": 12, "learning_rate": 0.03} | ({"limit": 0.05} if method == "ft_l" else {})
    made = quiet_edit(model, FACTS, method=method, layers=2, apply=False, **settings)
    before = [plain(model, fact) for fact in FACTS]
    with model.edited(made):
        after = [plain(model, fact) for fact in FACTS]
    for took, then, now in zip(made.taken, before, after, strict=True):
        assert (took.with_value, took.value_leads) == (None, None)
        assert took.before == pytest.approx(then.probability, rel=1e-6)
        assert took.after == pytest.approx(now.probability, rel=1e-6)
        assert took.leads == now.leads


def test_batches_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("llama", dtype=torch.float64)
    facts = [*FACTS, *(fl.Fact("Near {} is", "x" * n, target="a") for n in range(1, 5))]
    whole = say(model, facts)
    monkeypatch.setattr(taking, "_ROWS", 2)
    for one, other, fact in zip(say(model, facts), whole, facts, strict=True):
        assert one.probability == pytest.approx(other.probability, rel=1e-9)
        assert one.probability == pytest.approx(plain(model, fact).probability, rel=1e-9)
        assert one.leads == other.leads


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("apply", [False, True])
def test_what_is_said_of_an_edit_is_what_the_edited_model_says(dtype: torch.dtype, apply: bool) -> None:
    model = small_model("gpt2", dtype=dtype)
    before = bits(model)
    made = quiet_edit(model, FACTS, method="ft", layers=[1, 3], steps=3, learning_rate=0.05, apply=apply)
    assert same_bits(bits(model), before) is not apply
    if not apply:
        model.apply(made)
    assert [one.after for one in made.taken] == [one.probability for one in say(model, FACTS)]
    model.undo()
    assert same_bits(bits(model), before)


# A model as if it were edited ----------------------------------------------------------------------------------------


def test_as_edited_writes_nothing_and_other_threads_see_nothing() -> None:
    model = small_model("gpt2")
    made = quiet_edit(model, FACT, method="ft", layers=2, steps=3, learning_rate=0.05, apply=False)
    before, unedited = bits(model), model.model(torch.tensor([[1, 2, 3]])).logits
    with model.edited(made):
        edited = model.model(torch.tensor([[1, 2, 3]])).logits
    seen: list[torch.Tensor] = []
    with model.as_edited(made) as same:
        assert same is model
        assert same_bits(bits(model), before)
        assert model.edits == ()
        assert torch.equal(model.model(torch.tensor([[1, 2, 3]])).logits, edited)
        thread = threading.Thread(target=lambda: seen.append(model.model(torch.tensor([[1, 2, 3]])).logits))
        thread.start()
        thread.join()
    assert torch.equal(seen[0], unedited)
    assert torch.equal(model.model(torch.tensor([[1, 2, 3]])).logits, unedited)
    model.apply(made)
    with pytest.raises(ValueError, match="already applied"), model.as_edited(made):
        pass
    model.undo()


def test_as_edited_writes_where_a_module_computes_something_else() -> None:
    model = small_model("gpt2")
    made = quiet_edit(model, FACT, method="ft", layers=2, steps=3, learning_rate=0.05, apply=False)
    before, linear = bits(model), model.down_projection(2).linear
    linear.forward = linear.forward  # as accelerate does
    with model.as_edited(made):
        assert model.edits == (made,)
        assert [one.probability for one in say(model, [FACT])] == [made.taken[0].after]
    assert model.edits == ()
    assert same_bits(bits(model), before)


def test_a_sum_that_the_weights_cannot_hold_is_not_known() -> None:
    model = small_model("gpt2", dtype=torch.float16)
    name, shape = model.down_projection(1).parameter, model.down_projection(1).weight.shape
    before = bits(model)
    (one,) = say_with(model, [FACT], Solution((Dense(name, torch.full(tuple(shape), 1e30)),)))
    assert math.isnan(one.probability)
    assert not one.leads
    assert same_bits(bits(model), before)
    assert Took(0.1, None, math.nan, None, False).failed == "weights"


# The rule ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value_leads", "leads", "failed"),
    [
        (True, True, None),
        (False, True, None),
        (None, True, None),
        (False, False, "value"),
        (True, False, "weights"),
        (None, False, "weights"),
    ],
)
def test_the_rule(value_leads: bool | None, leads: bool, failed: str | None) -> None:
    assert Took(0.1, None if value_leads is None else 0.2, 0.3, value_leads, leads).failed == failed


# The warning ---------------------------------------------------------------------------------------------------------


def test_one_warning_for_many_facts_names_the_first(recwarn: pytest.WarningsRecorder) -> None:
    model = small_model("gpt2")
    facts = [*FACTS, fl.Fact("Near {} is", "x" * 30, target="a"), fl.Fact("In {} is", "Rome", target="b")]
    made = fl.edit(model, facts, method="ft_l", layers=2, steps=1, limit=1e-9, apply=False)
    (warned,) = recwarn.list
    lines = str(warned.message).splitlines()
    assert lines[0] == "The edit did not take for 5 of 5 facts."
    assert [line.partition(" →")[0] for line in lines[1:4]] == [fact.subject for fact in FACTS]
    assert lines[4:] == ["And 2 more; edit.taken has them all.", "It is not applied yet."]
    assert repr(made).endswith("took 0 of 5>")
    long = fl.Fact("Near {} is", "x" * 200, target="y" * 200)
    assert len(warning_of([long], made.taken[:1])) < 600


def test_a_warning_that_is_an_error_leaves_the_model_as_it_was() -> None:
    model = small_model("gpt2")
    before = bits(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", EditWarning)
        with pytest.raises(EditWarning, match="did not take"):
            fl.edit(model, FACT, method="ft", layers=2, steps=1)
    assert model.edits == ()
    assert same_bits(bits(model), before)


def test_a_quiet_edit_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    model = small_model("gpt2")
    made = quiet_edit(model, FACT, method="ft", layers=2, steps=1)
    assert model.edits == (made,)
    assert "did not take" in made.warning
    assert not recwarn.list


def test_shares_are_written_for_a_glance() -> None:
    shares = {0.9984: "> 0.99", 0.98: "0.98", 0.000512: "0.00051", 1e-9: "1e-09", 0.0: "0", math.nan: "NaN"}
    assert {share: shown_share(share) for share in shares} == shares
    assert summary_of([], []) == warning_of([], []) == ""


# In the file ---------------------------------------------------------------------------------------------------------


def some_edit() -> fl.Edit:
    return quiet_edit(small_model("gpt2"), FACTS, method="ft", layers=2, steps=1, apply=False)


def test_it_is_kept_in_the_file_and_is_no_part_of_the_id(tmp_path: Path) -> None:
    made = some_edit()
    assert fl.Edit.load(made.save(tmp_path / "e.safetensors")).taken == made.taken
    assert replace(made, taken=()).id == made.id


def test_a_file_from_before_is_read_and_knows_nothing(tmp_path: Path) -> None:
    made = some_edit()
    path = made.save(tmp_path / "e.safetensors")
    content, arrays = read_record(path, "factlens.edit", 4)
    fields = {name: value for name, value in fields_of(content).items() if name != "taken"}
    write_record(path, "factlens.edit", 3, fields, arrays)
    loaded = fl.Edit.load(path)
    assert (loaded.taken, loaded.took, loaded.warning, loaded.id) == ((), None, "", made.id)
    assert repr(loaded).endswith("for 'small gpt2'>")
    assert loaded._repr_html_().count("not known") == len(FACTS)
    assert fl.Edit.load(loaded.save(path)).taken == ()
    for schema, record in ((3, fields | {"taken": []}), (4, fields), (2, fields)):
        write_record(path, "factlens.edit", schema, record, arrays)
        with pytest.raises(FileFormatError):
            fl.Edit.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda taken: taken[:2],
        lambda taken: [taken[0] | {"before": 2.0}, *taken[1:]],
        lambda taken: [taken[0] | {"before": None}, *taken[1:]],
        lambda taken: [taken[0] | {"with_value": 0.5}, *taken[1:]],
        lambda taken: [taken[0] | {"leads": True, "after": None}, *taken[1:]],
        lambda taken: [taken[0] | {"more": 1}, *taken[1:]],
    ],
)
def test_nonsense_in_the_file_is_refused(tmp_path: Path, change: Any) -> None:
    path = some_edit().save(tmp_path / "e.safetensors")
    content, arrays = read_record(path, "factlens.edit", 4)
    write_record(path, "factlens.edit", 4, content | {"taken": change(content["taken"])}, arrays)
    with pytest.raises(FileFormatError, match="not a complete factlens edit"):
        fl.Edit.load(path)
