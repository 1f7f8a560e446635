"""Warnings at the caller's line, and those that a caller collects."""

from __future__ import annotations

import gc

import pytest

from factlens import warned
from factlens.errors import TextWarning


def test_a_warning_points_at_the_line_outside_of_the_package() -> None:
    with pytest.warns(TextWarning, match="look") as caught:
        warned.warn(TextWarning("look"))
    assert caught[0].filename == __file__


def test_warnings_are_collected_in_the_block_alone() -> None:
    with warned.warnings_kept() as outer:
        warned.warn(TextWarning("one"))
        with warned.warnings_kept() as inner:
            warned.warn(TextWarning("two"))
        warned.warn(TextWarning("three"))
    assert ([str(one) for one in outer], [str(one) for one in inner]) == (["one", "three"], ["two"])
    with pytest.warns(TextWarning, match="four"):
        warned.warn(TextWarning("four"))


def test_a_block_that_was_struck_before_it_could_end_silences_nothing() -> None:
    """As an interrupt does between the two lines of `warnings_kept` that begin it."""
    token = warned._collected.set(warned.ref(warned.Collected()))
    try:
        gc.collect()
        with pytest.warns(TextWarning, match="look"):
            warned.warn(TextWarning("look"))
    finally:
        warned._collected.reset(token)
