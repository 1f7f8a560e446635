"""What counts as the same picture and what does not, tried on the pictures that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageEnhance

from tests.js import smallpng
from tests.js.likeness import compare

FOLDER = Path(__file__).parent / "screenshots"


@pytest.fixture(params=["edit-light", "heatmap-comparison-dark", "heatmap-logits-light"])
def picture(request) -> Image.Image:
    return Image.open(FOLDER / f"{request.param}.png").convert("RGB")


def further(picture: Image.Image, right: float, down: float) -> Image.Image:
    """The picture drawn a little further on, as another browser might."""
    moved = picture.transform(
        picture.size, Image.Transform.AFFINE, (1, 0, -right, 0, 1, -down), Image.Resampling.BILINEAR
    )
    moved.paste(picture.crop((0, 0, picture.width, 2)))  # what has come in from outside is nobody's
    moved.paste(picture.crop((0, 0, 2, picture.height)))
    return moved


def area(picture: Image.Image) -> tuple[int, int, int, int]:
    """Where something stands that fills no more than a button: the left half of a line of the panel's head."""
    paper = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
    ink = ImageChops.difference(picture, paper).convert("L").point(lambda level: 255 * (level > 40))
    left, top, right, bottom = ink.crop((0, 0, 90, 32)).getbbox()
    return left, top, right, bottom


def test_the_same_picture_is_alike(picture):
    assert compare(picture, picture).why == ""


@pytest.mark.parametrize(("right", "down"), [(0.2, 0), (0, 0.2), (1, 0), (1, 1)])
def test_a_fraction_of_a_pixel_is_no_difference(picture, right, down):
    assert compare(picture, further(picture, right, down)).why == ""
    assert compare(further(picture, right, down), picture).why == ""


def test_a_pixel_more_at_the_edge_is_no_difference_but_three_are(picture):
    paper = picture.getpixel((0, 0))
    for more, alike in ((1, True), (3, False)):
        larger = Image.new("RGB", (picture.width, picture.height + more), paper)
        larger.paste(picture)
        assert bool(compare(picture, larger)) is alike
        assert bool(compare(larger, picture)) is alike


def test_few_colours_are_no_difference(picture, tmp_path):
    smallpng.save(picture, tmp_path / "small.png")
    assert compare(picture, Image.open(tmp_path / "small.png")).why == ""


def test_a_missing_word_is_seen_from_both_sides(picture):
    less = picture.copy()
    left, top, right, bottom = area(picture)
    less.paste(picture.getpixel((0, 0)), (left, top, min(right, left + 24), bottom))
    for likeness in (compare(picture, less), compare(less, picture)):
        assert "pixels from" in likeness.why
        red = likeness.marks().getchannel("G").point(lambda level: 255 * (level == 0)).getbbox()
        assert red is not None  # and marked where it is
        assert red[0] >= left - 1
        assert red[3] <= bottom + 1


def test_an_area_of_a_slightly_other_colour_is_seen(picture):
    for levels, alike in ((4, True), (10, False)):
        other = picture.copy()
        sign = 1 if sum(picture.getpixel((0, 0))) < 384 else -1
        colour = tuple(level + sign * levels for level in picture.getpixel((0, 0)))
        ImageDraw.Draw(other).rectangle((0, 0, 9, picture.height), fill=colour)
        assert bool(compare(picture, other)) is alike


def test_a_part_that_has_moved_by_four_pixels_is_seen(picture):
    moved = picture.copy()
    moved.paste(picture.crop((0, 0, picture.width - 4, picture.height)), (4, 0))
    assert not compare(picture, moved)


def test_paler_writing_is_seen(picture):
    assert not compare(picture, ImageEnhance.Contrast(picture).enhance(0.6))
