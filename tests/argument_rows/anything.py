"""What takes anything, and why."""

from __future__ import annotations

from factlens.widgets.heatmap import HeatmapTraits

RECORD = "a record that factlens makes and nobody else; what is read from files is checked where it is read"
PARTS = "a name of a layer's part, used inside: `Model.check_layer` refuses what is no layer"
WORDS = "words for an error, from factlens itself"
#: A whole constructor or method, or a parameter of one, and why it needs no row.
ANYTHING: dict[str, str] = {
    **dict.fromkeys(("Trace", "Average", "CellDetails", "Edit", "Took", "Report", "Key", "Update", "Skipped"), RECORD),
    **dict.fromkeys(("Outcome", "Measured", "Metric", "Defaults", "LowRank", "Dense", "Model", "ModelEvent"), RECORD),
    **dict.fromkeys(("Peak", "Answer", "Reading", "Shape", "Calibration", "Trial", "Result"), RECORD),
    "AnswerChange": RECORD,
    "CellDetails.from_dict": "what `to_dict` has returned",
    "Trial.same": "a candidate and records of the search that asks",
    **dict.fromkeys(("Hparams", "ValueHparams"), "each setting of each method has its row in SETTINGS"),
    **{
        f"{name}.{method}": "a field's name, or settings, which have their rows"
        for name in ("Hparams", "ValueHparams")
        for method in ("range_of", "with_changes")
    },
    **dict.fromkeys(
        ("Method", "Method.advise", "Knob", "Problem", "Solution"), "what a method is made of, by its author"
    ),
    **dict.fromkeys(("LowRank.matrix", "Dense.matrix"), "a tensor, from the weights themselves"),
    **{f"Model.{name}": PARTS for name in ("attention", "mlp", "attention_out", "down_projection", "check_editable")},
    **dict.fromkeys(("RecordMetric", "CombinedMetric"), RECORD),
    **dict.fromkeys(("PromptMetric.symbols", "PromptMetric.brief"), "for the metrics of factlens itself"),
    **{f"PromptMetric.{name}": "what was measured" for name in ("value", "values", "numbers")},
    "RecordMetric.numbers": "what was measured",
    "TraceMetric.smooth": "tensors and ids that tracing has made",
    "Model.check_layer": "it is the check: whatever is no layer is refused",
    "Model.check_unchanged": "what the caller has from the model itself, and words of ours",
    "Model.origin_of": "whatever is not in force has no origin",
    **dict.fromkeys(("Model.listen", "Model.forget"), "whatever can be called"),
    "Model.check_ids": "ids from the model's own tokenizer",
    "Model.text_of": "ids from the model's own tokenizer",
    "Model.encode.what": WORDS,
    "Model.encode.advice": WORDS,
    "Model.ids_of.what": WORDS,
    "Model.ids_of.advice": WORDS,
    "Model.encode_option.role": WORDS,
    "Model.encode_option.bare": WORDS,
    "Heatmap.gesture": "hears the page, and refuses without a word: tests/widgets/test_heatmap.py",
    **{
        f"Heatmap.{trait}": "traitlets checks the values of traits, and refuses them by its own TraitError"
        for trait in HeatmapTraits.__annotations__
    },
}
