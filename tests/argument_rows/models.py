"""Rows of facts and models."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import PreTrainedTokenizerFast

import factlens as fl
from tests.argument_rows.wrong import A_FACT, AN_EDIT, FOLDER, SOME_EDITS, STOP, Bad, flag, instance, text, whole
from tests.support import small_model

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
        "gguf_file": [*text(none=True), ("model.gguf", "neither")],
        "device_map": [(value, "device_map") for value in ("everywhere", 3, True, {}, {"": None}, {0: "cpu"}, ["cpu"])],
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
}
