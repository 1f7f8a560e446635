"""Palettes for paper: darker means more, also in grey and to colour-blind eyes; series are told apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from factlens.drawing import colours
from factlens.drawing.figure import colour_map

#: Machado, Oliveira and Fernandes (2009), severity 1: what linear RGB becomes to those who lack one sort of cones.
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "none": np.eye(3).tolist(),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(1)


def linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(rgb: np.ndarray, eyes: str) -> np.ndarray:
    """CIE L*a*b* of colours as some eyes see them; distances in it are ΔE of 1976."""
    xyz = (linear(rgb) @ np.array(BLIND[eyes]).T).clip(0, 1) @ TO_XYZ.T / WHITE
    roots = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * roots[..., 1] - 16, 500 * (roots[..., 0] - roots[..., 1]), 200 * (roots[..., 1] - roots[..., 2])], -1
    )


def rgb_of(hexes: list[str]) -> np.ndarray:
    return np.array([[int(one[i : i + 2], 16) / 255 for i in (1, 3, 5)] for one in hexes])


@pytest.mark.parametrize("eyes", BLIND)
@pytest.mark.parametrize("palette", ["safe", "grey"])
def test_darker_is_more_to_any_eyes_and_in_grey(palette: str, eyes: str) -> None:
    ramp = colours.ramp(palette)
    assert ramp[0] == pytest.approx([1, 1, 1], abs=1e-6)
    assert (np.diff(linear(ramp) @ TO_XYZ[1]) < 0).all(), "a copy in grey"
    lightness = seen(ramp, eyes)[:, 0]
    assert (np.diff(lightness) < 0).all()
    # Nine cells from none to all of it are nine different ones.
    ninths = seen(colours.ramp(palette, 9), eyes)
    assert np.linalg.norm(np.diff(ninths, axis=0), axis=1).min() > 5


def test_a_grey_palette_has_no_colour() -> None:
    assert np.ptp(colours.ramp("grey"), axis=1).max() < 1e-3
    assert {colours.series("grey", i).colour[1:3] for i in range(4)} == {
        colours.series("grey", i).colour[5:7] for i in range(4)
    }
    assert np.ptp(rgb_of([colours.before_colour("grey")])) == 0


@pytest.mark.parametrize("eyes", BLIND)
def test_series_of_the_safe_palette_are_told_apart(eyes: str) -> None:
    lab = seen(rgb_of([colours.series("safe", i).colour for i in range(6)]), eyes)
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 10
    assert np.linalg.norm(lab - [100, 0, 0], axis=1).min() > 30, "all are seen on paper"


def test_series_in_grey_are_told_apart_by_more_than_their_grey() -> None:
    looks = [colours.series("grey", i) for i in range(8)]
    lightness = seen(rgb_of([look.colour for look in looks[:4]]), "none")[:, 0]
    assert np.diff(lightness).min() > 10
    assert len({(look.colour, look.dash, look.hatch) for look in looks}) == 8
    assert len({colours.series("safe", i) for i in range(24)}) == 24


@pytest.mark.parametrize("eyes", BLIND)
def test_differences_below_and_above_none_are_told_apart(eyes: str) -> None:
    ramp = colours.diverging_ramp(255)
    assert ramp[127] == pytest.approx([1, 1, 1], abs=1e-6)
    below, above = seen(ramp[:100:10], eyes), seen(ramp[:154:-10], eyes)
    assert np.linalg.norm(below - above, axis=1).min() > 10
    lightness = seen(ramp, eyes)[:, 0]
    assert (np.diff(lightness[:128]) > 0).all()
    assert (np.diff(lightness[127:]) < 0).all()
    assert len(colours.diverging_ramp(256)) == 256


def test_maps_of_every_palette() -> None:
    assert colour_map("mlp", "kind") == "Greens"
    assert colour_map("mlp", "grey")(0.5) == colour_map("state", "grey")(0.5)
