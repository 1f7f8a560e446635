"""For `test_arguments`: a call that works of every public function, method and constructor."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

import factlens as fl
from factlens import calibration, evaluation, moments, tracing
from factlens.editing import defaults
from factlens.evaluation import Probe, Record, Report, datasets
from factlens.reproduce import reproduce
from tests import saved
from tests.calibration.made import facts_known_to
from tests.editing.made import FACT, moment_of
from tests.support import small_model, tokenizer

TEXT = ["In Paris, the Eiffel Tower is near the river. Everyone in Paris knows that Paris is in France."] * 60


class Bench:
    """A small model, and one of everything that can be had from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = small_model("gpt2")
        self.passes = 0
        self.model.model.register_forward_pre_hook(self._count)
        self.facts = [FACT, fl.Fact("{} is in the city of", "Space Needle", target="Paris")]

    def _count(self, *_: object) -> None:
        self.passes += 1

    @cached_property
    def trace(self) -> fl.Trace:
        return fl.trace(self.model, FACT, kinds=["mlp"], **TRACED)

    @cached_property
    def average(self) -> fl.Average:
        return fl.average([self.trace, self.trace])

    @cached_property
    def moment(self) -> moments.SecondMoment:
        return moment_of(self.model, 1)

    @cached_property
    def edit(self) -> fl.Edit:
        return fl.edit(self.model, FACT, layers=1, moments=self.moment, apply=False, steps=1, contexts=())

    @cached_property
    def checks(self) -> fl.Checks:
        return fl.Checks.of(FACT, "Paris")

    @cached_property
    def record(self) -> Record:
        return Record(FACT, self.checks, "one")

    @cached_property
    def report(self) -> Report:
        return fl.evaluate(self.model, FACT, self.checks, **JUDGED)

    @cached_property
    def calibration(self) -> fl.Calibration:
        return saved.calibration()

    @cached_property
    def key(self) -> moments.Key:
        return moments.Key.of(self.model, 1, "a text", 64)

    @cached_property
    def known(self) -> Path:
        """A data set of one fact, which the model knows."""
        for start in ("Paris", "The tower", "Rome", "Everyone", "France", "Japan", "Iceland", "the river"):
            said = self.model.answers(f"{start} is in", k=1)[0].text
            if said.startswith(" ") and said.strip().isalpha():
                record = {"prompt": "{} is in", "subject": start, "object": said.strip(), "target": "Seattle"}
                (self.folder / "known.json").write_text(json.dumps([record]))
                return self.folder / "known.json"
        raise AssertionError("the model says no words")

    @cached_property
    def files(self) -> dict[str, Path]:
        return {
            "Trace": self.trace.save(self.folder / "trace"),
            "Average": self.average.save(self.folder / "average"),
            "Edit": self.edit.save(self.folder / "edit"),
            "Report": self.report.save(self.folder / "report.json"),
            "Calibration": self.calibration.save(self.folder / "calibration.json"),
            "SecondMoment": self.moment.save(self.folder / "moment"),
        }


def with_edit(b: Bench, do: Callable[..., Any]) -> Callable[..., Any]:
    """Do something while the model carries an edit."""

    def done(**arguments: Any) -> None:
        with b.model.edited(b.edit):
            do(**arguments)

    return done


def in_block(block: Callable[..., Any]) -> Callable[..., Any]:
    """Go into a block and out again."""

    def gone(**arguments: Any) -> None:
        with block(**arguments):
            pass

    return gone


def applied(b: Bench, edit: fl.Edit, origin: str | None) -> None:
    with b.model.unedited():
        b.model.apply(edit, origin=origin)


def redone(b: Bench, origin: str | None) -> None:
    b.model.undo()
    b.model.redo(origin=origin)


TRACED: dict[str, Any] = {"samples": 2, "corruption": fl.Noise(level=0.3)}
JUDGED: dict[str, Any] = {"method": "ft", "layers": 1, "steps": 1, "generate": False}
OWN_RECORD = {"prompt": "{} is in", "subject": "The Louvre", "target": "Rome", "object": "Paris"}


# What works ----------------------------------------------------------------------------------------------------------


NAMED = {"name": "mine", "function": print, "label": "m", "unit": "%", "better": 1}


