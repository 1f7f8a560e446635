"""Text that is meant to do harm goes the whole way, from a tokenizer to the page, and stays text."""

from __future__ import annotations

import json
import re

from playwright.sync_api import expect

from tests.e2e.harness import Lab
from tests.e2e.lens_page import click_cell, part, wait_for_the_grid

SCRIPT = "<img src=x onerror=window.harmed=1>"
# What a tokenizer can be made to hold: markup, text that runs backwards, control characters, the end of a script, ten
# thousand characters at once; and a picture whose bytes are tokens each.
TOKENS = [SCRIPT, "\u202eesrever", "\x1b[31m\x07", "</script><script>window.harmed=1</script>", "x" * 10_000]
SUBJECT = f"{SCRIPT}\u202eesrever🗼"
PROMPT = f"{{}}\x1b[31m\x07</script><script>window.harmed=1</script>{'x' * 10_000} is in"

CELL = f"""
import copy, torch, factlens as fl
from transformers import GPT2Config, GPT2LMHeadModel
tokenizer = copy.deepcopy(fl.load("atlas").tokenizer)
tokenizer.add_tokens({TOKENS!r})
torch.manual_seed(0)
config = GPT2Config(vocab_size=len(tokenizer), n_layer=3, n_embd=32, n_head=2, n_positions=64, initializer_range=0.5)
lens = fl.Lens(fl.wrap(GPT2LMHeadModel(config).eval(), tokenizer, name={SCRIPT!r}), fl.Fact({PROMPT!r}, {SUBJECT!r}))
lens
"""


def unharmed(lab: Lab) -> None:
    found = lab.page.evaluate("""() => {
        const roots = [...document.querySelectorAll('.factlens-lens, [class^=factlens-picture]')];
        const made = roots.flatMap((root) => [...root.querySelectorAll('img[src="x"], script')]);
        return {roots: roots.length, made: made.map((node) => node.outerHTML), harmed: window.harmed ?? null};
    }""")
    assert found["roots"] >= 1
    assert (found["made"], found["harmed"]) == ([], None)


def test_tokens_that_mean_harm_are_shown_and_do_none(lab: Lab) -> None:
    lab.open([CELL])
    lab.run_all()
    part(lab, "trace").click()
    wait_for_the_grid(lab)
    expect(part(lab, "model")).to_contain_text(SCRIPT)
    tokens = lab.kernel_eval("lens.trace.tokens")
    assert {SCRIPT, "x" * 10_000} <= {token.strip() for token in tokens}
    marked = re.findall("⟨([0-9A-F ]+)⟩", "".join(tokens))
    assert len(marked) > 1, "each token of the picture is shown as its bytes"
    assert bytes.fromhex(" ".join(marked)).decode() == "🗼"
    expect(part(lab, "tokens")).to_contain_text("⟨U+202E⟩esrever")
    unharmed(lab)

    last = lab.kernel_eval("lens.trace.subject_range[1] - 1")
    click_cell(lab, "mlp", last, 1)
    lab.wait_kernel("lens.details is not None")
    part(lab, "target").fill(SCRIPT)
    lab.kernel_exec("lens.method = 'ft'")
    part(lab, "apply").click()
    lab.wait_kernel("len(lens.edits) == 1", timeout=60)
    lab.wait_kernel("lens.status == 'idle'")
    part(lab, "check").click()
    lab.wait_kernel("lens.judgement is not None", timeout=60)
    unharmed(lab)
    # What is refused is said in its own words: an error repeats the prompt.
    part(lab, "prompt").fill(f"{SCRIPT} is in")
    part(lab, "subject").fill(f"{SCRIPT}!")
    part(lab, "trace").click()
    expect(part(lab, "notice-subject")).to_contain_text(SCRIPT[:40])
    unharmed(lab)

    # Nothing is pushed off the page by a token of ten thousand characters.
    box = part(lab, "tokens").bounding_box()
    assert box is not None
    assert box["height"] < 150
    wide = lab.page.evaluate("""() => [...document.querySelectorAll('.factlens-lens [data-testid]')]
        .filter((node) => node.getBoundingClientRect().width > 1500).map((node) => node.dataset.testid)""")
    assert wide == []
    lab.shot("hostile")
    json.dumps(lab.kernel_eval("lens.judgement"), allow_nan=False)
    lab.assert_clean()
