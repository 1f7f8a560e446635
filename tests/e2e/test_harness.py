"""The harness itself: what the other browser tests lean on."""

from __future__ import annotations

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.kernels import KERNELS, PINNED
from tests.e2e.harness import MISSED, Lab

# The thread that hears requests is busy for a second, and then looks at its socket in passing: whatever has come
# meanwhile is not heard. It is what happens by chance when a reply is sent, made certain.
MISS = """
import time, zmq
ear = get_ipython().kernel.shell_channel_thread
def miss():
    time.sleep(1)
    ear._shell_socket.getsockopt(zmq.EVENTS)
ear.io_loop.add_callback(ear.io_loop.call_later, 0.2, miss)
"""

VERSION = "from importlib.metadata import version; import ipykernel; print(ipykernel.__version__)"


def test_kernels_differ() -> None:
    assert len(set(KERNELS.values())) == len(KERNELS) == 2


def test_lab_runs_cells_on_each_kernel(lab: Lab, kernel: str) -> None:
    lab.open([VERSION, "import time; time.sleep(1); answer = 41", "answer + 1"], kernel)
    lab.run_cell(0)
    assert lab.output_text(0).strip() == KERNELS[kernel]
    assert lab.kernel_eval("ipykernel.__version__") == KERNELS[kernel]
    began = time.monotonic()
    lab.run_cell(1)
    assert time.monotonic() - began >= 1
    assert lab.kernel_eval("{'answer': answer, 'list': [1.5, None]}") == {"answer": 41, "list": [1.5, None]}
    lab.kernel_exec("answer = 12")
    lab.run_cell(2)
    assert lab.output_text(2) == "13"
    assert lab.shot("page").stat().st_size > 10_000
    lab.assert_clean()


def test_the_kernel_answers_while_a_cell_runs(lab: Lab, kernel: str) -> None:
    lab.open(["seen = 0\nimport time\nwhile not seen: time.sleep(0.05)"], kernel)
    run = lab.start_cell(0)
    assert lab.wait_kernel("'seen' in globals()", busy=True)
    assert lab.running(run)
    lab.kernel_exec("seen = 1", busy=True)
    lab.wait_run(run)
    assert not lab.running(run)
    lab.assert_clean()


def test_a_started_cell_has_begun(lab: Lab) -> None:
    """Whatever else the kernel is busy with: what follows may rely on the cell being the one that runs."""
    lab.open(["import time; time.sleep(600)"])
    link = lab._kernel()
    with ThreadPoolExecutor(1) as thread:
        before = thread.submit(link.execute, "import time; time.sleep(6); through = time.time()")
        lab.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"
        )
        run = lab.start_cell(0)
        started = time.time()
        before.result()
    assert started > lab.kernel_eval("through", busy=True)
    assert lab.running(run)
    assert lab.woken == 0
    lab.interrupt()
    lab.wait_run(run)


def test_what_the_kernel_has_missed_is_done_all_the_same(lab: Lab) -> None:
    lab.open(["answer = 42\nimport time; time.sleep(600)"], PINNED)
    lab.kernel_exec(MISS)
    lab.page.wait_for_timeout(500)
    began = time.monotonic()
    assert lab.kernel_eval("6 * 7") == 42
    assert time.monotonic() - began >= MISSED, "it was not missed"

    lab.kernel_exec(MISS)
    lab.page.wait_for_timeout(500)
    woken = lab.woken
    run = lab.start_cell(0)
    assert lab.woken > woken, "it was not missed"
    assert lab.wait_kernel("globals().get('answer')", busy=True) == 42
    assert lab.running(run)
    lab.interrupt()
    lab.wait_run(run)


def test_errors_are_errors(lab: Lab) -> None:
    lab.open(["1 / 0"])
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.run_cell(0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.run_all()
    with pytest.raises(RuntimeError, match="NameError"):
        lab.kernel_eval("nothing_here")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        lab.kernel_exec("1 / 0")


def test_interrupt_and_restart(lab: Lab) -> None:
    lab.open(["import time\nhere = 1\ntime.sleep(600)"])
    run = lab.start_cell(0)
    lab.wait_kernel("'here' in globals()", busy=True)
    lab.interrupt()
    lab.wait_run(run, timeout=30)
    # The run may be known to be over a moment before its last output is there.
    deadline = time.monotonic() + 30
    while not lab.errors(0) and time.monotonic() < deadline:
        lab.page.wait_for_timeout(50)
    assert "KeyboardInterrupt" in lab.errors(0)[0]
    assert lab.kernel_eval("here") == 1
    lab.restart_kernel()
    assert lab.kernel_eval("'here' in globals()") is False


def test_a_copy_is_opened_and_the_original_left_alone(lab: Lab, tmp_path: Path) -> None:
    original = tmp_path / "original.ipynb"
    text = (
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": ['
        '{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# title"},'
        '{"cell_type": "code", "id": "b", "metadata": {}, "source": "6 * 7", "outputs": [], "execution_count": null}]}'
    )
    original.write_text(text)
    copy = lab.open(original)
    lab.run_all()
    assert lab.output_text(1) == "42"
    assert "42" in lab.output(1).inner_text()
    assert lab.save()["cells"][1]["outputs"][0]["data"]["text/plain"] in ("42", ["42"])
    assert original.read_text() == text
    assert copy != original
    lab.assert_clean()


def test_theme_switches_and_does_not_outlive_the_page(lab: Lab) -> None:
    lab.open(["1"])
    colour = "() => getComputedStyle(document.body).getPropertyValue('--jp-layout-color1').trim()"
    light = lab.page.evaluate(colour)
    lab.set_theme("dark")
    dark = lab.page.evaluate(colour)
    assert light != dark
    assert lab.page.evaluate("() => document.body.dataset.jpThemeName") == "JupyterLab Dark"
    lab.shot("dark")
    lab.assert_clean()
    lab.close()
    settings = lab.server.api("/lab/api/settings/@jupyterlab/apputils-extension:themes")
    assert settings["settings"]["theme"] == "JupyterLab Light"


def test_problems_and_requests_are_noticed(lab: Lab) -> None:
    lab.open(["1"])
    lab.page.evaluate("() => { console.warn('a warning'); fetch('https://example.org/x').catch(() => {}); }")
    lab.page.wait_for_timeout(300)
    assert ("warning", "a warning") in [(p.kind, p.text) for p in lab.problems()]
    assert lab.external == ["https://example.org/x"]
    with pytest.raises(AssertionError):
        lab.assert_clean()


def test_notebook_7(notebook7: Lab) -> None:
    page = notebook7
    page.open([VERSION, "6 * 7"])
    page.run_all()
    assert page.output_text(1) == "42"
    page.set_theme("dark")
    page.shot("dark")
    page.assert_clean()


def test_the_server_stands_alone(lab: Lab) -> None:
    with urllib.request.urlopen(lab.server.url + "/api/kernelspecs", timeout=10) as answer:
        names = answer.read().decode()
    for name in KERNELS:
        assert name in names
