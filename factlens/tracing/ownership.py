"""Whether a model is the one that a trace was made with, and carries the edits that it carried then."""

from __future__ import annotations

from factlens.errors import WrongModel
from factlens.models import Model
from factlens.models.belonging import Weights, check_belongs
from factlens.tracing.result import Trace


def check_trace(model: Model, trace: Trace, *, edits: bool = True, weights: Weights | None = None) -> None:
    """Raise an error unless a trace can be continued on this model.

    Parameters
    ----------
    model
        The model; the caller holds ``model.exclusive()`` where others may change it.
    trace
        The trace.
    edits
        Whether the edits that it carries have to be those of the trace, too.
    weights
        The weights that the model has, where they are known. Default: look.

    Raises
    ------
    WrongModel
        If it is another model's, was made with other edits, or the tokenizer has changed since.
    """
    check_belongs(
        model if weights is None else weights,
        "This trace",
        name=trace.model,
        fingerprint=trace.fingerprint,
        edit_ids=trace.edit_ids if edits else None,
        labels=trace.edits,
        again="trace again",
    )
    if model.encode(trace.fact).ids != trace.token_ids:
        raise WrongModel(
            f"The tokenizer of {model.name} now splits the prompt differently than when it was traced. Load the "
            "tokenizer that it was traced with, or trace again."
        )
