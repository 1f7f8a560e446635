"""The labels of a trace's arrays: which kind, token, layer and noise sample a number is of."""

from __future__ import annotations

import numpy as np
import xarray as xr


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
