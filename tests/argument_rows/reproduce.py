"""Rows of the published experiments."""

from __future__ import annotations

from tests.argument_rows.editing import EDIT
from tests.argument_rows.wrong import ENCODING, FOLDER, MODEL, SEED, Bad, flag, layers, one_of, texts, whole
from tests.editing.made import FACT

ROWS: dict[str, dict[str, list[Bad]]] = {
    "reproduce": {
        "name": [(value, "name must be one of fig2") for value in ("fig3", None, 3, ["fig2"])],
        "model": MODEL,
        "facts": [(value, "facts must be") for value in (3, None, "", b"x", [FACT])],
        "out": FOLDER,
        "encoding": ENCODING,
        "limit": whole(1, none=True),
        "only_known": [bad for bad in flag() if bad[0] is not None],
        "methods": [*texts(none=True), ([], "names no method"), (["romme"], "methods[0] must be one of rome")],
        "seed": SEED,
        "say": [(value, "a function") for value in (3, "print")],
        "look": [
            *((value, "a dict of options") for value in (3, "safe", [("palette", "safe")])),
            ({"look": 88}, "A figure has no option 'look'"),
        ],
        "samples": whole(1),
        "layers": layers(),
        "kind": one_of("state", "mlp", "attn"),
        "method": EDIT["method"],
        **{name: [(1, f"layer-sweep has no option '{name}'")] for name in ("batch", "every", "generate", "text")},
    },
}
