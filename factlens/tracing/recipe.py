"""A trace as the Python that makes it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from factlens.conversations import Conversation, Turn
from factlens.escaping import literal, shown
from factlens.facts import Fact
from factlens.models.belonging import Weights, named
from factlens.models.pieces import is_marked
from factlens.slots import marked
from factlens.spelling import Exactly, Wording
from factlens.tracing.options import DEFAULTS
from factlens.tracing.protocol import AUTO, Corruption, Noise, Replacement
from factlens.tracing.result import Trace
from factlens.tracing.sites import KINDS


def code_of(trace: Trace) -> str:
    """Return Python code that computes a trace again: same fact, same noise, same window.

    What a trace holds may come from anyone's file: it is text in this code, never code.

    A model that came from `factlens.wrap` has no name to load it by; then the code says where to put it.
    """
    # A trace that has stopped by itself is the one with that number of samples.
    samples = AUTO if trace.sampling == AUTO and not trace.complete else int(trace.samples.sizes["sample"])
    options = {"samples": samples, "seed": trace.seed, "window": trace.window}
    arguments: list[str] = [f"{name}={literal(value)}" for name, value in options.items()]
    if trace.kinds != KINDS:
        arguments.insert(0, f"kinds={literal(trace.kinds)}")
    if trace.window_convention != "code":
        arguments.append(f"window_convention={literal(trace.window_convention)}")
    if trace.corruption != Noise():
        arguments.append(f"corruption={_corruption(trace.corruption)}")
    if trace.metric != "probability":
        arguments.append(f"metric={literal(trace.metric)}")
    if trace.contrast is not None:
        arguments.append(f"contrast={wording(trace.contrast)}")
    if trace.answer_given is not None:
        arguments.append(f"answer={wording(trace.answer_given)}")
    # An answer of the model's own that continues a word, or ends inside a character, cannot be given as text. It will
    # be its own again.
    elif trace.answer.strip() and (len(trace.answer_ids) > 1 or _begins_a_word(trace.answer)):
        arguments.append(f"answer={literal(trace.answer)}")
    weights = Weights(trace.model, trace.fingerprint, trace.edit_ids, trace.edits)
    return _script(weights, trace.fact, arguments, own_metric=trace.own_metric is not None)


def code_for(weights: Weights, fact: Fact, options: Mapping[str, Any]) -> str:
    """Return Python code that traces a fact with some options; what they leave as it is by default stays out.

    `factlens.trace` gives no estimate, and how much memory is used changes nothing: neither is in the code.
    """
    written: dict[str, Callable[[Any], str]] = {
        "corruption": _corruption,
        "answer": wording,
        "contrast": wording,
        "metric": lambda metric: literal(getattr(metric, "name", metric)),
    }
    arguments = [
        f"{name}={written.get(name, literal)(value)}"
        for name, value in options.items()
        if name not in ("estimate", "memory") and value != DEFAULTS[name]
    ]
    return _script(weights, fact, arguments, own_metric=not isinstance(options["metric"], str))


def _corruption(corruption: Corruption) -> str:
    if isinstance(corruption, Replacement):
        return f"fl.Replacement({literal(corruption.subject)})"
    default = vars(Noise())
    settings = [f"{name}={literal(value)}" for name, value in vars(corruption).items() if value != default[name]]
    return f"fl.Noise({', '.join(settings)})"


def _script(weights: Weights, fact: Fact, arguments: Sequence[str], *, own_metric: bool) -> str:
    # A comment ends where a line ends, and there are many characters that end one.
    named_edits = shown(named(weights.labels, weights.edit_ids))
    edits = [f"# traced with these edits in force: {named_edits}"] if weights.labels else []
    own = ["# the metric is your own: fl.tracing.METRICS.register(its name, ...)"] if own_metric else []
    lines = [
        "import factlens as fl",
        "",
        *own,
        f"model = fl.load({literal(weights.name)})  # or fl.wrap(model, tokenizer)",
        *edits,
        f"fact = {fact_code(fact)}",
        f"trace = fl.trace({', '.join(['model', 'fact', *arguments])})",
        "trace.plot()",
    ]
    return "\n".join(lines) + "\n"


def _begins_a_word(answer: str) -> bool:
    return answer.startswith(" ") and not is_marked(answer)


def fact_code(fact: Fact) -> str:
    """Return Python code that makes a fact."""
    template, slot, around = fact.template, fact.slot, fact.conversation
    if around is None:
        call, arguments = "fl.Fact", [literal(template)]
    else:
        # The whole text is the template's; what its own turn says has the subject.
        start, stop = around.own or (0, len(fact.prompt))
        first, last = fact.subject_span
        before, after = fact.prompt[start:first], fact.prompt[last:stop]
        turns, slot = _marked_turns(around, before, fact.subject, after)
        messages = [f'{{"role": {literal(role)}, "content": {literal(text)}}}' for role, text in turns]
        call, arguments = "fl.Fact.chat", [f"[{', '.join(messages)}]"]
    arguments.append(f"subject={literal(fact.subject)}")
    arguments += [
        f"{name}={wording(value)}"
        for name, value in (("target", fact.target), ("object", fact.object))
        if value is not None
    ]
    if slot is not None:
        arguments.append(f"slot={literal(slot)}")
    return f"{call}({', '.join(arguments)})"


def _marked_turns(around: Conversation, before: str, subject: str, after: str) -> tuple[tuple[Turn, ...], str | None]:
    """Return the turns of a chat with the subject marked such that `Fact.chat` finds it there, and the marker."""
    template, slot = marked(before, subject, after)
    others = [content for _, content in (*around.before, *around.after)]
    # In the other turns neither the subject nor a slot may stand: `Fact.chat` would look there, too.
    markers = (f"[S{i or ''}]" for i in count())
    if slot is not None or any(subject in content or "{}" in content for content in others):
        text = before + subject + after
        slot = next(one for one in markers if not any(one in content for content in (*others, text)))
        template = before + slot + after
    return around.turns(template), slot


def wording(value: Wording) -> str:
    """Return Python code for an answer."""
    return f"fl.Exactly({literal(value.exactly)})" if isinstance(value, Exactly) else literal(value)
