"""What the file of a trace must hold, so that one that was damaged or made up is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factlens import typed
from factlens.facts import read_fact
from factlens.formats import Format
from factlens.spelling import read_wording
from factlens.tracing.metrics import MOST, check_metric, read_number, read_trace_metric
from factlens.tracing.protocol import SAMPLINGS, WINDOW_CONVENTIONS, Replacement, read_corruption
from factlens.tracing.sites import read_kind

if TYPE_CHECKING:
    from factlens.tracing.result import Trace

# What a file must hold.
_FIELDS: dict[str, typed.Check] = {
    "fact": read_fact,
    "corruption": read_corruption,
    "kinds": typed.many(read_kind, least=1, unique=True),
    "own_metric": typed.optional(read_trace_metric),
    "model": typed.text,
    "fingerprint": typed.text,
    "tokens": typed.many(typed.text, least=1),
    "token_ids": typed.many(typed.whole(), least=1),
    "subject_range": typed.many(typed.whole(), least=2, most=2),
    "answer": typed.text,
    "answer_ids": typed.many(typed.whole(), least=1),
    "high": read_number,
    "noise_level": typed.optional(typed.number),
    "seed": typed.whole(0, 2**32 - 1),
    "window": typed.whole(1),
    "window_convention": typed.one_of(*WINDOW_CONVENTIONS),
    "metric": typed.text,
    "contrast": typed.optional(read_wording),
    "contrast_ids": typed.many(typed.whole()),
    "whole_answer": typed.optional(typed.text),
    "edits": typed.many(typed.text),
    "edit_ids": typed.many(typed.text),
    "answer_given": typed.optional(read_wording),
    "template_tokens": typed.many(typed.whole(), unique=True),
    "sampling": typed.one_of(*SAMPLINGS),
    "known": typed.optional(typed.flag),
    "says": typed.optional(typed.text),
    "says_probability": typed.optional(typed.number_within(0, 1)),
}
FORMAT = Format(
    "factlens.trace",
    "trace",
    6,
    _FIELDS,
    {
        4: ("answer_given", "template_tokens", "whole_answer"),
        5: ("own_metric",),
        6: ("sampling", "known", "says", "says_probability"),
    },
)
ARRAYS = {
    "samples": typed.Array(("kind", "token", "layer", "sample"), nan=True, largest=MOST),
    "low_samples": typed.Array(("sample",), largest=MOST),
    # A guess is not looked at before it is kept.
    "estimate": typed.Array(("kind", "token", "layer"), nan=True, infinite=True, needed=False),
}


def check_parts(trace: Trace) -> None:
    """Raise ValueError if the parts of a trace that was read do not belong together."""
    start, stop = trace.subject_range
    if len(trace.token_ids) != len(trace.tokens) or not 0 <= start < stop <= len(trace.tokens):
        raise ValueError("its tokens do not fit together")
    if any(token >= len(trace.tokens) for token in trace.template_tokens):
        raise ValueError("its template's tokens are not among its tokens")
    if len(trace.edit_ids) != len(trace.edits):
        raise ValueError(f"it names {len(trace.edits)} edits, but {len(trace.edit_ids)} ids")
    if trace.whole_answer is not None and len(trace.answer_ids) != 1:
        raise ValueError("only an answer of one token is continued")
    check_metric(trace)
    contrasted = trace.contrast is not None
    if bool(trace.contrast_ids) != contrasted or trace.measure.contrasted not in (contrasted, None):
        raise ValueError("its metric and its contrast do not fit together")
    if (trace.noise_level is None) != isinstance(trace.corruption, Replacement):
        raise ValueError("its noise level and its corruption do not fit together")
    if (trace.says is None) != (trace.says_probability is None):
        raise ValueError("what the model says and its probability do not fit together")
    if trace.known is not None and trace.fact.object is None:
        raise ValueError("it says whether an object is known, but its fact has none")
