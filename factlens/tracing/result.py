"""`Trace`: the labelled result of causal tracing, complete or as far as it got."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from factlens.errors import FactError, FileFormatError
from factlens.facts import Fact

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

KINDS = ("state", "mlp", "attn")
KIND_NAMES = {"state": "hidden state", "mlp": "MLP", "attn": "attention"}
_SCHEMA = 1


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
    answer, answer_id
        The model's own top answer to the clean prompt; every probability below is the probability of it.
    high
        Its probability in the clean run.
    low_samples
        Its probability in each corrupted run, shape ``(S,)``.
    samples
        Its probability in each restored run: dims ``(kind, token, layer, sample)``, float32, NaN where not computed.
    noise_level, seed, window
        Standard deviation of the noise on the subject's embeddings, seed of its draw, and number of layers
        restored together for ``mlp`` and ``attn``.
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
    answer_id: int
    high: float
    low_samples: np.ndarray
    samples: xr.DataArray
    noise_level: float
    seed: int
    window: int
    edits: tuple[str, ...] = field(default=())

    # Derived -----------------------------------------------------------------------------------------------------

    @property
    def low(self) -> float:
        """Mean probability of the answer in the corrupted runs."""
        return float(self.low_samples.mean(dtype=np.float64))

    @property
    def total_effect(self) -> float:
        """``high - low``."""
        return self.high - self.low

    @property
    def scores(self) -> xr.DataArray:
        """Probability of the answer in the restored runs, mean over samples: dims ``(kind, token, layer)``."""
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
            Show ``scores - low`` instead of the probabilities.
        """
        from factlens.tracing.plotting import plot_trace

        return plot_trace(self, effects=effects)

    def save(self, path: str | Path) -> Path:
        """Write the trace to one safetensors file: the arrays, and everything else as JSON in its header."""
        from safetensors.numpy import save_file

        record = {
            "format": "factlens.trace",
            "schema": _SCHEMA,
            "fact": asdict(self.fact),
            "kinds": self.kinds,
            **{name: getattr(self, name) for name in _PLAIN},
        }
        arrays = {"samples": np.ascontiguousarray(self.samples.values), "low_samples": self.low_samples}
        save_file(arrays, str(path), metadata={"factlens": json.dumps(record)})
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a saved trace.

        Raises
        ------
        FileFormatError
            If the file is not a trace written by `save`.
        """
        record, arrays = read_safetensors(path, "factlens.trace", _SCHEMA)
        try:
            plain: dict[str, Any] = {name: tuple(v) if isinstance(v := record[name], list) else v for name in _PLAIN}
            samples = label_samples(arrays["samples"], tuple(record["kinds"]), plain["tokens"], plain["subject_range"])
            return cls(fact=Fact(**record["fact"]), samples=samples, low_samples=arrays["low_samples"], **plain)
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{path} is not a complete factlens trace: {error}.") from error

    def __repr__(self) -> str:
        state = "" if self.complete else ", incomplete"
        return (
            f"<factlens.Trace {self.fact.prompt!r} → {self.answer!r}, "
            f"{len(self.kinds)} kinds × {len(self.tokens)} tokens × {self.n_layers} layers{state}>"
        )

    def _repr_html_(self) -> str:
        from factlens.pictures import trace_svg

        return trace_svg(self)


_PLAIN = (
    "model",
    "fingerprint",
    "tokens",
    "token_ids",
    "subject_range",
    "answer",
    "answer_id",
    "high",
    "noise_level",
    "seed",
    "window",
    "edits",
)


def label_samples(
    values: np.ndarray, kinds: tuple[str, ...], tokens: tuple[str, ...], subject_range: tuple[int, int]
) -> xr.DataArray:
    """Give the array of samples its dimensions and coordinates; raise ValueError if it does not fit them."""
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


def read_safetensors(path: str | Path, kind: str, schema: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a safetensors file that factlens wrote: its JSON record and its arrays.

    Raises
    ------
    FileFormatError
        If it is no such file, or of another kind or a newer schema.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            record = json.loads((file.metadata() or {}).get("factlens", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise FileFormatError(f"{path} is not a file that factlens wrote: {error}.") from error
    if not isinstance(record, dict) or record.get("format") != kind:
        raise FileFormatError(f"{path} holds no {kind.removeprefix('factlens.')}.")
    if record.get("schema") != schema:
        raise FileFormatError(f"{path} has schema {record.get('schema')!r}; this version of factlens reads {schema}.")
    return record, arrays
