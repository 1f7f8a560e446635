"""`Trace`: the labelled result of causal tracing, complete or as far as it got."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from factlens.errors import FactError, FileFormatError
from factlens.facts import Fact
from factlens.files import read_record, write_record
from factlens.tracing.protocol import (
    KIND_NAMES,
    METRICS,
    Corruption,
    Noise,
    Replacement,
    corruption_record,
    head_of,
    is_windowed,
    kind_name,
    read_corruption,
)
from factlens.tracing.windows import window_layers

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_FORMAT, _SCHEMA = "factlens.trace", 2


class Peak(NamedTuple):
    """The cell of a grid with the largest effect."""

    token: int
    piece: str
    layer: int
    effect: float


@dataclass
class Trace:
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
    high
        The metric in the clean run.
    low_samples
        The metric in each corrupted run, shape ``(S,)``.
    samples
        The metric in each restored run: dims ``(kind, token, layer, sample)``, float32, NaN where not computed.
    noise_level
        Size of the noise on the subject's embeddings; None where the subject was replaced by another.
    corruption
        How the subject was corrupted.
    seed, window, window_convention
        Seed of the noise, number of layers restored together for ``mlp`` and ``attn``, and whether a window of an
        even number of layers reaches further down (``"code"``) or up (``"paper"``).
    metric
        ``"probability"`` (of all the answer's tokens together), ``"log_probability"``, or ``"logit_difference"``
        between the answer and `contrast` at the first token in which the two differ.
    contrast, contrast_ids
        The answer to compare with, and its tokens; only for ``"logit_difference"``.
    estimate
        Attribution patching's guess at `scores`: dims ``(kind, token, layer)``; NaN for severed kinds, and None if
        no preview was asked for. An estimate, kept beside the exact grid and never mixed into it.
    edits
        The edits that the weights carried; empty for an unedited model.
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
    contrast: str | None = None
    contrast_ids: tuple[int, ...] = ()
    corruption: Corruption = field(default_factory=Noise)
    estimate: xr.DataArray | None = None
    edits: tuple[str, ...] = field(default=())

    # Derived -----------------------------------------------------------------------------------------------------

    @property
    def low(self) -> float:
        """Mean of the metric over the corrupted runs."""
        return float(self.low_samples.mean(dtype=np.float64))

    @property
    def total_effect(self) -> float:
        """``high - low``."""
        return self.high - self.low

    @property
    def scores(self) -> xr.DataArray:
        """The metric in the restored runs, mean over samples: dims ``(kind, token, layer)``."""
        return self.samples.mean("sample", skipna=False).rename("score")

    @property
    def effects(self) -> xr.DataArray:
        """Indirect effects, ``scores - low``: dims ``(kind, token, layer)``."""
        return (self.scores - self.low).rename("effect")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of state that were traced."""
        return tuple(str(kind) for kind in self.samples["kind"].values)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return int(self.samples.sizes["layer"])

    @property
    def answer_id(self) -> int:
        """Id of the answer's first token."""
        return self.answer_ids[0]

    def window_of(self, layer: int) -> range:
        """Return the layers restored together around `layer` for ``mlp`` and ``attn``."""
        return window_layers(layer, self.window, self.n_layers, self.window_convention)

    @property
    def complete(self) -> bool:
        """Whether every cell has been computed."""
        return not bool(np.isnan(self.samples.values).any())

    def peak(self, kind: str = "mlp") -> Peak:
        """Return the cell with the largest effect of a kind.

        Raises
        ------
        FactError
            If that kind was not traced, or no cell of it has been computed.
        """
        if kind not in self.kinds:
            raise FactError(f"The kind {kind!r} was not traced; there are {', '.join(self.kinds)}.")
        grid = self.effects.sel(kind=kind).values
        if np.isnan(grid).all():
            raise FactError(f"No cell of the kind {kind!r} has been computed yet.")
        token, layer = (int(i) for i in np.unravel_index(np.nanargmax(grid), grid.shape))
        return Peak(token, self.tokens[token], layer, float(grid[token, layer]))

    def interval(self, level: float = 0.95) -> xr.DataArray:
        """Return confidence intervals of the effects over the noise samples, by Student's t.

        The samples are paired: each restored run has the noise of one corrupted run, so the interval is that of the
        mean difference between the two. With one sample there is none, and every bound is NaN.

        Parameters
        ----------
        level
            Share of intervals that cover the mean over all noise.

        Returns
        -------
        xarray.DataArray
            Dims ``(bound, kind, token, layer)``; `bound` is ``"lower"`` and ``"upper"``.
        """
        from factlens.tracing.statistics import mean_interval

        lower, upper = mean_interval(self.samples.values - self.low_samples, level)
        grid = self.samples.isel(sample=0, drop=True)
        return xr.concat([grid.copy(data=lower), grid.copy(data=upper)], dim="bound").assign_coords(
            bound=["lower", "upper"]
        )

    # In words ----------------------------------------------------------------------------------------------------

    def label(self, token: int) -> str:
        """Return what a figure writes beside a token's row: its text, with the paper's ``*`` inside the subject."""
        start, stop = self.subject_range
        return _visible(self.tokens[token]) + ("*" if start <= token < stop else "")

    def title(self, kind: str) -> str:
        """Return what a figure writes above a kind's panel."""
        return f"{kind_name(kind)}, window of {self.window} layers" if is_windowed(kind) else kind_name(kind)

    @property
    def measured(self) -> str:
        """What was measured, in few words: ``p(Seattle)``, or ``logit difference, Seattle − Paris``."""
        answer = _visible(self.answer)
        if self.metric == "logit_difference":
            return f"{METRICS[self.metric]}, {answer} − {_visible(self.contrast or '')}"
        return f"{METRICS[self.metric]}({answer})"

    @property
    def corrupted_by(self) -> str:
        """How the subject was corrupted, in few words."""
        if isinstance(self.corruption, Replacement):
            return f"subject replaced by {_visible(self.corruption.subject)}"
        count = self.samples.sizes["sample"]
        return f"{count} noise sample{'' if count == 1 else 's'}, seed {self.seed}"

    # Elsewhere ---------------------------------------------------------------------------------------------------

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per cell: kind, token, piece, subject, layer, score, effect."""
        frame = xr.Dataset({"score": self.scores, "effect": self.effects}).to_dataframe().reset_index()
        return frame[["kind", "token", "piece", "subject", "layer", "score", "effect"]]

    def plot(self, *, effects: bool = False) -> Figure:
        """Draw the grids with matplotlib, in the manner of the paper's Figure 1; needs ``factlens[plot]``.

        Parameters
        ----------
        effects
            Show ``scores - low`` instead of the scores.
        """
        from factlens.tracing.plotting import plot_trace

        return plot_trace(self, effects=effects)

    def save(self, path: str | Path) -> Path:
        """Write the trace to one safetensors file: the arrays, and everything else as JSON in its header."""
        record = {
            "fact": asdict(self.fact),
            "corruption": corruption_record(self.corruption),
            "kinds": self.kinds,
            **{name: getattr(self, name) for name in _PLAIN},
        }
        arrays = {"samples": self.samples.values, "low_samples": self.low_samples}
        if self.estimate is not None:
            arrays["estimate"] = self.estimate.values
        return write_record(path, _FORMAT, _SCHEMA, record, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a saved trace; needs neither torch nor the model.

        Raises
        ------
        FileFormatError
            If the file is not a trace written by `save`, is damaged, or comes from another version's format.
        """
        record, arrays = read_record(path, _FORMAT, _SCHEMA)
        try:
            plain: dict[str, Any] = {name: tuple(v) if isinstance(v := record[name], list) else v for name in _PLAIN}
            labels = tuple(record["kinds"]), plain["tokens"], plain["subject_range"]
            samples = label_samples(arrays["samples"], *labels)
            estimate = arrays.get("estimate")
            found = cls(
                fact=Fact(**record["fact"]),
                corruption=read_corruption(record["corruption"]),
                samples=samples,
                low_samples=arrays["low_samples"],
                estimate=None if estimate is None else label_estimate(estimate, samples),
                **plain,
            )
            found._check()
            return found
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path} is not a complete factlens trace: {error}.") from error

    def _check(self) -> None:
        """Raise ValueError if the parts of a trace that was read do not belong together."""
        unknown = [kind for kind in self.kinds if kind not in KIND_NAMES and head_of(kind) is None]
        start, stop = self.subject_range
        if unknown or self.metric not in METRICS:
            raise ValueError(f"nothing is known of {unknown[0] if unknown else self.metric!r}")
        if len(self.token_ids) != len(self.tokens) or not 0 <= start < stop <= len(self.tokens):
            raise ValueError("its tokens do not fit together")
        if self.low_samples.shape != (self.samples.sizes["sample"],) or not self.answer_ids:
            raise ValueError("its numbers do not fit together")

    def __repr__(self) -> str:
        state = "" if self.complete else ", incomplete"
        return (
            f"<factlens.Trace {self.fact.prompt!r} → {self.answer!r}, "
            f"{len(self.kinds)} kinds × {len(self.tokens)} tokens × {self.n_layers} layers{state}>"
        )

    def _svg(self) -> str:
        from factlens.pictures import trace_svg

        return trace_svg(self)

    def _repr_html_(self) -> str:
        from factlens.pictures import as_image

        return as_image(self._svg(), f"Causal tracing of {self.fact.prompt} → {_visible(self.answer)}")


