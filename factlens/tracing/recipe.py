"""A trace as the Python that makes it again, and as a figure's caption."""

from __future__ import annotations

from factlens.tracing.protocol import KINDS, Noise, Replacement
from factlens.tracing.result import Trace


def code_of(trace: Trace) -> str:
    """Return Python code that computes a trace again: same fact, same noise, same window.

    A model that came from `factlens.wrap` has no name to load it by; then the code says where to put it.
    """
    fact = ", ".join(
        [repr(trace.fact.template), f"subject={trace.fact.subject!r}"]
        + ([f"target={trace.fact.target!r}"] if trace.fact.target else [])
    )
    options = {"samples": int(trace.samples.sizes["sample"]), "seed": trace.seed, "window": trace.window}
    given: list[str] = [f"{name}={value!r}" for name, value in options.items()]
    if trace.kinds != KINDS:
        given.insert(0, f"kinds={trace.kinds!r}")
    if trace.window_convention != "code":
        given.append(f"window_convention={trace.window_convention!r}")
    if trace.corruption != Noise():
        kind = "Replacement" if isinstance(trace.corruption, Replacement) else "Noise"
        given.append(f"corruption=fl.{kind}{repr(trace.corruption).removeprefix(kind)}")
    if trace.metric != "probability":
        given.append(f"metric={trace.metric!r}")
    if trace.contrast is not None:
        given.append(f"contrast={trace.contrast!r}")
    # An answer that continues a word cannot be given as text. It was the model's own, and will be again.
    if len(trace.answer_ids) > 1 or trace.answer.startswith(" "):
        given.append(f"answer={trace.answer!r}")
    edits = [f"# traced with these edits in force: {', '.join(trace.edits)}"] if trace.edits else []
    lines = [
        "import factlens as fl",
        "",
        f"model = fl.load({trace.model!r})  # or fl.wrap(model, tokenizer)",
        *edits,
        f"fact = fl.Fact({fact})",
        f"trace = fl.trace(model, fact, {', '.join(given)})",
        "trace.plot()",
    ]
    return "\n".join(lines) + "\n"


def caption_of(trace: Trace) -> str:
    """Return what a figure of a trace should say below itself: model, prompt, answer, noise, window, edits."""
    start = f"{trace.model} ({trace.fingerprint[:8]}): “{trace.fact.prompt}” → “{trace.answer.strip()}”."
    noise = "" if trace.noise_level is None else f", noise level {trace.noise_level:.3g}"
    window = f"MLP and attention restored over windows of {trace.window} layers (as in the {trace.window_convention})."
    edits = f" Edits in force: {', '.join(trace.edits)}." if trace.edits else ""
    done = "" if trace.complete else " Incomplete: hatched or struck cells were not computed."
    corrupted = trace.corrupted_by[:1].upper() + trace.corrupted_by[1:]
    return f"{start} {corrupted}{noise}. {window}{edits}{done}"
