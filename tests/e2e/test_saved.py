"""What is left of a lens in a saved notebook: a picture, wherever it is opened and whoever trusts it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Locator, expect

from tests.e2e.harness import JupyterServer, Lab

CELLS = [
    "import factlens as fl\nmodel = fl.load('atlas')",
    "lens = fl.Lens(model, fl.Fact('{} is in downtown', 'The Space Needle'))\nlens",
    "fl.trace(model, fl.Fact('{} is in', 'The Space Needle'))",
]
PICTURE = "[class^=factlens-picture-] img"


def traced(lab: Lab, kernel: str) -> dict:
    """Trace in the lens, save, and return the notebook as it lies on the disk."""
    lab.open(CELLS, kernel)
    lab.run_all()
    lab.page.get_by_test_id("factlens-trace").click()
    expect(lab.page.get_by_test_id("factlens-heatmap")).to_have_attribute("data-complete", "true", timeout=60_000)
    lab.wait_kernel("lens.status == 'idle'")
    # The picture reaches the notebook after the last frame reached the page.
    lab.page.wait_for_function("document.querySelector('[class^=factlens-picture-] img') !== null")
    return lab.save()


def test_a_picture_is_saved_and_hidden_while_the_lens_lives(lab: Lab, kernel: str) -> None:
    notebook = traced(lab, kernel)
    assert lab.page.locator(PICTURE).count() == 1
    expect(lab.page.locator(PICTURE)).to_be_hidden()
    expect(lab.page.get_by_test_id("factlens-heatmap")).to_be_visible()
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    (saved,) = [o for o in outputs if "factlens-picture" in "".join(o.get("data", {}).get("text/html", ""))]
    html = "".join(saved["data"]["text/html"])
    (data,) = re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", html)
    root = ElementTree.fromstring(base64.b64decode(data))
    words = " ".join(root.itertext())
    assert "The Space Needle is in downtown → Seattle" in words
    assert "run its cell" in html
    lab.assert_clean()


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_reopened_notebook_shows_its_pictures_without_a_kernel(
    lab: Lab, new_page: Callable[[JupyterServer], Lab], request: pytest.FixtureRequest, app: str
) -> None:
    """Nobody trusts the copy: it was written by hand, so its HTML goes through the sanitizer."""
    notebook = traced(lab, "ipykernel-installed")
    server = request.getfixturevalue(f"{app}_server")
    copy = server.root / f"reopened-{app}.ipynb"
    notebook["metadata"]["kernelspec"] = {"name": "gone", "display_name": "gone", "language": "python"}
    copy.write_text(json.dumps(notebook))
    again = new_page(server)
    again.page.goto(f"{server.url}/{'lab/tree' if app == 'lab' else 'notebooks'}/{copy.name}")
    # It asks which kernel to take, and gets no answer. A busy machine takes its time until then.
    expect(again.page.locator(".jp-Dialog")).to_be_visible(timeout=60_000)
    shown_whole(again.page.locator("img[alt^='Causal tracing']"))
    again.shot("reopened")


def shown_whole(pictures: Locator) -> None:
    """The lens's picture and the trace's: in sight, and images rather than frames with a cross."""
    expect(pictures).to_have_count(2)
    for picture in pictures.all():
        expect(picture).to_be_visible()
        assert picture.evaluate("(one) => one.decode().then(() => one.naturalWidth)") > 200


def test_a_converted_notebook_shows_its_pictures_offline(lab: Lab, browser: Browser, tmp_path: Path) -> None:
    notebook = nbformat.reads(json.dumps(traced(lab, "ipykernel-installed")), 4)
    html, _ = HTMLExporter().from_notebook_node(notebook)
    (tmp_path / "notebook.html").write_text(html, "utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((tmp_path / "notebook.html").as_uri(), wait_until="domcontentloaded")
    shown_whole(page.locator("img[alt^='Causal tracing']"))
    context.close()