_PLAIN = (
    "model",
    "fingerprint",
    "tokens",
    "token_ids",
    "subject_range",
    "answer",
    "answer_ids",
    "high",
    "noise_level",
    "seed",
    "window",
    "window_convention",
    "metric",
    "contrast",
    "contrast_ids",
    "edits",
)


def _visible(text: str) -> str:
    """Return a text as a figure can show it: no space around it, marks for line breaks and control characters."""
    shown = text.replace("\n", "⏎").replace("\t", "⇥").strip() or "␣"
    return "".join(c if c.isprintable() else "\ufffd" for c in shown)


def label_samples(
    values: np.ndarray, kinds: tuple[str, ...], tokens: tuple[str, ...], subject_range: tuple[int, int]
) -> xr.DataArray:
    """Give the array of samples its dimensions and coordinates; raise ValueError if it does not fit them."""
    if values.ndim != 4:
        raise ValueError(f"the array of samples has shape {values.shape}")
    start, stop = subject_range
    return xr.DataArray(
        values,
        dims=("kind", "token", "layer", "sample"),
        coords={
            "kind": list(kinds),
            "token": np.arange(len(tokens)),
            "layer": np.arange(values.shape[2]),
            "sample": np.arange(values.shape[3]),
            # Token texts repeat, so they label the dimension but do not index it.
            "piece": ("token", list(tokens)),
            "subject": ("token", [start <= i < stop for i in range(len(tokens))]),
        },
        name="score",
    )


def label_estimate(values: np.ndarray, samples: xr.DataArray) -> xr.DataArray:
    """Give an estimated grid the labels of the exact one; raise ValueError if it does not fit them."""
    grid = samples.isel(sample=0, drop=True)
    return xr.DataArray(values, dims=grid.dims, coords=grid.coords, name="estimate")
