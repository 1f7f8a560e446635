"""Rows of editing; of every method's settings, too."""

from __future__ import annotations

from tests.argument_rows.wrong import (
    FACTS,
    FOLDER,
    MODEL,
    MOMENTS,
    NOT_NEGATIVE,
    PATH,
    POSITIVE,
    PROGRESS,
    SEED,
    SHARE,
    STOP,
    Bad,
    flag,
    layers,
    number,
    texts,
    whole,
)
from tests.editing.made import FACT

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
    "shrinkage": number("at least 0", -1e-9, none=True),
    "namesakes": NOT_NEGATIVE,
    "as_published": flag(),
    "balanced": flag(),
    "moment_weight": number("positive", 0, -1, none=True),
    "emmet ridge": number("at least 0", -1e-9, none=True),
    "alphaedit ridge": number("positive", 0, -1, none=True),
    "strength": SHARE,
    "nullspace": POSITIVE,
    "relative": flag(),
    "limit": number("positive", 0, -1, none=True),
    "ft_l limit": POSITIVE,
    "rank": whole(1),
    "alpha": whole(1),
}

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

ROWS: dict[str, dict[str, list[Bad]]] = {
    "edit": EDIT,
    "defaults": {"model": MODEL, "method": EDIT["method"]},
    "Edit.save": {"path": PATH},
    "Edit.load": {"path": PATH},
    "Edit.to_peft": {"folder": FOLDER},
}
