"""``factlens demo``: a fact traced, edited, judged and put back, in the terminal and as a page."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import factlens as fl
from factlens.cli.terminal import say, show_answers, show_trace
from factlens.drawing.bars import answers_svg
from factlens.drawing.html import page
from factlens.escaping import html
from factlens.files import write_text
from factlens.tracing.picture import trace_svg
from factlens.visible import isolated

if TYPE_CHECKING:
    from factlens.evaluation import Report

HELP = "trace and edit a fact of the shipped model; leaves demo.html"
FACT = fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris")


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    command.add_argument("--out", type=Path, default=Path("demo.html"), help="where to write the page (demo.html)")


def run(options: argparse.Namespace) -> int:
    """Trace, edit, judge and undo the demo fact on atlas, and write the page.

    Raises
    ------
    RuntimeError
        If a weight differs after the undo.
    """
    import torch

    from factlens.evaluation import ROLE_NAMES
    from factlens.evaluation.showing import report_svg

    began = time.perf_counter()
    # atlas is too small to be shared out; on a busy machine more threads spend their time waiting for each other.
    torch.set_num_threads(1)
    model = fl.load("atlas")
    original = {name: parameter.detach().clone() for name, parameter in model.model.named_parameters()}
    say(f"{model}\n\n1. Locate: which states bring the answer back?\n")
    trace = fl.trace(model, FACT)
    show_trace(trace)

    before = model.answers(FACT.prompt)
    edit = fl.edit(model, FACT)
    after = model.answers(FACT.prompt)
    say(f"\n2. Edit: {edit}\n")
    show_answers(before, after)

    report = fl.evaluate(model, edit)
    say("\n3. Judge: what else changed?\n")
    show_report(report)

    model.undo()
    undone = model.answers(FACT.prompt)
    changed = [n for n, p in model.model.named_parameters() if not torch.equal(p.detach(), original[n])]
    if changed:
        raise RuntimeError(f"The undo did not restore {', '.join(changed)}.")
    count = sum(parameter.numel() for parameter in original.values())
    answer = undone[0].shown.strip()
    say(f"\n4. Undo: the answer is {answer} again, and all {count:,} weights are bit for bit as before.")
    figures = [
        trace_svg(trace),
        answers_svg(FACT.prompt + " …", [("before", before), ("after", after), ("undone", undone)]),
        report_svg(report, ROLE_NAMES),
    ]
    write_text(options.out, _page(report, edit, figures))
    say(f"\nWrote {options.out} ({time.perf_counter() - began:.1f} s).")
    return 0


def show_report(report: Report) -> None:
    """Print, for each role, how often the wanted object leads before and after."""
    from factlens.evaluation import ROLE_NAMES

    say(f"{'':30}{'prompts':>8}  {'wanted object is the answer':>30}  {'beats the other object':>24}")
    for role, row in report.by_role().iterrows():
        leads = f"{row['leads_before']:.0%} → {row['leads_after']:.0%}"
        beats = f"{row['success_before']:.0%} → {row['success_after']:.0%}"
        say(f"{ROLE_NAMES[str(role)]:30}{int(row['probes']):8d}  {leads:>30}  {beats:>24}")
    say(
        "(wanted: the new object for the prompt and its paraphrases, and its consequence for what follows from it;\n"
        "the unchanged one for neighbours and other facts)"
    )
    for probe, before, after in zip(report.probes, report.before, report.after, strict=True):
        same = before.top == after.top
        then, now = isolated(before.top.strip()), "" if same else f" → {isolated(after.top.strip())}"
        say(f"  {'·' if same else '→'} {isolated(probe.prompt)} {then}{now}")


def _page(report: Report, edit: fl.Edit, figures: Iterable[str]) -> str:
    from factlens.evaluation import ROLE_NAMES

    rows = "".join(
        f"<tr><td>{html(ROLE_NAMES[probe.role])}</td><td>{html(probe.prompt)}</td>"
        f"<td>{html(before.top.strip())}</td><td{'' if before.top == after.top else ' class=changed'}>"
        f"{html(after.top.strip())}</td></tr>"
        for probe, before, after in zip(report.probes, report.before, report.after, strict=True)
    )
    body = "".join(f"<figure>{figure}</figure>" for figure in figures)
    content = f"""<h1>A fact, located and edited</h1>
<p>atlas, the small model that ships with factlens, was asked to complete “{html(FACT.prompt)} …”. Causal tracing
shows which of its states carry the answer; a rank-one edit of one layer then made it say
“{html(str(FACT.target))}”.</p>
{body}
<h2>The answers, prompt by prompt</h2>
<table><tr><th></th><th>prompt</th><th>before</th><th>after</th></tr>{rows}</table>
<footer>Tracing shows where a state carries the answer; it does not prove where to edit (Hase et al. 2023).
Made by factlens {fl.__version__}: {html(str(edit))}.</footer>"""
    return page("factlens demo", content)
