"""Rows of calibrations."""

from __future__ import annotations

from tests.argument_rows.wrong import (
    INF,
    MODEL,
    NAN,
    PATH,
    PROGRESS,
    SEED,
    STOP,
    Bad,
    flag,
    layers,
    one_of,
    text,
    texts,
    whole,
)

FACTS: list[Bad] = [(value, "facts must be") for value in (3, {"prompt": "x"}, b"bytes", "", list)]
BUDGET: list[Bad] = [(value, "positive") for value in (None, [1], True, object(), 0, -1)]
BUDGET += [(value, "finite") for value in (NAN, INF)]
BUDGET += [(value, "'90s', '5m' or '1h'") for value in ("", "soon", "5 days", "-5m", "0s", "nan", "infm", "1e999s")]
METHODS: list[Bad] = [
    *[bad for bad in texts() if bad[0] is not None],
    ([], "names no method"),
    ("romme", "must be one of rome"),
]
METHODS += [(["rome", "x"], "methods[1]")]

ROWS: dict[str, dict[str, list[Bad]]] = {
    "calibrate": {
        "model": MODEL,
        "facts": FACTS,
        "methods": METHODS,
        "budget": BUDGET,
        "layers": layers(none=True),
        "seed": SEED,
        "progress": PROGRESS,
        "stop": STOP,
        "store": flag(),
    },
    "known_records": {
        "model": MODEL,
        "facts": FACTS,
        "n": whole(1),
        "seed": SEED,
        "progress": PROGRESS,
        "stop": STOP,
    },
    "Calibration.trial_of": {"method": text(), "split": one_of("train", "held out")},
    "Calibration.baseline_of": {"method": text()},
    "Calibration.save": {"path": PATH},
    "Calibration.load": {"path": PATH},
}
