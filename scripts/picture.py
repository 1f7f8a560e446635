"""Take the README's picture of the lens: ``python -m scripts.picture``. Look at it before you commit it.

A real JupyterLab with a real kernel: a fact is traced, a cell selected, an edit applied.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect, expect

from scripts.kernels import INSTALLED
from tests.e2e.harness import JupyterServer, Lab, launch_browser

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "lens.png"
CELL = """import factlens as fl
lens = fl.Lens(fl.load("atlas"), fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris"))
lens"""
SELECT = "lens.selection = {'kind': 'mlp', 'token': lens.trace.subject_range[1] - 1, 'layer': 3}"
MARGIN = 8


def take(lab: Lab, path: Path) -> None:
    """Trace, select, edit, and photograph all but what is judged."""
    page = lab.page
    lab.open([CELL], INSTALLED)
    page.evaluate("async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }")
    lab.run_all()
    page.get_by_test_id("factlens-trace").click()
    expect(page.get_by_test_id("factlens-heatmap")).to_have_attribute("data-complete", "true", timeout=60_000)
    lab.kernel_exec(SELECT)
    lab.wait_kernel("lens.details is not None")
    page.get_by_test_id("factlens-apply").click()
    expect(page.get_by_test_id("factlens-edited-badge")).to_be_visible(timeout=60_000)
    expect(page.locator(".factlens-bars .bar").first).to_be_visible()
    # Off the lens, and with the focus elsewhere; bqplot moves its bars for a while.
    page.mouse.click(600, 2300)
    page.wait_for_timeout(3000)
    # The last row of the lens has what the selected cell knows; what is judged stands above it.
    lens, below = (page.locator(f".factlens-{name}").last.bounding_box() for name in ("lens", "below"))
    assert lens is not None
    assert below is not None
    page.screenshot(
        path=path,
        clip=FloatRect(
            x=lens["x"] - MARGIN,
            y=lens["y"],
            width=lens["width"] + 2 * MARGIN,
            height=below["y"] + below["height"] - lens["y"],
        ),
    )


def main() -> int:
    """Take it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        JupyterServer(Path(folder)) as server,
        launch_browser() as browser,
        Lab(browser, server, viewport=(1240, 2600)) as lab,
    ):
        take(lab, PICTURE)
    print(f"wrote {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
