"""Rows of second moments and what they are collected from."""

from __future__ import annotations

import torch

from tests.argument_rows.wrong import (
    ENCODING,
    FOLDER,
    MODEL,
    NOT_NEGATIVE,
    PATH,
    PROGRESS,
    SEED,
    STOP,
    Bad,
    flag,
    instance,
    layer,
    layers,
    path,
    text,
    whole,
)

ROWS: dict[str, dict[str, list[Bad]]] = {
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
    "default_tokens": {
        "model": MODEL,
        "layers": layers(),
        "text": instance("what factlens.moments.open_corpus returns", none=True),
    },
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
        "rows": [*instance("a torch.Tensor", none=True), (torch.ones(2), "(rows)"), (torch.zeros(3), "(rows)")],
    },
    "SecondMoment.identity_matrix": {"model": MODEL, "layer": layer()},
    "SecondMoment.solve": {
        "keys": [
            *instance("a torch.Tensor"),
            (torch.ones(3), "of shape (192,)"),
            (torch.tensor(1.0), "of shape (192,)"),
        ],
        "shrinkage": [*NOT_NEGATIVE, ("ledoit", "'auto' or 'diagonal'")],
    },
    "SecondMoment.optimal_shrinkage": {
        "target": [(value, "target must be one of auto, diagonal") for value in ("identity", None, 3)]
    },
    "SecondMoment.used_directions": {"threshold": NOT_NEGATIVE, "relative": flag()},
    "SecondMoment.save": {"path": PATH},
    "SecondMoment.load": {"path": PATH},
}
ROWS["cached"] = {**ROWS["collect"], "folder": path("folder", none=True)}
del ROWS["cached"]["checkpoint"]
