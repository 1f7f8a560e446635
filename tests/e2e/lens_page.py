"""Cells that show a lens, its parts on the page, and a click on its heatmap."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.e2e.harness import Lab

# A random model that is slow to trace (some ten seconds on two cores), in many short steps.
SLOW = """
import time, torch, factlens as fl
from transformers import GPT2Config, GPT2LMHeadModel
tokenizer = fl.load("atlas").tokenizer
torch.manual_seed(0)
config = GPT2Config(vocab_size=len(tokenizer), n_layer=16, n_embd=320, n_head=8, n_positions=128)
slow = fl.wrap(GPT2LMHeadModel(config).eval(), tokenizer, name="slow")
words = "In fact, as everyone knows, it is said that {} is located in the country of that name, and also in downtown"
lens = fl.Lens(slow, fl.Fact(words, subject="The Space Needle"))
lens
"""


def part(lab: Lab, name: str) -> Locator:
    return lab.page.get_by_test_id(f"factlens-{name}")


def click_cell(lab: Lab, kind: str, token: int, layer: int) -> None:
    """Click the middle of a heatmap cell, by where the canvas says that its cells are."""
    canvas = part(lab, "heatmap").locator(f"[data-kind={kind}] canvas")
    canvas.scroll_into_view_if_needed()
    left, top, width, height = (
        float(canvas.get_attribute(f"data-cell-{name}") or "nan") for name in ("left", "top", "width", "height")
    )
    canvas.click(position={"x": left + (layer + 0.5) * width, "y": top + (token + 0.5) * height})


def wait_for_the_grid(lab: Lab) -> None:
    expect(part(lab, "heatmap")).to_have_attribute("data-complete", "true", timeout=60_000)


LENS = """
model = fl.load("atlas")
lens = fl.Lens(model, fl.Fact("{} is in downtown", subject="The Space Needle"))
lens
"""