def call(function: Callable[..., Any], **arguments: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    return function, arguments


CALLS: dict[str, Callable[[Bench], tuple[Callable[..., Any], dict[str, Any]]]] = {
    # Facts
    "Fact": lambda b: call(fl.Fact, template="{} is", subject="Rome", target="old", object="new"),
    "Fact.with_template": lambda b: call(FACT.with_template, template="{} is"),
    "Exactly": lambda b: call(fl.Exactly, exactly="Paris"),
    "Fact.chat": lambda b: call(fl.Fact.chat, messages="Where is Rome?", subject="Rome", target="x", object="y"),
    "Fact.with_subject": lambda b: call(FACT.with_subject, subject="Rome"),
    "Fact.with_prefix": lambda b: call(FACT.with_prefix, prefix="So. "),
    "Fact.with_target": lambda b: call(FACT.with_target, target="Rome"),
    # Models
    "load": lambda b: call(fl.load, name="atlas", device="cpu", dtype="float32", revision="main", family=None),
    "wrap": lambda b: call(fl.wrap, model=small_model("gpt2").model, tokenizer=tokenizer(), name="mine", family=None),
    "Family": lambda b: call(fl.Family, **vars(b.model.family)),
    "Model.as_read": lambda b: call(b.model.as_read, fact=FACT, warned=True),
    "Model.notes": lambda b: call(b.model.notes, fact=FACT),
    "Model.encode": lambda b: call(b.model.encode, fact=FACT, what="The prompt", advice="Shorten it."),
    "Model.encode_option": lambda b: call(
        b.model.encode_option, prompt=FACT.prompt, option="Paris", role="answer", bare=None
    ),
    "Model.ids_of": lambda b: call(b.model.ids_of, prompt="Paris", what="The prompt", advice="Shorten it."),
    "Model.next_token": lambda b: call(b.model.next_token, prompt="Paris"),
    "Model.answers": lambda b: call(b.model.answers, prompt="Paris", k=3),
    "Model.token": lambda b: call(b.model.token, token_id=3),
    "Model.save_pretrained": lambda b: call(b.model.save_pretrained, folder=b.folder / "saved"),
    # The stack
    "Model.apply": lambda b: call(partial(applied, b), edit=b.edit, origin="a lens"),
    "Model.undo": lambda b: call(with_edit(b, b.model.undo), edit=b.edit, origin="a lens"),
    "Model.drop": lambda b: call(with_edit(b, b.model.drop), edit=b.edit, origin="a lens"),
    "Model.redo": lambda b: call(with_edit(b, partial(redone, b)), origin="a lens"),
    "Model.reorder": lambda b: call(with_edit(b, b.model.reorder), edits=[b.edit], origin="a lens"),
    "Model.set_edits": lambda b: call(with_edit(b, b.model.set_edits), edits=[], origin="a lens"),
    "Model.clear": lambda b: call(with_edit(b, b.model.clear), origin="a lens"),
    "Model.edited": lambda b: call(in_block(b.model.edited), edit=b.edit),
    "Model.as_edited": lambda b: call(in_block(b.model.as_edited), edit=b.edit),
    "Model.without": lambda b: call(in_block(b.model.without), edit=b.edit),
    "Model.exclusive": lambda b: call(in_block(lambda stops: b.model.exclusive(stops)), stops=threading.Event()),
    "Model.watched": lambda b: call(in_block(lambda stops: b.model.watched(stops)), stops=threading.Event()),
    "Model.keep_changes": lambda b: call(b.model.keep_changes, stop=threading.Event()),
    "Model.revert_changes": lambda b: call(b.model.revert_changes, stop=threading.Event()),
    # Tracing
    "Noise": lambda b: call(fl.Noise, multiple=3, subjects=["Rome"], level=0.1, shape="uniform", replace=True),
    "Replacement": lambda b: call(fl.Replacement, subject="The Louvre"),
    "stream": lambda b: call(
        lambda **arguments: list(fl.stream(**arguments)), model=b.model, fact=FACT, kinds=["mlp"], **TRACED
    ),
    "TraceMetric": lambda _: (tracing.TraceMetric, {**NAMED, "title": "mine", "contrasted": None, "logarithm": print}),
    "PromptMetric": lambda _: (evaluation.PromptMetric, {**NAMED, "aggregation": "mean", "needs": "written"}),
    "stream_rest": lambda b: call(
        lambda **arguments: list(tracing.stream_rest(**arguments)), model=b.model, trace=b.trace, memory=2**20
    ),
    "resume": lambda b: call(fl.resume, model=b.model, trace=b.trace),
    "trace": lambda b: call(fl.trace, model=b.model, fact=FACT, kinds=["mlp"], **TRACED),
    "trace_many": lambda b: call(
        lambda **arguments: list(fl.trace_many(**arguments)), model=b.model, facts=b.facts, kinds=["mlp"], **TRACED
    ),
    "average_over": lambda b: call(fl.average_over, model=b.model, facts=b.facts, kinds=["mlp"], **TRACED),
    "average": lambda b: call(fl.average, traces=iter([b.trace])),
    "details": lambda b: call(fl.details, model=b.model, trace=b.trace, kind="mlp", token=1, layer=1, k=2),
    "compare": lambda b: call(fl.compare, a=b.trace, b=b.trace, names=("one", "two")),
    "Trace.peak": lambda b: call(b.trace.peak, kind="mlp"),
    "Trace.leading": lambda b: call(b.trace.leading, kind="mlp"),
    "Trace.total_interval": lambda b: call(b.trace.total_interval, level=0.9),
    "Trace.interval": lambda b: call(b.trace.interval, level=0.9),
    "Trace.label": lambda b: call(b.trace.label, token=1),
    "Trace.title": lambda b: call(b.trace.title, kind="mlp"),
    "Trace.window_of": lambda b: call(b.trace.window_of, layer=1),
    "Trace.plot": lambda b: call(b.trace.plot, effects=True),
    "Average.plot": lambda b: call(b.average.plot, lines=True, level=0.9, width_mm=88),
    "Comparison": lambda b: call(tracing.Comparison, a=b.trace, b=b.trace, names=("one", "two")),
    "Trace.save": lambda b: call(b.trace.save, path=b.folder / "a trace"),
    "Trace.load": lambda b: call(fl.Trace.load, path=b.files["Trace"]),
    "Average.peak": lambda b: call(b.average.peak, kind="mlp"),
    "Average.interval": lambda b: call(b.average.interval, level=0.9),
    "Average.total_interval": lambda b: call(b.average.total_interval, level=0.9),
    "Average.to_dataframe": lambda b: call(b.average.to_dataframe, level=0.9),
    "Average.plot_lines": lambda b: call(b.average.plot_lines, level=0.9),
    "Average.save": lambda b: call(b.average.save, path=b.folder / "an average"),
    "Average.load": lambda b: call(fl.Average.load, path=b.files["Average"]),
    # Editing
    "edit": lambda b: call(
        fl.edit, model=b.model, facts=FACT, method="rome", layers=1, moments=b.moment, apply=False, steps=1
    ),
    "defaults": lambda b: call(defaults, model=b.model, method="memit"),
    "Edit.save": lambda b: call(b.edit.save, path=b.folder / "an edit"),
    "Edit.load": lambda b: call(fl.Edit.load, path=b.files["Edit"]),
    "Edit.to_peft": lambda b: call(b.edit.to_peft, folder=b.folder / "adapter"),
    # Evaluation
    "evaluate": lambda b: call(fl.evaluate, model=b.model, what=FACT, checks=b.checks, **JUDGED),
    "Probe": lambda b: call(Probe, role="other", prompt="Paris is in", old="France", new="Spain"),
    "Checks": lambda b: call(fl.Checks, probes=b.checks.probes, generation_prompts=["Paris"], references=[""]),
    "Checks.of": lambda b: call(
        fl.Checks.of,
        fact=FACT,
        old="Paris",
        paraphrases=["{} stands near"],
        neighbours=[("The Louvre is in", "Paris")],
        others=[["The tower is made of", "iron"]],
        portability=[("The tower is in the country of", "France", "America")],
        generation_prompts=["{} is"],
        references=["Seattle rains."],
    ),
    "Record": lambda b: call(Record, fact=FACT, checks=b.checks, name="one"),
    "atlas_checks": lambda b: call(evaluation.atlas_checks, fact=ATLAS_FACT, neighbours=2, others=99, seed=3),
    "read": lambda b: call(evaluation.read, model=b.model, prompts=[FACT.prompt], options=[["Paris", "Rome"]]),
    "Report.joined": lambda b: call(Report.joined, reports={"a": b.report, "b": b.report}),
    "Report.relabelled": lambda b: call(b.report.relabelled, label="mine"),
    "Report.plot": lambda b: call(b.report.plot, metrics=["rewrite_success"]),
    "answer_change": lambda b: call(evaluation.answer_change, model=b.model, prompt=FACT.prompt, k=2),
    "Report.save": lambda b: call(b.report.save, path=b.folder / "a report.json"),
    "Report.load": lambda b: call(Report.load, path=b.files["Report"]),
    "load_facts": lambda b: call(fl.load_facts, source=b.facts),
    "load_records": lambda b: call(fl.load_records, source=[b.record]),
    "atlas_facts": lambda b: call(datasets.atlas_facts, count=2, seed=3),
    "counterfact": lambda b: call(datasets.counterfact, source=[COUNTERFACT], snippets=[SNIPPETS], encoding="utf-8"),
    "easyedit": lambda b: call(datasets.easyedit, source=[EASYEDIT], encoding="cp1252"),
    "known_facts": lambda b: call(datasets.known_facts, source=[KNOWN], encoding="cp1252"),
    "own_records": lambda b: call(datasets.own_records, source=[OWN_RECORD], encoding="cp1252"),
    "mquake": lambda b: call(datasets.mquake, source=[MQUAKE], encoding="cp1252"),
    "ripple_edits": lambda b: call(datasets.ripple_edits, source=[RIPPLE], encoding="cp1252"),
    "zsre": lambda b: call(datasets.zsre, source=[ZSRE], encoding="cp1252"),
    # Calibration
    "calibrate": lambda b: call(
        fl.calibrate,
        model=b.model,
        facts=list(facts_known_to(b.model)),
        methods=["lora"],
        budget="1h",
        layers=[1],
        seed=3,
        store=False,
    ),
    "known_records": lambda b: call(
        calibration.known_records, model=b.model, facts=list(facts_known_to(b.model)), n=3, seed=3
    ),
    "Calibration.trial_of": lambda b: call(b.calibration.trial_of, method="memit", split="train"),
    "Calibration.baseline_of": lambda b: call(b.calibration.baseline_of, method="memit"),
    "Calibration.save": lambda b: call(b.calibration.save, path=b.folder / "a calibration.json"),
    "Calibration.load": lambda b: call(fl.Calibration.load, path=b.files["Calibration"]),
    # Moments
    "collect": lambda b: call(
        moments.collect,
        model=b.model,
        layers=[1],
        texts=TEXT,
        tokens=64,
        corpus="text",
        sequence=32,
        checkpoint=b.folder / "checkpoint",
        every=1,
    ),
    "cached": lambda b: call(
        moments.cached,
        model=b.model,
        layers=[1],
        texts=TEXT,
        tokens=64,
        corpus="text",
        sequence=32,
        folder=str(b.folder),
        every=1,
    ),
    "default_moments": lambda b: call(moments.default_moments, model=b.model, layers=[1], tokens=64, seed=3),
    "default_tokens": lambda b: call(
        moments.default_tokens, model=b.model, layers=[1], text=moments.open_corpus(["a text"])
    ),
    "own_corpus": lambda b: call(moments.own_corpus, model=b.model, seed=3, sequence=32),
    "open_corpus": lambda b: call(
        moments.open_corpus, source=["a text"], name="mine", column="text", encoding="cp1252"
    ),
    "Corpus": lambda b: call(moments.Corpus, identity="mine", read=lambda skip: iter(["a text"][skip:])),
    "Key.of": lambda b: call(moments.Key.of, model=b.model, layer=1, corpus="text", tokens=64, sequence=32),
    "Key.file": lambda b: call(b.key.file, folder=str(b.folder)),
    "Key.check": lambda b: call(key_of(b.moment).check, moment=b.moment),
    "SecondMoment": lambda b: call(
        moments.SecondMoment,
        total=torch.eye(3),
        count=3,
        layer=1,
        fingerprint="0" * 16,
        corpus="text",
        dtype="float32",
        sequence=3,
        asked=3,
        group=1,
        groups=3,
        spread=torch.ones(3, 3),
        rows=torch.ones(3),
    ),
    "SecondMoment.optimal_shrinkage": lambda b: call(b.moment.optimal_shrinkage, target="diagonal"),
    "SecondMoment.identity_matrix": lambda b: call(moments.SecondMoment.identity_matrix, model=b.model, layer=1),
    "SecondMoment.solve": lambda b: call(b.moment.solve, keys=torch.ones(192), shrinkage=0.1),
    "SecondMoment.used_directions": lambda b: call(b.moment.used_directions, threshold=0.1, relative=True),
    "SecondMoment.save": lambda b: call(b.moment.save, path=b.folder / "a moment"),
    "SecondMoment.load": lambda b: call(moments.SecondMoment.load, path=b.files["SecondMoment"]),
    "reproduce": lambda b: call(
        reproduce,
        name="layer-sweep",
        model=b.model,
        facts=b.known,
        method="ft",
        out=b.folder / "out",
        limit=1,
        samples=1,
    ),
    # Widgets
    "Lens": lambda b: call(fl.Lens, model=b.model, fact=FACT, checks=b.checks),
    "Heatmap": lambda b: call(fl.Heatmap, trace=b.trace),
    "Heatmap.compare": lambda b: call(fl.Heatmap(b.trace).compare, other=b.trace, names=("one", "two")),
}

ATLAS_FACT = fl.Fact("{} is in downtown", "The Space Needle", target="Paris")
COUNTERFACT = {
    "case_id": 1,
    "requested_rewrite": {
        "prompt": "{} is in",
        "subject": "The Louvre",
        "relation_id": "P1",
        "target_new": {"str": "Rome", "id": "Q1"},
        "target_true": {"str": "Paris", "id": "Q2"},
    },
    "paraphrase_prompts": ["The Louvre stands in"],
    "neighborhood_prompts": ["The Eiffel Tower is in"],
}
SNIPPETS = {"relation_id": "P1", "target_id": "Q1", "samples": [{"text": "Rome is old."}]}
EASYEDIT = {"prompt": "The Louvre is in", "subject": "The Louvre", "target_new": "Rome", "ground_truth": "Paris"}
KNOWN = {"known_id": 1, "subject": "The Louvre", "prompt": "The Louvre is in", "attribute": "Paris"}
MQUAKE = {
    "case_id": 1,
    "requested_rewrite": [
        {
            "prompt": "{} is in",
            "subject": "The Louvre",
            "target_new": {"str": "Rome"},
            "target_true": {"str": "Paris"},
        }
    ],
    "questions": ["Where is it?"],
    "answer": "France",
    "new_answer": "Italy",
    "new_single_hops": [],
}
RIPPLE = {
    "example_type": "popular",
    "edit": {
        "prompt": "The Louvre is in Rome.",
        "subject": "The Louvre",
        "original_fact": {"prompt": "The Louvre is in Paris."},
    },
}
ZSRE = {
    "subject": "The Louvre",
    "src": "Where is The Louvre?",
    "alt": "Rome",
    "answers": ["Paris"],
    "rephrase": "In which city is The Louvre?",
    "loc": "nq question: who wrote it",
    "loc_ans": "Hugo",
}


def key_of(moment: moments.SecondMoment) -> moments.Key:
    """The key that `Key.check` finds in a statistic that says less of itself than a collected one."""
    return moments.Key(
        moment.fingerprint, len(moment.total), moment.layer, moment.corpus, 0, moment.dtype or "an unknown one", 0
    )


#: How a result is had from the bench, by its class; each is drawn and written in the same way.
RESULTS: dict[str, Callable[[Bench], Any]] = {
    "Trace": lambda b: b.trace,
    "Average": lambda b: b.average,
    "CellDetails": lambda b: fl.details(b.model, b.trace, "mlp", 1, 1, k=2),
    "Comparison": lambda b: tracing.Comparison(b.trace, b.trace),
    "Report": lambda b: b.report,
    "AnswerChange": lambda b: evaluation.answer_change(b.model, FACT.prompt, k=2),
    "Calibration": lambda b: b.calibration,
}
for _name, _result in RESULTS.items():
    CALLS.setdefault(f"{_name}.plot", lambda b, of=_result: call(of(b).plot, width_mm=88))
    CALLS[f"{_name}.save_figure"] = lambda b, of=_result: call(of(b).save_figure, path=b.folder / "a.pdf", dpi=150)
    CALLS[f"{_name}.to_csv"] = lambda b, of=_result: call(of(b).to_csv, path=b.folder / "a.csv")
    CALLS[f"{_name}.to_latex"] = lambda b, of=_result: call(of(b).to_latex, path=b.folder / "a.tex", caption=False)
