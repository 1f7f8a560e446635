"""Rows of judging, of metrics of one's own, and of data sets."""

from __future__ import annotations

from factlens.evaluation import Probe, PromptMetric, Report
from tests.argument_rows.wrong import (
    A_FACT,
    BETTER,
    ENCODING,
    MODEL,
    MOMENTS,
    PATH,
    PROGRESS,
    SEED,
    STOP,
    Bad,
    flag,
    function,
    instance,
    layers,
    one_of,
    path,
    text,
    texts,
    whole,
)
from tests.editing.made import FACT

NO_DATA = (3, {"prompt": "x"}, b"bytes", "", list)
SOURCE: list[Bad] = [(value, "source must be") for value in (*NO_DATA, None)]

PAIRS: list[Bad] = [(value, "pairs") for value in ("ab", 3, None, {"a": "b"}, [("a", "b", "c")])]
PAIRS += [(["ab"], "not 'ab'"), ([("a", 3)], "a text"), ([("a", " ")], "something in it")]
TRIPLES: list[Bad] = [*((value, "triples") for value in ("abc", 3, None, [("a", "b")])), *PAIRS[5:]]
METHOD: list[Bad] = [(value, "method") for value in (3, None, [], {}, ["ft", 3], {"a": 3}, {3: {}}, {"a": "ft"}, [" "])]
METHOD += [
    ({"a": {"method": "ft", name: None}}, f"'{name}' cannot be a setting") for name in ("apply", "progress", "stop")
]
METHOD += [({"a": {"method": "ft", 3: 3}}, "3 cannot be a setting"), ("romme", "must be one of")]

ROWS: dict[str, dict[str, list[Bad]]] = {
    "PromptMetric": {
        "name": text(),
        "function": function(),
        "label": text(empty=True),
        "unit": text(empty=True),
        "better": BETTER,
        "aggregation": one_of("mean", "median", "min", "max"),
        "needs": [(value, "needs must be one of written") for value in ("generate", "", 3, ["written"])],
    },
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
        "written": [bad for bad in flag() if bad[0] is not None],
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
        "progress": PROGRESS,
    },
    "Report.joined": {"reports": [(value, "Report") for value in (3, None, "ab", [3], {"a": 3}, Report)]},
    "Report.relabelled": {"label": text()},
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
    "easyedit": {"source": SOURCE, "encoding": ENCODING},
    "known_facts": {"source": SOURCE, "encoding": ENCODING},
    "mquake": {"source": SOURCE, "encoding": ENCODING},
    "ripple_edits": {"source": SOURCE, "encoding": ENCODING},
    "own_records": {"source": SOURCE, "encoding": ENCODING},
    "zsre": {"source": SOURCE, "encoding": ENCODING},
}
