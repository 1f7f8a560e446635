"""Prompts and answers in the lens, as they are written: chats, what is not meant, several readings, exact objects."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.e2e.harness import Lab
from tests.e2e.lens_page import LENS, part, wait_for_the_grid

#: atlas was never taught to chat; what its tokenizer makes of a chat is a text like any other.
TALKING = r"""
model = fl.load("atlas")
model.tokenizer.chat_template = (
    "{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
lens = fl.Lens(model, fl.Fact.chat("Where is the Space Needle?", subject="Space Needle"))
lens
"""


def test_a_chat_is_asked_and_left_again(lab: Lab) -> None:
    lab.open(["import factlens as fl", TALKING])
    lab.run_all()
    prompt, chat, trace = part(lab, "prompt"), part(lab, "chat"), part(lab, "trace")
    expect(prompt).to_have_value("Where is the Space Needle?")
    expect(chat).to_be_checked()
    trace.click()
    wait_for_the_grid(lab)
    template = part(lab, "labels").first.locator(".fl-label.fl-template")
    assert template.count() == lab.kernel_eval("len(lens.trace.template_tokens)") > 5
    said = "[{'role': 'user', 'content': 'Where is the Space Needle?'}]"
    ids = f"model.tokenizer.apply_chat_template({said}, add_generation_prompt=True, return_dict=True)['input_ids']"
    assert lab.kernel_eval(f"list(lens.trace.token_ids) == list({ids})")
    for theme in ("dark", "light"):
        lab.set_theme(theme)
        lab.shot(f"chat-{theme}", lab.page.locator(".factlens-lens").first)

    prompt.fill("Where is the Space Needle now?")
    trace.click()
    lab.wait_kernel("lens.trace.fact.prompt.startswith('[user]') and ' now?' in lens.trace.fact.prompt")
    chat.uncheck()
    lab.wait_kernel("lens.status == 'idle'")
    trace.click()
    lab.wait_kernel("lens.trace.fact.prompt == 'Where is the Space Needle now?' and lens.trace.template_tokens == ()")
    lab.assert_clean()


def test_what_is_written_is_what_is_read(lab: Lab) -> None:
    lab.open(["import factlens as fl", TALKING.replace('fl.Fact.chat("Where is the', 'fl.Fact("Here is the')])
    lab.run_all()
    prompt, subject, trace = part(lab, "prompt"), part(lab, "subject"), part(lab, "trace")

    # White space at the end is read, and said.
    prompt.fill("The Space Needle is in downtown ")
    trace.click()
    notes = part(lab, "locate-notices")
    expect(notes).to_contain_text("ends in white space", timeout=60_000)
    lab.wait_kernel("lens.status == 'idle' and lens.trace.fact.prompt == 'The Space Needle is in downtown '")
    lab.shot("white-space", part(lab, "locate"))
    notes.get_by_role("button", name="Remove the space").click()
    expect(prompt).to_have_value("The Space Needle is in downtown", timeout=30_000)
    lab.wait_kernel("lens.status == 'idle' and lens.trace.fact.prompt == 'The Space Needle is in downtown'")
    expect(notes).to_be_hidden()

    # Several lines, and a prompt that can be read in two ways.
    text = "x = {}\n# The Space Needle is in downtown"
    prompt.fill(text)
    subject.fill("Space Needle")
    prompt.press("Enter")
    ways = part(lab, "notice-prompt").get_by_role("button")
    expect(ways).to_have_count(2, timeout=30_000)
    lab.shot("two-readings", part(lab, "locate"))
    ways.nth(1).click()
    lab.wait_kernel(f"lens.status == 'idle' and lens.trace.fact.prompt == {text!r}")
    expect(prompt).to_have_value("x = {{}}\n# The Space Needle is in downtown")
    trace.click()
    lab.wait_kernel(f"lens.status == 'idle' and lens.trace.fact.prompt == {text!r}")

    # A new object without the space.
    part(lab, "target").fill("Paris")
    part(lab, "exactly").check()
    pieces = part(lab, "target-tokens").locator(".fl-piece")
    expect(pieces.first).to_have_text("P", timeout=30_000)
    lab.kernel_exec("lens.method = 'ft'")
    part(lab, "apply").click()
    lab.wait_kernel("lens.status == 'idle' and len(lens.edits) == 1", timeout=60)
    assert lab.kernel_eval("lens.edits[0].facts[0].target == fl.Exactly('Paris') == lens.target")
    expect(part(lab, "exactly")).to_be_checked()
    lab.assert_clean()


def test_mistakes_are_put_right_by_their_buttons(lab: Lab) -> None:
    lab.open(["import factlens as fl", LENS])
    lab.run_all()
    prompt, subject, trace = part(lab, "prompt"), part(lab, "subject"), part(lab, "trace")

    # A subject in other letters: what was written stays, and the button traces what was meant.
    prompt.fill("The Eiffel Tower is in downtown")
    subject.fill("eifel tower")
    trace.click()
    wrong = part(lab, "notice-subject")
    expect(wrong).to_contain_text("Did you mean “Eiffel Tower”?", timeout=30_000)
    expect(subject).to_have_value("eifel tower")
    expect(trace).to_have_attribute("aria-disabled", "false")
    lab.shot("mistake-subject", part(lab, "locate"))
    wrong.get_by_role("button", name="Use “Eiffel Tower”").press("Enter")
    lab.wait_kernel("lens.status == 'idle' and lens.trace is not None and lens.trace.fact.subject == 'Eiffel Tower'")
    expect(wrong).to_be_hidden()
    expect(subject).to_be_focused()

    # A finished sentence with its answer in it.
    prompt.fill("The Eiffel Tower is in downtown Paris.")
    trace.click()
    note = part(lab, "notice-prompt")
    expect(note).to_contain_text("finished sentence", timeout=30_000)
    lab.wait_kernel("lens.status == 'idle' and lens.trace.fact.prompt.endswith('Paris.')")
    for theme in ("dark", "light"):
        lab.set_theme(theme)
        lab.shot(f"mistake-sentence-{theme}", part(lab, "locate"))
    note.get_by_role("button", name="End it before “Paris”").press("Enter")
    lab.wait_kernel("lens.status == 'idle' and lens.trace.fact.prompt == 'The Eiffel Tower is in downtown'")
    expect(note).to_be_hidden()

    # A new object that the model says already.
    part(lab, "target").fill("Paris")
    told = part(lab, "notice-target")
    expect(told).to_contain_text("here already", timeout=30_000)
    way = told.get_by_role("button").first
    other = (way.text_content() or "").removeprefix("Use “").removesuffix("”")
    lab.shot("mistake-target", part(lab, "edit"))
    way.press("Enter")
    expect(part(lab, "target")).to_have_value(other)
    expect(told).to_be_hidden()
    assert lab.kernel_eval("len(lens.edits)") == 0
    lab.assert_clean()
