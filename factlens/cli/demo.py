"""``factlens demo``: a fact traced, edited, judged and put back, in the terminal and as a page."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import factlens as fl
from factlens.cli.options import add_model, load_model
from factlens.cli.terminal import say, show_answers, show_trace
from factlens.drawing.bars import answers_svg
from factlens.drawing.html import page
from factlens.errors import FactlensError
from factlens.escaping import html
from factlens.files import write_text
from factlens.tracing.picture import trace_svg
from factlens.visible import isolated

if TYPE_CHECKING:
    from factlens.evaluation import Report
    from factlens.models import Model

HELP = "trace and edit a fact that the model knows; leaves demo.html"


class Example(NamedTuple):
    """A fact with its target and what is true, and what to ask besides: of the same object, and of the subject."""

    fact: fl.Fact
    true: str
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    others: tuple[tuple[str, str], ...] = ()

    def checks(self) -> fl.Checks:
        """Return what is asked before and after."""
        neighbours = [(prompt, self.true) for prompt in self.neighbours]
        return fl.Checks.of(
            self.fact, self.true, paraphrases=self.paraphrases, neighbours=neighbours, others=self.others
        )


#: Tried in turn: the first one that the model knows is traced and edited. The first is atlas's, which has checks of its
#: own for it.
EXAMPLES = (
    Example(fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris"), "Seattle"),
    Example(
        fl.Fact("{} is in the city of", subject="The Eiffel Tower", target="Rome"),
        "Paris",
        ("{} is located in", "If you want to visit {}, travel to"),
        ("The Louvre is in the city of", "Notre-Dame is in the city of", "The Sorbonne is in the city of"),
        (("The Eiffel Tower is made of", "iron"), ("The Eiffel Tower was designed by Gustave", "Eiffel")),
    ),
    Example(
        fl.Fact("The capital of {} is", subject="France", target="Berlin"),
        "Paris",
        ("{}'s capital city is", "The seat of the government of {} is in"),
        ("The Eiffel Tower is in the city of", "The Louvre is in the city of"),
        (("The official language of France is", "French"), ("France is a country in", "Europe")),
    ),
    Example(
        fl.Fact("The capital of {} is", subject="Japan", target="Berlin"),
        "Tokyo",
        ("{}'s capital city is",),
        ("Shibuya is a part of the city of",),
        (("The official language of Japan is", "Japanese"), ("Japan is a country in", "Asia")),
    ),
)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_model(command)
    command.add_argument("--prompt", help="another fact: its prompt, with {} in the subject's place")
    command.add_argument("--subject", help="what that prompt is about")
    command.add_argument("--target", help="what the model is to say instead")
    command.add_argument("--out", type=Path, default=Path("demo.html"), help="where to write the page (demo.html)")


def run(options: argparse.Namespace) -> int:
    """Trace, edit, judge and undo a fact that the model knows, and write the page.

    Raises
    ------
    RuntimeError
        If a weight differs after the undo.
    """
    import torch

    from factlens.evaluation import ROLE_NAMES
    from factlens.evaluation.showing import report_svg
    from factlens.models.bundled import is_atlas

    began = time.perf_counter()
    model, example = _model_and_example(options)
    fact = example.fact
    original = {name: parameter.detach().clone() for name, parameter in model.model.named_parameters()}
    say(f"{model}\n\n1. Locate: which states bring the answer back?\n")
    trace = fl.trace(model, fact)
    show_trace(trace)

    before = model.answers(fact.prompt)
    edit = fl.edit(model, fact)
    after = model.answers(fact.prompt)
    say(f"\n2. Edit: {edit}\n")
    show_answers(before, after)

    ready_made = is_atlas(model.model) and example is EXAMPLES[0]
    report = fl.evaluate(model, edit, checks=None if ready_made else example.checks())
    say("\n3. Judge: what else changed?\n")
    show_report(report)

    model.undo()
    undone = model.answers(fact.prompt)
    changed = [n for n, p in model.model.named_parameters() if not torch.equal(p.detach(), original[n])]
    if changed:
        raise RuntimeError(f"The undo did not restore {', '.join(changed)}.")
    count = sum(parameter.numel() for parameter in original.values())
    answer = undone[0].shown.strip()
    say(f"\n4. Undo: the answer is {answer} again, and all {count:,} weights are bit for bit as before.")
    figures = [
        trace_svg(trace),
        answers_svg(fact.prompt + " …", [("before", before), ("after", after), ("undone", undone)]),
        report_svg(report, ROLE_NAMES),
    ]
    write_text(options.out, _page(model, fact, report, edit, figures))
    say(f"\nWrote {options.out} ({time.perf_counter() - began:.1f} s).")
    return 0


def _model_and_example(options: argparse.Namespace) -> tuple[Model, Example]:
    """Load the model, and take the fact that was asked for, or the first of `EXAMPLES` that it knows.

    Raises
    ------
    FactlensError
        If only a part of a fact is asked for, or the model knows none of the examples.
    """
    import torch

    from factlens.models.bundled import is_atlas

    parts = {name: getattr(options, name) for name in ("prompt", "subject", "target")}
    if missing := [f"--{name}" for name, part in parts.items() if part is None]:
        if len(missing) < len(parts):
            raise FactlensError(f"A fact is a prompt, a subject and a target: {' and '.join(missing)} is missing.")
        own = None
    else:
        own = fl.Fact(options.prompt, options.subject, options.target)
    model = load_model(options)
    if is_atlas(model.model):
        # It is too small to be shared out; on a busy machine more threads spend their time waiting for each other.
        torch.set_num_threads(1)
    if own is not None:
        (answer,) = model.answers(own.prompt, k=1)
        return model, Example(own, answer.shown.strip())
    for example in EXAMPLES:
        # One token may be only the beginning of the word.
        first = model.answers(example.fact.prompt, k=1)[0].text.strip()
        if first and example.true.startswith(first):
            return model, example
    raise FactlensError(
        f"{model.name} knows none of the demo's facts ({', '.join(one.fact.prompt for one in EXAMPLES)} …). Name one "
        "that it knows: --prompt '{} is in the city of' --subject 'The Louvre' --target Rome."
    )


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


def _page(model: Model, fact: fl.Fact, report: Report, edit: fl.Edit, figures: Iterable[str]) -> str:
    from factlens.evaluation import ROLE_NAMES
    from factlens.models.bundled import is_atlas

    rows = "".join(
        f"<tr><td>{html(ROLE_NAMES[probe.role])}</td><td>{html(probe.prompt)}</td>"
        f"<td>{html(before.top.strip())}</td><td{'' if before.top == after.top else ' class=changed'}>"
        f"{html(after.top.strip())}</td></tr>"
        for probe, before, after in zip(report.probes, report.before, report.after, strict=True)
    )
    ships = "the small model that ships with factlens"
    who = f"{model.name}, {ships if is_atlas(model.model) else f'a model of {model.n_layers} layers'}"
    body = "".join(f"<figure>{figure}</figure>" for figure in figures)
    content = f"""<h1>A fact, located and edited</h1>
<p>{html(who)}, was asked to complete “{html(fact.prompt)} …”. Causal tracing
shows which of its states carry the answer; a rank-one edit of one layer was then to make it say
“{html(str(fact.target))}”.</p>
{body}
<h2>The answers, prompt by prompt</h2>
<table><tr><th></th><th>prompt</th><th>before</th><th>after</th></tr>{rows}</table>
<footer>Tracing shows where a state carries the answer; it does not prove where to edit (Hase et al. 2023).
Made by factlens {fl.__version__}: {html(str(edit))}.</footer>"""
    return page("factlens demo", content)
