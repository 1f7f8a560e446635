"""What the command line shows: a fact traced, edited, judged and put back, in the terminal and as a page."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import factlens as fl
from factlens.editing.api import quiet_edit
from factlens.errors import FactlensError
from factlens.escaping import html
from factlens.evaluation import ROLE_NAMES, Report
from factlens.files import write_text
from factlens.pictures import answers_svg, report_svg, trace_svg
from factlens.spelling import Wording
from factlens.tracing import Replacement
from factlens.tracing.protocol import kind_name
from factlens.visible import columns, isolated
from factlens.warned import warnings_kept

if TYPE_CHECKING:
    from factlens.models import Answer

NOT_TAKEN = 3
"""Exit status of ``factlens edit`` where the edit did not take; its file is written all the same."""
FACT = fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris")
_RAMP = " ░▒▓█"


def run(out: Path) -> None:
    """Trace, edit, judge and undo the demo fact on atlas, and write the page.

    Raises
    ------
    RuntimeError
        If a weight differs after the undo.
    """
    began = time.perf_counter()
    # atlas is too small to be shared out; on a busy machine more threads spend their time waiting for each other.
    torch.set_num_threads(1)
    model = fl.load("atlas")
    original = {name: parameter.detach().clone() for name, parameter in model.model.named_parameters()}
    _say(f"{model}\n\n1. Locate: which states bring the answer back?\n")
    trace = fl.trace(model, FACT)
    show_trace(trace)

    before = model.answers(FACT.prompt)
    edit = fl.edit(model, FACT)
    after = model.answers(FACT.prompt)
    _say(f"\n2. Edit: {edit}\n")
    _show_answers(before, after)

    report = fl.evaluate(model, edit)
    _say("\n3. Judge: what else changed?\n")
    show_report(report)

    model.undo()
    undone = model.answers(FACT.prompt)
    changed = [n for n, p in model.model.named_parameters() if not torch.equal(p.detach(), original[n])]
    if changed:
        raise RuntimeError(f"The undo did not restore {', '.join(changed)}.")
    count = sum(parameter.numel() for parameter in original.values())
    answer = undone[0].shown.strip()
    _say(f"\n4. Undo: the answer is {answer} again, and all {count:,} weights are bit for bit as before.")
    figures = [
        trace_svg(trace),
        answers_svg(FACT.prompt + " …", [("before", before), ("after", after), ("undone", undone)]),
        report_svg(report, ROLE_NAMES),
    ]
    write_text(out, _page(report, edit, figures))
    _say(f"\nWrote {out} ({time.perf_counter() - began:.1f} s).")


def trace_or_edit(options: argparse.Namespace) -> int:
    """Run ``factlens trace`` or ``factlens edit``; return the exit status: `NOT_TAKEN` if an edit did not take."""
    target = _wording(options.target, exactly=options.exactly) if options.command == "edit" else None
    if options.chat:
        asked = {"system": options.system, "slot": options.slot}
        fact = fl.Fact.chat(options.prompt, options.subject, target, **asked)
    elif options.system is not None:
        raise FactlensError("--system is said in a chat: add --chat.")
    else:
        fact = fl.Fact(options.prompt, options.subject, target, slot=options.slot)
    model = fl.load(options.model, device=options.device, dtype=options.dtype)
    _say(f"{model}\n")
    with warnings_kept() as notes:
        try:
            return _carried_out(options, model, model.as_read(fact))
        finally:
            for note in dict.fromkeys(map(str, notes)):
                print(f"factlens: {note}", file=sys.stderr, flush=True)


def _carried_out(options: argparse.Namespace, model: fl.Model, fact: fl.Fact) -> int:
    wording, status = partial(_wording, exactly=options.exactly), 0
    if options.command == "trace":
        trace = fl.trace(
            model,
            fact,
            kinds=options.kinds,
            samples=options.samples,
            window=options.window,
            metric=options.metric,
            answer=wording(options.answer),
            contrast=wording(options.contrast),
            corruption=fl.Noise() if options.replace_by is None else fl.Replacement(options.replace_by),
        )
        show_trace(trace)
        saved = trace.save(options.out) if options.out else None
    else:
        before = model.answers(fact.prompt)
        edit = quiet_edit(model, fact, layers=options.layer)
        _say(f"{edit}\n")
        _show_answers(before, model.answers(fact.prompt))
        _say("")
        for one, took in zip(edit.facts, edit.taken, strict=True):
            _say(f"p({one.target}): {took.numbers}")
        saved = edit.save(options.out) if options.out else None
        if edit.warning:
            print(edit.warning, file=sys.stderr, flush=True)
            status = NOT_TAKEN
    if saved:
        _say(f"\nWrote {saved}.")
    return status


def _wording(text: str | None, *, exactly: bool) -> Wording | None:
    return fl.Exactly(text) if exactly and text is not None else text


def show_trace(trace: fl.Trace) -> None:
    """Print the grids: one character pair per cell, darker where more of the answer comes back."""
    corruption = (
        f"replaced by “{isolated(trace.corruption.subject)}”"
        if isinstance(trace.corruption, Replacement)
        else f"corrupted (noise {trace.noise_level:.3f}, {trace.samples.sizes['sample']} samples)"
    )
    answer = isolated(trace.shown_answer.strip())
    if trace.whole_answer is not None:
        answer += f" (measured: its first token, {trace.answer.strip()})"
    _say(
        f"“{isolated(trace.fact.prompt)}” → {answer}: {trace.measure.label} = {trace.high:.2f} clean, "
        f"{trace.low:.2f} with the subject {corruption}\n"
    )
    start, stop = trace.subject_range
    pieces = [isolated(piece.strip() or "␣") for piece in trace.tokens]
    labels = [f"{piece}{'*' if start <= i < stop else ' '}" for i, piece in enumerate(pieces)]
    width = max(map(columns, labels))
    panel = 2 * trace.n_layers
    _say("   ".join([" " * width, *(kind_name(kind).ljust(panel)[:panel] for kind in trace.kinds)]))
    share = ((trace.scores - trace.low) / (trace.total_effect or 1.0)).clip(0, 1).values
    for i, label in enumerate(labels):
        rows = ["".join(_RAMP[round(4 * value)] * 2 for value in np.nan_to_num(grid[i])) for grid in share]
        _say("   ".join([" " * (width - columns(label)) + label, *rows]))
    axis = "".join(f"{layer % 100:<2d}" for layer in range(trace.n_layers))
    _say("   ".join([" " * width, *[axis] * len(trace.kinds)]))
    for kind in trace.kinds:
        peak = trace.peak(kind)
        where = f"“{isolated(peak.piece.strip() or '␣')}”, layer {peak.layer}"
        _say(f"{kind_name(kind)}: most comes back at {where} (+{peak.effect:.2f})")


def show_report(report: Report) -> None:
    """Print, for each role, how often the wanted object leads before and after."""
    _say(f"{'':30}{'prompts':>8}  {'wanted object is the answer':>30}  {'beats the other object':>24}")
    for role, row in report.by_role().iterrows():
        leads = f"{row['leads_before']:.0%} → {row['leads_after']:.0%}"
        beats = f"{row['success_before']:.0%} → {row['success_after']:.0%}"
        _say(f"{ROLE_NAMES[str(role)]:30}{int(row['probes']):8d}  {leads:>30}  {beats:>24}")
    _say(
        "(wanted: the new object for the prompt and its paraphrases, the unchanged one for neighbours and other facts)"
    )
    for probe, before, after in zip(report.probes, report.before, report.after, strict=True):
        same = before.top == after.top
        then, now = isolated(before.top.strip()), "" if same else f" → {isolated(after.top.strip())}"
        _say(f"  {'·' if same else '→'} {isolated(probe.prompt)} {then}{now}")


def _show_answers(before: Iterable[Answer], after: Iterable[Answer]) -> None:
    for name, answers in (("before", before), ("after", after)):
        _say(f"{name:>7}: " + ", ".join(f"{isolated(a.shown.strip() or '␣')} {a.probability:.1%}" for a in answers))


def _page(report: Report, edit: fl.Edit, figures: Iterable[str]) -> str:
    rows = "".join(
        f"<tr><td>{html(ROLE_NAMES[probe.role])}</td><td>{html(probe.prompt)}</td>"
        f"<td>{html(before.top.strip())}</td><td{'' if before.top == after.top else ' class=changed'}>"
        f"{html(after.top.strip())}</td></tr>"
        for probe, before, after in zip(report.probes, report.before, report.after, strict=True)
    )
    body = "".join(f"<figure>{figure}</figure>" for figure in figures)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>factlens demo</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1c2430; background: #fff; max-width: 900px; margin: 2rem auto;
  padding: 0 1rem; }}
figure {{ margin: 1.5rem 0; }}
table {{ border-collapse: collapse; width: 100%; font-size: 13px; }}
th, td {{ text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #e3e7ec; }}
.changed {{ color: #2563c4; font-weight: 600; }}
footer {{ color: #5f6b7a; font-size: 13px; margin-top: 2rem; }}
</style>
<h1>A fact, located and edited</h1>
<p>atlas, the small model that ships with factlens, was asked to complete “{html(FACT.prompt)} …”. Causal tracing
shows which of its states carry the answer; a rank-one edit of one layer then made it say
“{html(str(FACT.target))}”.</p>
{body}
<h2>The answers, prompt by prompt</h2>
<table><tr><th></th><th>prompt</th><th>before</th><th>after</th></tr>{rows}</table>
<footer>Tracing shows where a state carries the answer; it does not prove where to edit (Hase et al. 2023).
Made by factlens {fl.__version__}: {html(str(edit))}.</footer>
</html>
"""


def _say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)
