"""`Trace`: the labelled result of causal tracing, complete or as far as it got."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np
import xarray as xr

from factlens import typed
from factlens.arguments import a_text, flag, fraction, instance, one_of, whole
from factlens.drawing.exporting import Exported
from factlens.drawing.look import LOOK, Look, LookOptions
from factlens.drawing.numbers import counted
from factlens.drawing.tables import Table
from factlens.errors import FactError
from factlens.facts import Fact
from factlens.signatures import taking
from factlens.spelling import Wording
from factlens.tracing.captions import caption_of
from factlens.tracing.labels import label_estimate, label_samples
from factlens.tracing.metrics import TraceMetric, metric_of
from factlens.tracing.picture import plot_trace, title_of, trace_image, trace_svg
from factlens.tracing.protocol import (
    FIXED,
    Corruption,
    Noise,
    Replacement,
    corruption_record,
)
from factlens.tracing.sites import Site, site_of
from factlens.tracing.statistics import mean_at_hand, mean_interval, none_to_speak_of
from factlens.tracing.tables import trace_table
from factlens.tracing.trace_file import ARRAYS, FORMAT, check_parts
from factlens.tracing.trust import remarks_on, trust_in
from factlens.tracing.windows import window_layers
from factlens.visible import as_label, isolated, quoted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Peak(NamedTuple):
    """The cell of a grid with the largest effect."""

    token: int
    piece: str
    layer: int
    effect: float


@dataclass(eq=False)
class Trace(Exported):
    """Causal tracing of one fact: how much of the answer each restored state brings back.

    Attributes
    ----------
    fact
        What was traced.
    model, fingerprint
        Name and fingerprint of the model.
    tokens, token_ids, subject_range
        The prompt: text and id of each token, and the subject as ``[start, stop)``.
    answer, answer_ids
        The traced answer and its tokens: the model's own top answer to the clean prompt, unless one was given. An
        answer of several tokens is teacher-forced: each token is read with those before it in place.
    whole_answer
        Where the model's own answer is a token that ends inside a character: its text up to the end of that character,
        as the model continues. For display only: the token is what is measured. None for any other answer, and where
        the model does not complete the character.
    high
        The metric in the clean run.
    low_samples
        The metric in each corrupted run, shape ``(S,)``.
    samples
        The metric in each restored run: dims ``(kind, token, layer, sample)``, float32, NaN where not computed yet. The
        samples of a cell come one after the other, so a cell may have some of them.
    noise_level
        Size of the noise on the subject's embeddings; None where the subject was replaced by another.
    corruption
        How the subject was corrupted.
    seed, window, window_convention
        Seed of the noise, number of layers restored together for ``mlp`` and ``attn``, and whether a window of an
        even number of layers reaches further down (``"code"``) or up (``"paper"``).
    metric
        ``"probability"`` (of all the answer's tokens together), ``"log_probability"``, or ``"logit_difference"``
        between the answer and `contrast` at the first token in which the two differ; or the name of a metric of
        your own.
    own_metric
        That metric; None for one of the three. Of a trace that was read from a file it is without its function.
    contrast, contrast_ids
        The answer to compare with, and its tokens; empty without one.
    estimate
        Attribution patching's guess at `scores`: dims ``(kind, token, layer)``; NaN for severed kinds, and None if
        no estimate was asked for. An estimate, kept beside the exact grid and never mixed into it.
    edits, edit_ids
        The edits that the weights carried, oldest first, in words and by the ids of their content; empty for an
        unedited model. Traces are told apart by `fingerprint` and `edit_ids`; words are for people.
    answer_given
        The answer as it was asked for; None for the model's own.
    template_tokens
        Positions of the tokens that a chat template put around what is said.
    sampling
        ``"fixed"``: the number of noise samples was given. ``"auto"``: there are as many as it took to tell the leading
        cell of each kind from the others (`factlens.tracing.separation`), or as many as there may be.
    known
        Whether greedy decoding continues the prompt with the fact's object, all its tokens; None where the fact has no
        object.
    says, says_probability
        The token that the model holds most probable behind the prompt, and its probability; None where that place was
        not read.
    """

    fact: Fact
    model: str
    fingerprint: str
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    subject_range: tuple[int, int]
    answer: str
    answer_ids: tuple[int, ...]
    high: float
    low_samples: np.ndarray
    samples: xr.DataArray
    noise_level: float | None
    seed: int
    window: int
    window_convention: str = "code"
    metric: str = "probability"
    contrast: Wording | None = None
    contrast_ids: tuple[int, ...] = ()
    whole_answer: str | None = None
    corruption: Corruption = field(default_factory=Noise)
    estimate: xr.DataArray | None = None
    edits: tuple[str, ...] = field(default=())
    edit_ids: tuple[str, ...] = field(default=())
    answer_given: Wording | None = None
    template_tokens: tuple[int, ...] = ()
    own_metric: TraceMetric | None = None
    sampling: str = FIXED
    known: bool | None = None
    says: str | None = None
    says_probability: float | None = None

    # Derived -----------------------------------------------------------------------------------------------------

    @property
    def measure(self) -> TraceMetric:
        """The metric: its name and label, and whether larger numbers mean a surer answer."""
        return metric_of(self)

    @property
    def low(self) -> float:
        """Mean of the metric over the corrupted runs."""
        return float(self.low_samples.mean(dtype=np.float64))

    @property
    def total_effect(self) -> float:
        """``high - low``."""
        return self.high - self.low

    def total_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval of the total effect over the noise samples, by Student's t.

        NaN twice where there is one sample.
        """
        lower, upper = mean_interval(self.high - self.low_samples, fraction("level", level))
        return float(lower), float(upper)

    @property
    def total_within_noise(self) -> bool:
        """Whether the total effect's 95 % interval contains zero: corruption did nothing that the noise would not do.

        The rule is that of `within_noise`: False where fewer than three samples tell nothing.
        """
        return bool(none_to_speak_of(self.high - self.low_samples))

    @property
    def scores(self) -> xr.DataArray:
        """The metric in the restored runs: dims ``(kind, token, layer)``.

        The mean over samples; of a cell that has some of its samples so far, `low` and the mean effect over these,
        each against its own corrupted run. So ``scores - low`` is the effect at any time.
        """
        values = self.samples.values
        means = values.mean(-1)
        part = np.isnan(means) & np.isfinite(values).any(-1)
        if part.any():
            means[part] = self.low + mean_at_hand(values[part] - self.low_samples)
        return self._grid(means).rename("score")

    @property
    def effects(self) -> xr.DataArray:
        """Indirect effects, ``scores - low``, mean over the samples at hand: dims ``(kind, token, layer)``."""
        return (self.scores - self.low).rename("effect")

    @property
    def sample_counts(self) -> xr.DataArray:
        """How many noise samples each cell has: dims ``(kind, token, layer)``; 0 where nothing has been computed."""
        return self._grid(np.isfinite(self.samples.values).sum(-1)).rename("samples")

    @property
    def within_noise(self) -> xr.DataArray:
        """Whether an effect's 95 % interval (`interval`) contains zero, so that it is drawn as none.

        Each effect is paired: a restored run less the corrupted run with the same noise. The rule is |mean| ≤ t·s/√n,
        with the spread s over the n samples that the cell has, and t of n - 1 degrees of freedom: of effects that are
        none, one in twenty passes, and most of what passes so is pale. Dims ``(kind, token, layer)``. False where a
        cell has fewer than three samples: two say next to nothing of their own spread (their interval reaches nine
        times as far as they differ from their mean).
        """
        return self._grid(none_to_speak_of(self.samples.values - self.low_samples)).rename("within noise")

    def _grid(self, values: np.ndarray) -> xr.DataArray:
        return self.samples.isel(sample=0, drop=True).copy(data=values)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of state that were traced."""
        return tuple(str(kind) for kind in self.samples["kind"].values)

    @property
    def sites(self) -> tuple[Site, ...]:
        """What was restored for each of the kinds."""
        return tuple(map(site_of, self.kinds))

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return int(self.samples.sizes["layer"])

    @property
    def answer_id(self) -> int:
        """Id of the answer's first token."""
        return self.answer_ids[0]

    @property
    def shown_answer(self) -> str:
        """What to show as the answer: `whole_answer` if there is one, else `answer`."""
        return self.answer if self.whole_answer is None else self.whole_answer

    def window_of(self, layer: int) -> range:
        """Return the layers restored together around `layer` for ``mlp`` and ``attn``."""
        layer = whole("layer", layer, least=0, most=self.n_layers - 1)
        return window_layers(layer, self.window, self.n_layers, self.window_convention)

    @property
    def complete(self) -> bool:
        """Whether every cell has been computed, for all noise samples."""
        return not bool(np.isnan(self.samples.values).any())

    def peak(self, kind: str = "mlp") -> Peak:
        """Return the cell with the largest effect of a kind: of a metric that is better smaller, the smallest.

        Raises
        ------
        FactError
            If that kind was not traced, or no cell of it has been computed.
        """
        kind = a_text("kind", kind, example="'mlp'")
        if kind not in self.kinds:
            raise FactError(f"The kind {kind!r} was not traced; there are {', '.join(self.kinds)}.")
        grid = self.effects.sel(kind=kind).values
        if np.isnan(grid).all():
            raise FactError(f"No cell of the kind {kind!r} has been computed yet.")
        token, layer = (int(i) for i in np.unravel_index(np.nanargmax(self.measure.better * grid), grid.shape))
        return Peak(token, self.tokens[token], layer, float(grid[token, layer]))

    def leading(self, kind: str = "mlp") -> Peak | None:
        """Return the peak of a kind if it is an effect to speak of, else None.

        There is none where the total effect or the peak's own lies within the noise (`total_within_noise`,
        `within_noise`), or no restored state makes the model surer of the answer.

        Raises
        ------
        FactError
            As `peak` does.
        """
        peak = self.peak(kind)
        noise = self.within_noise.sel(kind=kind).values[peak.token, peak.layer]
        nothing = self.total_within_noise or noise or not self.measure.better * peak.effect > 0
        return None if nothing else peak

    def interval(self, level: float = 0.95) -> xr.DataArray:
        """Return confidence intervals of the effects over the noise samples, by Student's t.

        The samples are paired: each restored run has the noise of one corrupted run, so the interval is that of the
        mean difference between the two. It is over the samples that a cell has so far. With one there is none: its
        bounds are NaN.

        Parameters
        ----------
        level
            Share of intervals that cover the mean over all noise.

        Returns
        -------
        xarray.DataArray
            Dims ``(bound, kind, token, layer)``; `bound` is ``"lower"`` and ``"upper"``.
        """
        level = fraction("level", level)
        lower, upper = mean_interval(self.samples.values - self.low_samples, level)
        return xr.concat([self._grid(lower), self._grid(upper)], dim="bound").assign_coords(bound=["lower", "upper"])

    # In words ----------------------------------------------------------------------------------------------------

    def label(self, token: int) -> str:
        """Return what a figure writes beside a token's row: its text, with the paper's ``*`` inside the subject."""
        token = whole("token", token, least=0, most=len(self.tokens) - 1)
        start, stop = self.subject_range
        return as_label(self.tokens[token]) + ("*" if start <= token < stop else "")

    def title(self, kind: str) -> str:
        """Return what a figure writes above a kind's panel."""
        return title_of(site_of(one_of("kind", kind, self.kinds)), self.window)

    @property
    def measured(self) -> str:
        """What was measured, in few words: ``p(Seattle)``, or ``logit difference, Seattle − Paris``.

        Of an answer that ends inside a character it is the token: ``p(⟨E6⟩ of 東)``.
        """
        answer = as_label(self.answer)
        if self.whole_answer is not None:
            answer = f"{answer} of {as_label(self.whole_answer)}"
        label = isolated(self.measure.label)
        return f"{label}({answer})" if self.contrast is None else f"{label}, {answer} − {as_label(str(self.contrast))}"

    @property
    def corrupted_by(self) -> str:
        """How the subject was corrupted, in few words."""
        if isinstance(self.corruption, Replacement):
            return f"subject replaced by {as_label(self.corruption.subject)}"
        count = self.samples.sizes["sample"]
        return f"{counted(count, 'noise sample')}, seed {self.seed}"

    @property
    def trust(self) -> str:
        """How far the numbers so far can be trusted, in few words: an estimate, one sample of ten, all of them."""
        return trust_in(self)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know before reading anything off the grids: that there is no effect, that the fact is not known."""
        return remarks_on(self)

    # Elsewhere ---------------------------------------------------------------------------------------------------

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per cell: kind, token, piece, subject, layer, score, effect."""
        frame = xr.Dataset({"score": self.scores, "effect": self.effects}).to_dataframe().reset_index()
        return frame[["kind", "token", "piece", "subject", "layer", "score", "effect"]]

    def caption(self) -> str:
        """Return what a figure should say below itself: the model, the prompt, every setting, the total effect."""
        return caption_of(self)

    @taking(LOOK)
    def plot(self, *, effects: bool = False, **look: Unpack[LookOptions]) -> Figure:
        """Draw the grids with matplotlib, in the manner of the paper's Figure 1; needs ``factlens[plot]``.

        Parameters
        ----------
        effects
            Show ``scores - low`` instead of the scores.
        **look
            Size, letters and colours for a paper; see `factlens.drawing.look.Look`.
        """
        return plot_trace(self, effects=flag("effects", effects), look=Look.of(look))

    def _frame(self) -> pd.DataFrame:
        return self.to_dataframe()

    def _table(self, part: str | None) -> Table:
        return trace_table(self, part)

    def save(self, path: str | Path) -> Path:
        """Write the trace to one safetensors file: the arrays, and everything else as JSON in its header."""
        grids = {"samples": self.samples.values, "low_samples": self.low_samples}
        if self.estimate is not None:
            grids["estimate"] = self.estimate.values
        return FORMAT.write(
            path,
            self,
            grids,
            fact=asdict(self.fact),
            corruption=corruption_record(self.corruption),
            own_metric=None if self.own_metric is None else self.own_metric.described(),
        )

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a saved trace; needs neither torch nor the model.

        Raises
        ------
        FileFormatError
            If the file is not a trace written by `save`, is damaged, or comes from another version's format.
        """
        with FORMAT.reading(path) as (fields, grids):
            kinds, tokens = fields.pop("kinds"), fields["tokens"]
            grids = typed.arrays(grids, ARRAYS, {"kind": len(kinds), "token": len(tokens)})
            samples = label_samples(grids["samples"], kinds, tokens, fields["subject_range"])
            estimate = grids.get("estimate")
            loaded = cls(
                samples=samples,
                low_samples=grids["low_samples"],
                estimate=None if estimate is None else label_estimate(estimate, samples),
                **fields,
            )
            check_parts(loaded)
            return loaded

    def __repr__(self) -> str:
        state = "" if self.complete else ", incomplete"
        return (
            f"<factlens.Trace {quoted(self.fact.prompt)} → {quoted(self.shown_answer)}, "
            f"{len(self.kinds)} kinds × {len(self.tokens)} tokens × {self.n_layers} layers{state}>"
        )

    def _svg(self) -> str:
        return trace_svg(self)

    def _repr_html_(self) -> str:
        return trace_image(self)


def a_trace(name: str, value: Any) -> Trace:
    """Return the argument `name` if it is a trace.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    return instance(name, value, Trace, "a factlens.Trace: factlens.trace(model, fact), or factlens.Trace.load(path)")
