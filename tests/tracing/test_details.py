"""What a cell knows, against plain computations."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

import factlens as fl
from factlens.errors import FactError, LayerError, WrongModel
from factlens.models import Answer
from factlens.tracing.cell_details import RUNS
from factlens.tracing.cells import cells_of_row
from factlens.tracing.rerun import restored_run, run_again
from tests.support import SEEING, SHAPES, small_model
from tests.tracing import details_oracle, oracle
from tests.tracing.details_oracle import shaken
from tests.tracing.looked_into import KINDS, LAYER, TOKEN, embedded, plain_runs, traced
from tests.tracing.made import FACT


def unhooked(model: fl.Model) -> bool:
    return not [m for m in model.model.modules() if m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m)]


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_every_family(kind: str) -> None:
    model = shaken(small_model(kind))
    trace = traced(model, window=2)
    clean, corrupted = plain_runs(model, trace)
    last, answer = clean["state", model.n_layers - 1][0, TOKEN], trace.answer_id
    final = len(trace.tokens) - 1, model.n_layers - 1
    for name in KINDS:
        found = fl.details(model, trace, name, TOKEN, LAYER, k=10_000)
        json.dumps(found.to_dict(), allow_nan=False)
        assert all(len(found.lens[run]) == model.head.weight.shape[0] for run in RUNS)
        # Where the residual leaves the last layer at the last token, the lens is the model itself.
        at_the_end = fl.details(model, trace, name, *final)
        assert at_the_end.lens["clean"][0].id == answer
        expected = trace.high, trace.low, float(trace.scores.sel(kind=name)[final])
        assert [at_the_end.probability[run] for run in RUNS] == pytest.approx(expected, abs=1e-5)
        # The plain restored run gives the grid's numbers, so it is the run that the grid is made of.
        rerun = run_again(model, trace, name, LAYER)
        for cell in cells_of_row([name], TOKEN, 2, model.n_layers)[::2]:
            scores = rerun.measurement.score(restored_run(model, rerun, cell)[1])
            np.testing.assert_allclose(scores, trace.samples.sel(kind=name)[TOKEN, cell.layer], atol=1e-5)
        site = {"mlp": "mlp", "attn": "attn", "head.1": "attn"}.get(name)
        if site is None or kind == "opt":  # this OPT normalises the residual itself
            assert (found.total, found.heads, found.neurons) == (None, None, None)
            continue
        whole = clean[site, LAYER][0, TOKEN]

        def share(part, site=site, whole=whole):
            return details_oracle.share(model, SEEING.get(kind, kind), site, LAYER, whole, last, part, answer)

        noisy = corrupted[site, LAYER][:, TOKEN].mean(0)
        assert found.total == pytest.approx({"clean": share(whole), "corrupted": share(noisy)}, abs=2e-5)
        if site == "attn":
            out = model.attention_out(LAYER)
            given = clean["head", LAYER][0, TOKEN], corrupted["head", LAYER][:, TOKEN].mean(0)
            width = len(given[0]) // 4
            for head in range(4):
                part = slice(head * width, (head + 1) * width)
                each = [share(details_oracle.linear(out, row, part)) for row in given]
                assert found.heads[head] == (head, *(pytest.approx(value, abs=2e-5) for value in each))
            assert len(found.heads) == 4
            bias = share(out(torch.zeros_like(given[0])).detach())
            for run in ("clean", "corrupted"):
                total = sum(getattr(each, run) for each in found.heads)
                assert total + bias == pytest.approx(found.total[run], abs=5e-5)
            continue
        assert found.heads is None
        if model.family.down is None:
            assert found.neurons is None
            continue
        down = model.blocks[LAYER].get_submodule(model.family.down)
        bias = share(down(torch.zeros(model.down_projection(LAYER).key_width)).detach())
        assert sum(neuron.contribution for neuron in found.neurons) + bias == pytest.approx(share(whole), abs=5e-5)
        assert len({neuron.neuron for neuron in found.neurons}) == model.down_projection(LAYER).key_width
        sizes = [abs(neuron.contribution) for neuron in found.neurons]
        assert sizes == sorted(sizes, reverse=True)
    assert unhooked(model)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_lens_is_norm_and_head(kind: str) -> None:
    model = shaken(small_model(kind))
    trace = traced(model)
    clean, corrupted = plain_runs(model, trace)
    windows = [trace.window_of(i) for i in range(model.n_layers)]
    row = model.head.weight[trace.answer_id].detach()
    norm = model.model.get_submodule(model.family.norm)
    for name in KINDS:
        found = fl.details(model, trace, name, TOKEN, LAYER, k=4)
        patches = oracle.patches_of(model, name, LAYER, windows[LAYER], clean, corrupted, TOKEN, TOKEN)
        restored = oracle.run(model, embedded(model, trace), patches, 1)[1]
        for run, states in zip(RUNS, (clean, corrupted, restored), strict=True):
            with torch.no_grad():
                normed = norm(states["state", LAYER][:, TOKEN])
                probabilities = (normed @ model.head.weight.T).softmax(-1).mean(0)
            order = probabilities.argsort(descending=True)[:4]
            assert [answer.id for answer in found.lens[run]] == order.tolist()
            for answer in found.lens[run]:
                assert answer.probability == pytest.approx(float(probabilities[answer.id]), rel=1e-4)
                assert answer.text == model.token(answer.id)
            assert found.probability[run] == pytest.approx(float(probabilities[trace.answer_id]), rel=1e-4)
            assert found.rank[run] == probabilities.argsort(descending=True).tolist().index(trace.answer_id) + 1
            cosines = normed @ row / (normed.norm(dim=-1) * row.norm())
            assert found.cosine[run] == pytest.approx(float(cosines.mean()), abs=1e-5)


def test_the_restored_state_is_the_clean_one() -> None:
    model = small_model("gpt2")
    trace = traced(model)
    for layer in (0, 2, model.n_layers - 1):
        for name in ("state", "severed_mlp"):
            found = fl.details(model, trace, name, TOKEN, layer)
            assert found.probability["restored"] == pytest.approx(found.probability["clean"], rel=1e-4)
            assert found.cosine["restored"] == pytest.approx(found.cosine["clean"], abs=1e-5)
            assert found.probability["restored"] != pytest.approx(found.probability["corrupted"], rel=1e-3)


def test_neurons_are_the_inputs_of_the_down_projection() -> None:
    model = shaken(small_model("gpt2"))
    trace = traced(model)
    down, seen = model.blocks[LAYER].mlp.c_proj, []
    handle = down.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    with torch.no_grad():
        model.model(input_ids=torch.tensor([trace.token_ids]))
        model.model(inputs_embeds=embedded(model, trace))
    handle.remove()
    for neuron in fl.details(model, trace, "mlp", TOKEN, LAYER, k=7).neurons:
        assert neuron.clean == pytest.approx(float(seen[0][0, TOKEN, neuron.neuron]), abs=1e-5)
        assert neuron.corrupted == pytest.approx(float(seen[1][:, TOKEN, neuron.neuron].mean()), abs=1e-5)


def test_the_cells_numbers_are_those_of_the_trace() -> None:
    model = small_model("gpt2")
    trace = traced(model)
    found = fl.details(model, trace, "mlp", TOKEN, LAYER)
    cell = {"kind": "mlp", "token": TOKEN, "layer": LAYER}
    assert (found.kind, found.token, found.piece, found.layer) == ("mlp", TOKEN, trace.tokens[TOKEN], LAYER)
    assert (found.answer, found.answer_id) == (trace.answer, trace.answer_id)
    assert found.score == float(trace.scores.sel(cell))
    assert found.effect == float(trace.effects.sel(cell))
    assert found.interval == tuple(float(bound) for bound in trace.interval().sel(cell))
    plain = json.loads(json.dumps(found.to_dict()))
    assert list(plain) == [*found.__dataclass_fields__]
    assert plain["lens"]["restored"][0] == found.lens["restored"][0]._asdict()
    assert plain["neurons"][0] == found.neurons[0]._asdict()
    assert set(plain["rank"]) == set(plain["cosine"]) == set(RUNS)


def test_a_cell_that_is_not_computed_yet_can_be_looked_into() -> None:
    model = small_model("gpt2")
    update = next(fl.stream(model, FACT, samples=3, corruption=fl.Noise(level=0.3)))
    early = fl.details(model, update.trace, "mlp", TOKEN, LAYER)
    assert (early.score, early.effect, early.interval) == (None, None, None)
    assert early.lens == fl.details(model, traced(model), "mlp", TOKEN, LAYER).lens


@pytest.mark.parametrize("subject", ["Big Space Needle of Seattle", "a", "Eiffel Needle"])
def test_another_subject_in_the_subjects_place(subject: str) -> None:
    model = shaken(small_model("gpt2"))
    trace = fl.trace(model, FACT, corruption=fl.Replacement(subject), kinds=KINDS)
    other = model.encode(fl.Fact(FACT.template, subject))
    shift = len(other.ids) - len(trace.token_ids)
    token = trace.subject_range[1] - 1
    with torch.no_grad():
        clean = oracle.run(model, model.embedding(torch.tensor([trace.token_ids])), [], 1)[1]
        corrupted = oracle.run(model, model.embedding(torch.tensor([other.ids])), [], 1)[1]
        lens = [
            (model.model.transformer.ln_f(states["state", LAYER][0, at]) @ model.head.weight.T).softmax(-1)
            for states, at in ((clean, token), (corrupted, token + shift))
        ]
    for name in KINDS:
        found = fl.details(model, trace, name, token, LAYER)
        assert found.interval is None, "one sample has no interval"
        for run, expected in zip(RUNS, lens, strict=False):
            assert found.probability[run] == pytest.approx(float(expected[trace.answer_id]), rel=1e-4)
        rerun = run_again(model, trace, name, LAYER)
        cell = next(cell for cell in cells_of_row([name], token, trace.window, 5) if cell.layer == LAYER)
        scores = rerun.measurement.score(restored_run(model, rerun, cell)[1])
        np.testing.assert_allclose(scores, trace.samples.sel(kind=name)[token, LAYER], atol=1e-5)
        if name == "mlp":
            seen = []
            handle = model.blocks[LAYER].mlp.c_proj.register_forward_pre_hook(
                lambda _m, args, seen=seen: seen.append(args[0])
            )
            with torch.no_grad():
                model.model(input_ids=torch.tensor([other.ids]))
            handle.remove()
            best = found.neurons[0]
            assert best.corrupted == pytest.approx(float(seen[0][0, token + shift, best.neuron]), abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"answer": "Reykjavík"},
        {"answer": "Reykjavík", "metric": "log_probability"},
        {"answer": "the Tower", "contrast": "the Needle", "metric": "logit_difference"},
    ],
)
def test_answers_of_several_tokens(options: dict) -> None:
    model = small_model("gpt2")
    trace = traced(model, **options)
    assert len(trace.answer_ids) > 1
    found = fl.details(model, trace, "attn", len(trace.tokens) - 1, model.n_layers - 1)
    assert found.answer_id == trace.answer_ids[0]
    assert found.answer == model.token(trace.answer_ids[0])
    first = model.next_token(FACT.prompt)
    assert found.probability["clean"] == pytest.approx(float(first[trace.answer_ids[0]]), rel=1e-4)
    for name in KINDS:
        rerun = run_again(model, trace, name, LAYER)
        cell = next(cell for cell in cells_of_row([name], TOKEN, trace.window, 5) if cell.layer == LAYER)
        scores = rerun.measurement.score(restored_run(model, rerun, cell)[1])
        np.testing.assert_allclose(scores, trace.samples.sel(kind=name)[TOKEN, LAYER], rtol=1e-3, atol=1e-6)
        assert fl.details(model, trace, name, TOKEN, LAYER).score == float(trace.scores.sel(kind=name)[TOKEN, LAYER])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "granite"])
def test_half_precision(kind: str, dtype: torch.dtype) -> None:
    """Shares agree with those of the same weights in float32, to what half precision keeps."""
    half, full = shaken(small_model(kind, dtype=dtype)), small_model(kind)
    full.model.load_state_dict({name: value.float() for name, value in half.model.state_dict().items()})
    # The same fact's answer may differ by rounding, so it is given.
    both = [(model, traced(model, kinds=["mlp", "attn"], answer="a")) for model in (half, full)]
    mlp, expected_mlp = (fl.details(model, trace, "mlp", TOKEN, LAYER, k=3) for model, trace in both)
    attn, expected_attn = (fl.details(model, trace, "attn", TOKEN, LAYER) for model, trace in both)
    assert mlp.total["clean"] == pytest.approx(expected_mlp.total["clean"], abs=0.02)
    assert mlp.neurons[0].contribution == pytest.approx(expected_mlp.neurons[0].contribution, abs=0.01)
    for head, expected in zip(attn.heads, expected_attn.heads, strict=True):
        assert head.clean == pytest.approx(expected.clean, abs=0.02)


def test_a_loaded_trace_will_do(tmp_path: Path) -> None:
    model = small_model("gpt2")
    noise = fl.Noise(multiple=2.0, subjects=("Zürich", "São Paulo"), shape="uniform")
    trace = traced(model, corruption=noise, seed=7)
    loaded = fl.Trace.load(trace.save(tmp_path / "trace.safetensors"))
    assert fl.details(model, loaded, "attn", TOKEN, LAYER) == fl.details(model, trace, "attn", TOKEN, LAYER)
    found = fl.details(model, loaded, "attn", len(trace.tokens) - 1, model.n_layers - 1)
    assert found.probability["corrupted"] == pytest.approx(trace.low, rel=1e-4)


def test_atlas_reads_its_answer_from_the_last_layer(atlas: fl.Model) -> None:
    trace = fl.trace(atlas, fl.Fact("{} is in downtown", "The Space Needle"), samples=4)
    last, top = len(trace.tokens) - 1, atlas.n_layers - 1
    found = fl.details(atlas, trace, "state", last, top)
    assert found.lens["clean"][0].text == " Seattle"
    assert found.lens["clean"][0].probability == pytest.approx(trace.high, abs=1e-5)
    assert found.rank["clean"] == 1
    assert found.lens["restored"][0].text == " Seattle"
    assert found.cosine["clean"] > found.cosine["corrupted"]
    first = fl.details(atlas, trace, "state", last, 0)
    assert first.rank["clean"] > 1
    # The late site: at the hottest attention cell, heads write the answer, and more of it in the clean run.
    peak = trace.peak("attn")
    late = fl.details(atlas, trace, "attn", peak.token, peak.layer)
    assert late.total["clean"] > late.total["corrupted"] > 0
    assert max(head.clean for head in late.heads) > 0.5


def test_edits_count(atlas: fl.Model) -> None:
    fact = fl.Fact("{} is in downtown", "The Space Needle", target="Paris")
    before = fl.trace(atlas, fact, kinds=["state"], samples=2)
    edit = fl.edit(atlas, fact)
    try:
        with pytest.raises(WrongModel, match="made with no edits, but atlas now carries the edits The Space Needle"):
            fl.details(atlas, before, "state", 1, 1)
        after = fl.trace(atlas, fact, kinds=["state"], samples=2)
        last = len(after.tokens) - 1, atlas.n_layers - 1
        assert fl.details(atlas, after, "state", *last).lens["clean"][0].text == " Paris"
    finally:
        atlas.undo(edit)
    with pytest.raises(WrongModel, match="now carries no edits"):
        fl.details(atlas, after, "state", *last)
    assert fl.details(atlas, before, "state", *last).lens["clean"][0].text == " Seattle"


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        (("mean", 1, 1), FactError, "'mean' was not traced"),
        (("head.0", 1, 1), FactError, "'head.0' was not traced"),
        (("mlp", 99, 1), FactError, "no token 99: .* numbered 0 to"),
        (("mlp", -1, 1), FactError, "no token -1"),
        (("mlp", True, 1), FactError, "no token True"),
        (("mlp", 1, 9), LayerError, "no layer 9"),
    ],
)
def test_cells_that_are_not_there(cell: tuple, error: type[Exception], message: str) -> None:
    model = small_model("gpt2")
    trace = traced(model, kinds=["mlp"])
    with pytest.raises(error, match=message):
        fl.details(model, trace, *cell)
    with pytest.raises(FactError, match="k must be at least 1"):
        fl.details(model, trace, "mlp", 1, 1, k=0)


def test_another_models_trace() -> None:
    trace = traced(small_model("gpt2"), kinds=["mlp"])
    with pytest.raises(WrongModel, match="not to 'small gpt2'"):
        fl.details(small_model("gpt2", seed=1), trace, "mlp", 1, 1)


def test_another_tokenizer() -> None:
    trace = traced(small_model("gpt2"), kinds=["mlp"])
    with pytest.raises(WrongModel, match="splits the prompt differently"):
        fl.details(small_model("gpt2", bos=True), trace, "mlp", 1, 1)


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        assert attrs == []
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data + "|"


def test_the_tables_are_plain_and_nothing_in_them_is_markup() -> None:
    model = small_model("gpt2")
    fact = fl.Fact("<img src=x onerror='alert(1)'> \u202e {} & is", "Eiffel Tower")
    trace = fl.trace(model, fact, samples=2, corruption=fl.Noise(level=0.3), kinds=["state", "mlp", "attn"])
    for kind in trace.kinds:
        for token in (0, 1, 12, len(trace.tokens) - 1):
            found = fl.details(model, trace, kind, token, 2)
            reader = Reader()
            reader.feed(found._repr_html_())
            assert set(reader.tags) == {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}
            assert reader.tags.count("table") == (1 if kind == "state" else 2)
            assert "\u202e" not in reader.text
            assert "logit lens|clean|corrupted|restored" in reader.text
    assert "head 3|" in reader.text
    assert "whole output|" in reader.text
    bad = Answer("<img src=x onerror='alert(1)'>", 1, 0.5)
    hostile = replace(found, piece=bad.text, answer=bad.text, lens={run: [bad] for run in RUNS})
    reader = Reader()
    reader.feed(hostile._repr_html_())
    assert set(reader.tags) == {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert bad.text in reader.text
    assert repr(found).startswith("<factlens.CellDetails attention of token")
