"""For `test_arguments`: of every public argument, values that are wrong, and what has to be said of them."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

import factlens as fl
from factlens.evaluation import Probe, PromptMetric, Report
from factlens.tracing import TraceMetric
from tests.editing.made import FACT
from tests.support import small_model

NAN, INF = float("nan"), float("inf")

Bad = tuple[Any, str]
"""A value, and what the error says of what is wanted."""

# What does not -------------------------------------------------------------------------------------------------------


def whole(least: int | None = None, *, most: int | None = None, none: bool = False) -> list[Bad]:
    wanted = "whole number"
    bad: list[Bad] = [(value, wanted) for value in (True, 2.5, 3.0, "3", [1], NAN, 1j, object(), int, np.True_)]
    bad += [(torch.tensor([1, 2]), wanted), (np.float64(3), wanted), (torch.tensor(2.5), wanted), ("x" * 10**6, wanted)]
    bad += [] if none else [(None, wanted)]
    if least is not None:
        said = f"at least {least}" if most is None else f"from {least} to {most}"
        bad += [(value, said) for value in (least - 1, np.int64(least - 1), torch.tensor(least - 1), -(10**30))]
    bad += [(10**5000, "at most" if most is None else f"to {most}")]
    return bad + ([] if most is None else [(most + 1, f"to {most}")])


def number(wanted: str, *outside: float, none: bool = False) -> list[Bad]:
    bad: list[Bad] = [(value, wanted) for value in ("big", [1.0], object(), True, 1j, np.array([1.0, 2.0]))]
    bad += [(value, "finite") for value in (NAN, INF, -INF, np.float32("nan"), torch.tensor(INF), 10**400)]
    return bad + [(value, wanted) for value in outside] + ([] if none else [(None, wanted)])


POSITIVE, NOT_NEGATIVE = number("positive", 0, -1, np.float64(-1)), number("at least 0", -1e-9, np.int64(-1))
SHARE = number("between 0 and 1", 0, 1, 95, -0.5)
SEED = whole(0, most=2**32 - 1)


def flag() -> list[Bad]:
    return [(value, "True or False") for value in (1, 0, "yes", None, [], np.int64(1), torch.tensor(1))]


def text(*, none: bool = False, empty: bool = False) -> list[Bad]:
    bad: list[Bad] = [(value, "text") for value in (3, b"bytes", ["a"], object(), True, "half \ud800")]
    bad += [(value, "text") for value in (Path("a"), [1, 2], np.array(["a"]), torch.tensor([1, 2]), str)]
    return bad + ([] if none else [(None, "text")]) + ([] if empty else [("", "text"), (" \n", "text")])


def texts(*, none: bool = False, empty: bool = False, words: str = "text") -> list[Bad]:
    bad: list[Bad] = [("a text alone", words), (3, words), ({"a": 1}, words), (["a", 3], "a text"), ([None], "a text")]
    bad += [(["half \ud800"], "whole characters"), (b"bytes", words), (str, words)]
    return bad + ([] if none else [(None, words)]) + ([] if empty else [(["a", " "], "something in it")])


def one_of(*words: str) -> list[Bad]:
    wanted = "one of " + ", ".join(words)
    return [(value, wanted) for value in ("nonsense", None, 3, ["a"], np.array(["a", "b"]))]


def instance(wanted: str, *more: Any, none: bool = False) -> list[Bad]:
    values: tuple[Any, ...] = ("atlas", 3, {"a": 1}, object(), SimpleNamespace(), *more, *(() if none else (None,)))
    return [(value, wanted) for value in values]


def function() -> list[Bad]:
    return [(value, "a function") for value in (True, 3, "print", [print])]


def event() -> list[Bad]:
    return [(value, "a threading.Event") for value in (True, 3, "stop", threading.Event, threading.Lock())]


def path(kind: str = "file", *, none: bool = False) -> list[Bad]:
    values: list[Any] = [3, b"bytes", ["a"], "", "a\0b", object()] + ([".", "/"] if kind == "file" else [])
    return [(value, f"the path of a {kind}") for value in values + ([] if none else [None])]


def layer() -> list[Bad]:
    return [(value, "0 to 4") for value in (5, -1, 1.5, "1", True, None, np.int64(9), [1], object())]


def layers(*, none: bool = False) -> list[Bad]:
    bad: list[Bad] = [(value, "0 to 4") for value in (5, -1, 1.5, "3", True, [1.5], [True], [1, 5], [None], ["1"])]
    bad += [(value, "layers") for value in ([], (), {1: 1}, b"1", object(), np.array([]))]
    return bad + ([] if none else [(None, "0 to 4")])


ENCODING: list[Bad] = [(value, "encoding must be") for value in (None, 3, b"utf-8", ["utf-8"], "", "nonsense", "zip")]
MODEL, A_FACT = instance("factlens.load('atlas')", FACT), instance("a factlens.Fact", [FACT])
A_TRACE = instance("a factlens.Trace", FACT)
AN_EDIT = instance("what factlens.edit or factlens.Edit.load returns", [FACT])
SOME_EDITS: list[Bad] = [(value, "a list of edits") for value in (None, 3, "edit", {"a": 1})]
SOME_EDITS += [([value], "what factlens.edit") for value in (None, 3, "edit", FACT)]
FACTS: list[Bad] = [(value, "factlens.Fact") for value in (FACT, "a fact", 3, None, [FACT, "x"], {"a": FACT}, [None])]
FACTS += [(value, "factlens.Fact") for value in (("{} is", "Rome"), [("{} is", "Rome")], [vars(FACT)], vars(FACT))]
STOP, PROGRESS, PATH, FOLDER = event(), function(), path(), path("folder")
KINDS: list[Bad] = [
    (value, "kinds must be some of state, mlp") for value in (None, 3, {"mlp": 1}, [3], ["ffn"], [], [[]])
]
OPTIONS: dict[str, list[Bad]] = {
    "kinds": KINDS,
    "corruption": [(value, "a Noise or a Replacement") for value in ("noise", 3.0, fl.Noise, [fl.Noise()])],
    "samples": whole(1),
    "seed": SEED,
    "window": whole(1, none=True),
    "window_convention": one_of("code", "paper"),
    "metric": [
        *one_of("probability", "log_probability", "logit_difference"),
        (str, "one of probability"),
        (TraceMetric("mine"), "must have a function"),
        (TraceMetric("probability", print), "already"),
    ],
    "answer": text(none=True),
    "contrast": text(none=True),
    "estimate": [bad for bad in [*one_of("attribution_patching"), (True, "estimate must be")] if bad[0] is not None],
    "memory": whole(1, none=True),
    "preview": [bad for bad in flag() if bad[0] is not None],  # the old name of `estimate`
}
BETTER: list[Bad] = [(value, "1 or -1") for value in (0, 2, True, None, "up")]
MANY = {**OPTIONS, "answer": [("Paris", "give each fact its own"), (None, "give each fact its own")]}
CONTEXTS: list[Bad] = [
    (value, "pair") for value in (((1,),), (1, 2), "ab", 3, None, ((1, 2, 3),), {1: 2}, (("1", 2, 3),))
]
CONTEXTS += [(((0, 4),), "at least 1"), (((1, 2.5),), "whole number"), ((("1", 2),), "whole number")]
CONTEXTS += [(((1, 65),), "at most 64")]
KEEP = [*texts(), (["{} and {}"], "once"), (["no such subject"], "Eiffel Tower")]
#: Of every method's settings; `ridge` and `limit` have ranges that depend on the method.
SETTINGS: dict[str, list[Bad]] = {
    "seed": SEED,
    "steps": whole(1),
    "learning_rate": [*POSITIVE, (1e38, "at most 1e+37")],
    "weight_decay": NOT_NEGATIVE,
    "kl_factor": NOT_NEGATIVE,
    "keep": KEEP,
    "clamp": POSITIVE,
    "stop_loss": NOT_NEGATIVE,
    "contexts": CONTEXTS,
    "openings": texts(),
    "bare_share": number("from 0 to 1", -0.1, 1.1, none=True),
    "keep_samples": whole(0),
    "keep_tokens": whole(1),
    "shrinkage": NOT_NEGATIVE,
    "as_published": flag(),
    "moment_weight": POSITIVE,
    "emmet ridge": NOT_NEGATIVE,
    "alphaedit ridge": POSITIVE,
    "nullspace": POSITIVE,
    "relative": flag(),
    "limit": number("positive", 0, -1, none=True),
    "ft_l limit": POSITIVE,
    "rank": whole(1),
    "alpha": whole(1),
}
MOMENTS: list[Bad] = [(value, "SecondMoment") for value in ("C", 3, [1], {1: "C"}, {1: None}, torch.eye(192))]
NO_DATA = (3, {"prompt": "x"}, b"bytes", "", list)
SOURCE: list[Bad] = [(value, "source must be") for value in (*NO_DATA, None)]
EDIT = {
    "model": MODEL,
    "facts": [bad for bad in FACTS if bad[0] is not FACT],
    "method": [(value, "method must be one of rome, ") for value in ("nonsense", None, 3, ["rome"], {"rome": 1})],
    "layers": layers(none=True),
    "moments": MOMENTS,
    "apply": flag(),
    "progress": PROGRESS,
    "stop": STOP,
}
PAIRS: list[Bad] = [(value, "pairs") for value in ("ab", 3, None, {"a": "b"}, [("a", "b", "c")])]
PAIRS += [(["ab"], "not 'ab'"), ([("a", 3)], "a text"), ([("a", " ")], "something in it")]
TRIPLES: list[Bad] = [*((value, "triples") for value in ("abc", 3, None, [("a", "b")])), *PAIRS[5:]]
METHOD: list[Bad] = [(value, "method") for value in (3, None, [], {}, ["ft", 3], {"a": 3}, {3: {}}, {"a": "ft"}, [" "])]
METHOD += [
    ({"a": {"method": "ft", name: None}}, f"'{name}' cannot be a setting") for name in ("apply", "progress", "stop")
]
METHOD += [({"a": {"method": "ft", 3: 3}}, "3 cannot be a setting"), ("romme", "must be one of")]

ROWS: dict[str, dict[str, list[Bad]]] = {
    "Exactly": {"exactly": [(value, "text") for value in (3, None, b"x", ["x"], "half \ud800")] + [("", "is empty")]},
    "Fact": {
        "template": [(value, "string") for value in (3, None, b"x", ["x"], Path("x"), [1, 2])],
        "subject": [(value, "string") for value in (3, None, b"x", ["x"], Path("x"), [1, 2])],
        "target": [(value, "string") for value in (3, b"x", ["x"], Path("x"), [1, 2])],
        "object": [(value, "string") for value in (3, b"x", ["x"], Path("x"), [1, 2])],
        "slot": [(value, "string") for value in (3, b"x", ["x"])] + [("[S]", "nowhere"), (" ", "is empty")],
        "conversation": instance("what Fact.chat makes", none=True),
        "span": [(value, "span must be") for value in (3, "ab", (0,), (0, 99), (2, 1), (0, 1.5), (True, 2), {0: 2})],
    },
    "Fact.chat": {
        "messages": [(value, "messages") for value in (3, None, [], [3], {"role": "user"}, [{"role": "user"}], "")],
        "subject": text(),
        "target": [(value, "string") for value in (3, b"x", ["x"])],
        "object": [(value, "string") for value in (3, b"x", ["x"])],
        "system": text(none=True),
        "slot": [(value, "No turn of the chat") for value in ("[S]", "nowhere")],
    },
    "Fact.with_template": {
        "template": [(value, "string") for value in (3, None, ["x"])],
        "slot": [(value, "string") for value in (3, ["x"])],
    },
    "Fact.with_prefix": {"prefix": text(empty=True)},
    "Fact.with_subject": {"subject": text()},
    "Fact.with_target": {"target": [(value, "string") for value in (3, ["x"])]},
    "load": {
        "name": [(value, "a Hugging Face Hub id") for value in (3, None, "", "a\0b", b"atlas", fl.Fact)],
        "device": [(value, "device") for value in ("gpu", 3, True, ["cpu"], "meta", "xla", "cuda:99", torch.float32)],
        "dtype": [
            (value, "float32, bfloat16") for value in ("float8", "int8", 3, True, torch.int8, "Tensor", ["float32"])
        ],
        "revision": text(none=True),
        "family": instance("a factlens.Family", none=True),
    },
    "wrap": {
        "model": [
            *instance("model", torch.nn.Module),
            ("gpt2", "factlens.load('gpt2') loads one by name"),
            (small_model("gpt2"), "use it as it is"),
        ],
        "tokenizer": instance(
            "a fast tokenizer", SimpleNamespace(is_fast=True), lambda words: words, PreTrainedTokenizerFast
        ),
        "name": text(none=True),
        "family": instance("a factlens.Family", none=True),
    },
    "Family": {
        **dict.fromkeys(("blocks", "attention", "mlp", "out", "embedding", "norm", "head"), text()),
        "down": text(none=True),
    },
    "Model.encode": {"fact": A_FACT},
    "Model.as_read": {"fact": A_FACT, "warned": flag()},
    "Model.notes": {"fact": A_FACT},
    "Model.encode_option": {"prompt": text(empty=True), "option": text(empty=True)},
    "Model.ids_of": {"prompt": text(empty=True)},
    "Model.next_token": {"prompt": text(empty=True)},
    "Model.answers": {"prompt": text(empty=True), "k": whole(1)},
    "Model.token": {"token_id": whole(0, most=2**32 - 1)},
    "Model.save_pretrained": {"folder": FOLDER},
    "Model.apply": {"edit": AN_EDIT, "origin": text(none=True)},
    "Model.undo": {"edit": [bad for bad in AN_EDIT if bad[0] is not None], "origin": text(none=True)},
    "Model.drop": {"edit": AN_EDIT, "origin": text(none=True)},
    "Model.redo": {"origin": text(none=True)},
    "Model.reorder": {"edits": SOME_EDITS, "origin": text(none=True)},
    "Model.set_edits": {"edits": SOME_EDITS, "origin": text(none=True)},
    "Model.clear": {"origin": text(none=True)},
    "Model.edited": {"edit": AN_EDIT},
    "Model.as_edited": {"edit": AN_EDIT},
    "Model.without": {"edit": AN_EDIT},
    **{key: {"stops": STOP} for key in ("Model.exclusive", "Model.watched")},
    **{key: {"stop": STOP} for key in ("Model.keep_changes", "Model.revert_changes")},
    "Noise": {
        "multiple": POSITIVE,
        "subjects": [*texts(none=True), ((), "list of subjects")],
        "level": number("positive", 0, -1, none=True),
        "shape": one_of("gaussian", "uniform", "multivariate"),
        "replace": flag(),
    },
    "Replacement": {"subject": text()},
    "stream": {"model": MODEL, "fact": A_FACT, "stop": STOP, **OPTIONS},
    "TraceMetric": {
        "name": text(),
        "function": function(),
        "label": text(empty=True),
        "title": text(empty=True),
        "unit": text(empty=True),
        "better": BETTER,
        "contrasted": [bad for bad in flag() if bad[0] is not None],
        "logarithm": function(),
    },
    "PromptMetric": {
        "name": text(),
        "function": function(),
        "label": text(empty=True),
        "unit": text(empty=True),
        "better": BETTER,
        "aggregation": one_of("mean", "median", "min", "max"),
    },
    "stream_rest": {"model": MODEL, "trace": A_TRACE, "memory": whole(1, none=True), "stop": STOP},
    "resume": {"model": MODEL, "trace": A_TRACE, "stop": STOP},
    "trace": {"model": MODEL, "fact": A_FACT, "stop": STOP, **OPTIONS, "sampels": [(3, "samples")]},
    "trace_many": {
        "model": MODEL,
        "facts": FACTS,
        "stop": STOP,
        "progress": PROGRESS,
        **MANY,
        "sampels": [(3, "samples")],
    },
    "average_over": {
        "model": MODEL,
        "facts": FACTS,
        "stop": STOP,
        "progress": PROGRESS,
        **MANY,
        "sampels": [(3, "samples")],
    },
    "average": {"traces": [(value, "trace") for value in (3, None, "traces", ["a"], [FACT], {"a": 1}, [None])]},
    "details": {
        "model": MODEL,
        "trace": A_TRACE,
        "kind": [*text(), ("attn", "there are mlp")],
        "token": [(value, "numbered 0 to") for value in (-1, 99, True, 1.0, "1", None, [1], np.int64(99))],
        "layer": layer(),
        "k": whole(1),
    },
    "compare": {
        "a": A_TRACE,
        "b": A_TRACE,
        "names": [*texts(), (("a",), "two names"), (("a", "b", "c"), "two names"), ("AB", "text")],
    },
    "Trace.peak": {"kind": [*text(), ("attn", "there are mlp"), (np.array(["mlp", "attn"]), "text")]},
    "Trace.interval": {"level": SHARE},
    "Trace.label": {"token": whole(0, most=8)},
    "Trace.title": {"kind": one_of("mlp")},
    "Trace.window_of": {"layer": whole(0, most=4)},
    "Trace.plot": {"effects": flag()},
    "Trace.save": {"path": PATH},
    "Trace.load": {"path": PATH},
    "Average.peak": {"kind": [*text(), ("attn", "there are mlp")]},
    "Average.interval": {"level": SHARE},
    "Average.total_interval": {"level": SHARE},
    "Average.to_dataframe": {"level": SHARE},
    "Average.plot_lines": {"level": SHARE},
    "Average.save": {"path": PATH},
    "Average.load": {"path": PATH},
    "edit": EDIT,
    "defaults": {"model": MODEL, "method": EDIT["method"]},
    "Edit.save": {"path": PATH},
    "Edit.load": {"path": PATH},
    "Edit.to_peft": {"folder": FOLDER},
    "evaluate": {
        "model": MODEL,
        "what": [(value, "what") for value in (3, None, {"a": 1}, [3], [FACT, "x"], b"x", object())],
        "checks": [(value, "checks") for value in (3, "checks", {"a": 1}, [3], [None], Probe)],
        "method": METHOD,
        "way": one_of("single", "sequential", "at once"),
        "metrics": [
            *((value, "metrics in a list") for value in ("success", 3, {"a": 1}, str, print)),
            *(([value], "metrics[0] must be one of score, success") for value in ("nonsense", 3, None, str)),
            ([PromptMetric("mine")], "metrics[0] must have a function"),
            ([PromptMetric("success", print)], "There is a metric of edits 'success' already"),
        ],
        "generate": flag(),
        "unrelated": texts(none=True),
        "texts": texts(none=True, empty=True),
        "seed": SEED,
        "store": path(none=True),
        "encoding": ENCODING,
        "progress": PROGRESS,
        "stop": STOP,
        "layers": layers(none=True),
        "moments": MOMENTS,
        "steps": whole(1),
        "apply": [(True, "'apply' cannot be a setting")],
        "clmp": [(3, "no setting 'clmp'")],
    },
    "Probe": {
        "role": one_of("rewrite", "paraphrase", "neighbour", "other", "portability"),
        "prompt": text(),
        "old": text(),
        "new": text(),
    },
    "Checks": {
        "probes": [(value, "probes") for value in (3, None, "ab", {"a": 1}, ["a"], [None], Probe)],
        "generation_prompts": texts(),
        "references": texts(empty=True),
    },
    "Checks.of": {
        "fact": A_FACT,
        "old": text(),
        "paraphrases": texts(),
        "neighbours": PAIRS,
        "others": PAIRS,
        "portability": TRIPLES,
        "generation_prompts": texts(),
        "references": texts(empty=True),
    },
    "Record": {"fact": A_FACT, "checks": instance("a factlens.Checks", [Probe]), "name": text()},
    "atlas_checks": {"fact": A_FACT, "neighbours": whole(0), "others": whole(0), "seed": SEED},
    "read": {
        "model": MODEL,
        "prompts": texts(),
        "options": [(value, "options") for value in (3, None, "ab", ["ab"], [["a"], ["b"]], [[3]], [], [[" "]])],
    },
    "Report.joined": {"reports": [(value, "Report") for value in (3, None, "ab", [3], {"a": 3}, Report)]},
    "Report.relabelled": {"label": text()},
    "Report.plot": {"metrics": [*texts(none=True), (["es"], "no metric 'es'")]},
    "Report.save": {"path": PATH},
    "Report.load": {"path": PATH},
    "load_facts": {"source": SOURCE, "encoding": ENCODING},
    "load_records": {"source": SOURCE, "encoding": ENCODING},
    "atlas_facts": {"count": whole(1), "seed": SEED},
    "counterfact": {
        "source": SOURCE,
        "snippets": [(value, "snippets must be") for value in NO_DATA],
        "encoding": ENCODING,
    },
    "known_facts": {"source": SOURCE, "encoding": ENCODING},
    "own_records": {"source": SOURCE, "encoding": ENCODING},
    "zsre": {"source": SOURCE, "encoding": ENCODING},
    "collect": {
        "model": MODEL,
        "layers": layers(),
        "texts": [(value, "texts must be text: the path") for value in (3, None, {"a": 1}, b"x", object(), str)],
        "tokens": whole(1),
        "corpus": text(none=True),
        "encoding": ENCODING,
        "sequence": [*whole(1, none=True), (65, "lower sequence")],
        "checkpoint": path(none=True),
        "every": NOT_NEGATIVE,
        "progress": PROGRESS,
        "stop": STOP,
    },
    "default_moments": {
        "model": MODEL,
        "layers": layers(),
        "tokens": whole(1, none=True),
        "seed": SEED,
        "progress": PROGRESS,
        "stop": STOP,
    },
    "default_tokens": {"model": MODEL, "layers": layers()},
    "own_corpus": {"model": MODEL, "seed": SEED, "sequence": whole(1, none=True)},
    "open_corpus": {
        "source": [(value, "source must be") for value in (3, None, {"a": 1}, b"x", object(), "", "a\0b")],
        "name": text(none=True),
        "column": text(),
        "encoding": ENCODING,
    },
    "Corpus": {"identity": text(), "read": [(value, "read must be a function") for value in (None, 3, ["a text"])]},
    "Key.of": {
        "model": MODEL,
        "layer": layer(),
        "corpus": text(),
        "tokens": whole(1),
        "sequence": whole(1, none=True),
    },
    "Key.file": {"folder": FOLDER},
    "Key.check": {"moment": instance("SecondMoment")},
    "SecondMoment": {
        "total": [
            *instance("a torch.Tensor"),
            (torch.ones(2, 3), "matrix (total) has shape"),
            (torch.ones(3), "matrix (total) has shape"),
        ],
        "count": whole(0),
        "layer": whole(0),
        "fingerprint": text(),
        "corpus": text(),
        "dtype": text(none=True),
        "sequence": whole(1, none=True),
        "asked": whole(1, none=True),
        "group": whole(0),
        "groups": whole(0),
        "spread": [*instance("a torch.Tensor", none=True), (torch.ones(3, 2), "scatter (spread) has shape")],
    },
    "SecondMoment.identity_matrix": {"model": MODEL, "layer": layer()},
    "SecondMoment.solve": {
        "keys": [
            *instance("a torch.Tensor"),
            (torch.ones(3), "of shape (192,)"),
            (torch.tensor(1.0), "of shape (192,)"),
        ],
        "shrinkage": NOT_NEGATIVE,
    },
    "SecondMoment.used_directions": {"threshold": NOT_NEGATIVE, "relative": flag()},
    "SecondMoment.save": {"path": PATH},
    "SecondMoment.load": {"path": PATH},
    "Lens": {
        "model": MODEL,
        "fact": instance("a factlens.Fact or a Record", [FACT], none=True),
        "checks": instance("a factlens.Checks", none=True),
    },
    "Heatmap": {"trace": instance("a factlens.Trace", none=True), "selektion": [(None, "Heatmap has no 'selektion'")]},
    "Heatmap.compare": {
        "other": instance("a factlens.Trace", none=True),
        "names": [*texts(), (("a",), "two names"), ("AB", "text")],
    },
}
ROWS["reproduce"] = {
    "name": [(value, "name must be one of fig2") for value in ("fig3", None, 3, ["fig2"])],
    "model": MODEL,
    "facts": [(value, "facts must be") for value in (3, None, "", b"x", [FACT])],
    "out": FOLDER,
    "encoding": ENCODING,
    "limit": whole(1, none=True),
    "methods": [*texts(none=True), ([], "names no method"), (["romme"], "methods[0] must be one of rome")],
    "seed": SEED,
    "say": [(value, "a function") for value in (3, "print")],
    "samples": whole(1),
    "layers": layers(),
    "kind": one_of("state", "mlp", "attn"),
    "method": EDIT["method"],
    "batch": [(1, "layer-sweep has no option 'batch'")],
}
ROWS["cached"] = {**ROWS["collect"], "folder": path("folder", none=True)}
del ROWS["cached"]["checkpoint"]

# What takes anything -------------------------------------------------------------------------------------------------

RECORD = "a record that factlens makes and nobody else; what is read from files is checked where it is read"
PARTS = "a name of a layer's part, used inside: `Model.check_layer` refuses what is no layer"
WORDS = "words for an error, from factlens itself"
#: A whole constructor or method, or a parameter of one, and why it needs no row.
ANYTHING: dict[str, str] = {
    **dict.fromkeys(("Trace", "Average", "CellDetails", "Edit", "Took", "Report", "Key", "Update", "Skipped"), RECORD),
    **dict.fromkeys(("Outcome", "Measured", "Metric", "Defaults", "LowRank", "Dense", "Model", "ModelEvent"), RECORD),
    **dict.fromkeys(("Peak", "Answer", "Reading"), RECORD),
    **dict.fromkeys(("LowRank.matrix", "Dense.matrix"), "a tensor, from the weights themselves"),
    **{f"Model.{name}": PARTS for name in ("attention", "mlp", "attention_out", "down_projection", "check_editable")},
    **dict.fromkeys(("RecordMetric", "CombinedMetric"), RECORD),
    **dict.fromkeys(("PromptMetric.symbols", "PromptMetric.brief"), "for the metrics of factlens itself"),
    **{f"PromptMetric.{name}": "what was measured" for name in ("value", "values", "numbers")},
    "RecordMetric.numbers": "what was measured",
    "TraceMetric.smooth": "tensors and ids that tracing has made",
    "Model.check_layer": "it is the check: whatever is no layer is refused",
    "Model.check_unchanged": "what the caller has from the model itself, and words of ours",
    "Model.origin_of": "whatever is not in force has no origin",
    **dict.fromkeys(("Model.listen", "Model.forget"), "whatever can be called"),
    "Model.check_ids": "ids from the model's own tokenizer",
    "Model.text_of": "ids from the model's own tokenizer",
    "Model.encode.what": WORDS,
    "Model.encode.advice": WORDS,
    "Model.ids_of.what": WORDS,
    "Model.ids_of.advice": WORDS,
    "Model.encode_option.role": WORDS,
    "Model.encode_option.bare": WORDS,
    "Heatmap.gesture": "hears the page, and refuses without a word: tests/widgets/test_heatmap.py",
    "Heatmap.traits": "traitlets checks the values of traits, and refuses them by its own TraitError",
}
