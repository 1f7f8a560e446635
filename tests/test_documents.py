"""The README's lines, the pages and the notebooks: what a user reads is true and runs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import factlens as fl
from factlens.evaluation import METRICS as EDIT_METRICS
from factlens.tracing import METRICS as TRACE_METRICS

ROOT = Path(__file__).parents[1]


def test_the_readmes_lines_run(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"## The ten lines of Python\n\n```python\n(.*?)```", readme, re.DOTALL).group(1)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "Peak(" in printed
    assert "Answer(text=' Paris'" in printed
    assert names["model"].edits == ()


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_files_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "@@" not in text
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    for target in re.findall(r"`([\w./]+/[\w./]+\.(?:md|py|cff|csv|ts))`", text):
        assert any((root / target).exists() for root in (ROOT, page.parent, ROOT / "factlens")), target


def test_the_lines_about_your_own_metrics_run(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    code = re.search(r"## Your own metrics and methods\n.*?```python\n(.*?)```", page, re.DOTALL).group(1)
    for table in (EDIT_METRICS, TRACE_METRICS):
        monkeypatch.setattr(table, "_table", {**table._table})
    model, fact = fl.load("atlas"), fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris")
    names: dict = {"fl": fl, "model": model, "fact": fact, "edit": fl.edit(model, fact, apply=False, steps=5)}
    exec(compile(code, "usage.md", "exec"), names)
    assert "rewrite_odds" in names["report"].summary().index.get_level_values("metric")
    assert fl.trace(model, fact, metric="logit", samples=2).measured.startswith("logit(")
    assert "odds" in EDIT_METRICS


def test_the_lines_for_a_paper_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    code = re.search(r"## For a paper\n.*?```python\n(.*?)```", page, re.DOTALL).group(1)
    monkeypatch.chdir(tmp_path)
    model, fact = fl.load("atlas"), fl.Fact("{} is in downtown", subject="The Space Needle", target="Paris")
    trace, edit = fl.trace(model, fact, samples=2), fl.edit(model, fact, apply=False, steps=5)
    with model.edited(edit):
        after = fl.trace(model, fact, samples=2)
    names = {"fl": fl, "model": model, "fact": fact, "edit": edit, "trace": trace, "after": after}
    exec(compile(code, "usage.md", "exec"), names)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == set(re.findall(r'"(\w+\.(?:pdf|svg|png|csv|tex))"', code))


def test_the_readme_fits_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run(notebook: Path, tmp_path: Path) -> None:
    content = nbformat.read(notebook, as_version=4)
    assert all(not cell.get("outputs") for cell in content.cells), "notebooks are kept without outputs"
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(content, timeout=250, kernel_name="python3", resources=resources).execute()
