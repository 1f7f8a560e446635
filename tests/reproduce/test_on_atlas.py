"""The four experiments on the model that comes with factlens, by the command line: what they find, and after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest

import factlens as fl
from factlens.cli import main
from factlens.models import bundled
from factlens.models import model as model_module
from factlens.reproduce.folder import Folder

ATLAS_FACTS = ["--model", "atlas", "--facts", "atlas-facts"]

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optimise values with few prefixes and continuations: what is asked is which edits work, not how well."""
    few = {"contexts": [[2, 4], [2, 9]], "keep_samples": 2}
    own = bundled.tuned()
    lighter = {name: own[name]._replace(settings=own[name].settings | few) for name in ("rome", "memit")}
    monkeypatch.setattr(model_module, "tuned", lambda: own | lighter)


def run(experiment: str, out: Path, *options: str) -> Path:
    assert main(["reproduce", experiment, *ATLAS_FACTS, "--out", str(out), *options]) == 0
    assert json.loads((out / "provenance.json").read_text())["model"] == "atlas"
    assert list(out.glob("*.svg"))
    return out


def test_traces_have_an_early_and_a_late_site(tmp_path: Path) -> None:
    """As in Figure 2 of Meng et al.: MLPs early at the subject's last token, attention late at the prompt's."""
    out = run("fig2", tmp_path / "fig2", "--limit", "24", "--samples", "5")
    effects = pd.read_csv(out / "effects.csv").set_index(["kind", "role", "layer"]).effect.sort_index()
    here = {
        (kind, role): effects[kind, role].to_numpy()
        for kind in ("state", "mlp", "attn")
        for role in ("last subject token", "last token")
    }
    total = pd.read_csv(out / "headline.csv", index_col=0).loc["ATE", "here"]
    assert 40 < total < 95
    # The early site: what the subject's last token carries is gone after the middle of the network.
    assert here["state", "last subject token"][:4].min() > 0.2
    assert here["state", "last subject token"][6:].max() < 0.15
    assert here["mlp", "last subject token"].argmax() in (1, 2, 3)
    # The late site takes over, by attention.
    assert here["state", "last token"][:3].max() < 0.1
    # There it is everything, but for the later tokens of an object of several.
    assert here["state", "last token"][-1] == pytest.approx(total / 100, abs=0.01)
    assert here["attn", "last token"].argmax() in (3, 4, 5, 6)


@pytest.mark.usefixtures("light")
def test_methods_differ_as_published(tmp_path: Path) -> None:
    """As in Table 4: unedited, no new object is preferred; ROME brings it in and leaves neighbours, FT does not."""
    out = run("table4", tmp_path / "table4", "--limit", "5", "--methods", "ft,rome,memit")
    table = pd.read_csv(out / "table4.csv", index_col=[0, 1]).loc["here"]
    assert list(table.index) == ["unedited", "ft", "rome", "memit"]
    assert list(table.loc["unedited", ["ES", "PS", "NS"]]) == pytest.approx([0, 0, 100], abs=10)
    assert table.loc["unedited", "S"] < 10
    for method in ("ft", "rome", "memit"):
        assert table.loc[method, "ES"] == 100
        assert table.loc[method, "PS"] >= 50
    for method in ("rome", "memit"):
        assert table.loc[method, "NS"] >= max(80, table.loc["ft", "NS"])
        assert table.loc[method, "S"] >= 85
    # The new object's reference texts are more like what is written after an edit.
    assert table.loc["rome", "RS"] > table.loc["unedited", "RS"]
    assert 200 < table.loc["rome", "GE"] < 700


@pytest.mark.usefixtures("light")
def test_the_layer_decides_where_edits_succeed(tmp_path: Path) -> None:
    """As Hase et al. find: edits succeed in the early and middle layers, and fail in the last one."""
    out = run("layer-sweep", tmp_path / "sweep", "--limit", "3", "--layers", "1,3,7", "--samples", "3")
    layers = pd.read_csv(out / "layers.csv", index_col="layer")
    assert list(layers.index) == [1, 3, 7]
    assert layers.rewrite_score.idxmax() in (1, 3)
    assert layers.loc[3, "rewrite_score"] > 0.8
    assert layers.loc[7, "paraphrase_success"] < layers.loc[3, "paraphrase_success"]
    assert layers.tracing_effect.idxmax() in (1, 3)
    assert layers.loc[7, "tracing_effect"] == pytest.approx(0, abs=1e-4), "nothing reads that state any more"
    explained = pd.read_csv(out / "explained.csv", index_col="explained by")["R²"]
    assert 0 <= explained["layer"] <= explained["layer and tracing effect"] <= 1


def test_fine_tuning_over_and_over_ruins_the_model(tmp_path: Path) -> None:
    out = run("sequential", tmp_path / "sequential", "--limit", "30", "--methods", "ft", "--every", "10")
    curve = pd.read_csv(out / "curve.csv").set_index("edits")
    assert list(curve.index) == [0, 10, 20, 30]
    assert curve.healthy[0] == 1
    assert curve.healthy.is_monotonic_decreasing
    assert curve.healthy[30] < 0.6
    assert curve.kl[30] > curve.kl[10] > 0.1
    assert curve.perplexity[30] > curve.perplexity[10]
    assert curve.rewrite_success[30] > 0.8, "the edits themselves hold"


HANGING = """
import sys, time
from factlens.cli import main
from factlens.reproduce.folder import Folder

def progress(self, what):
    tell = real(self, what)

    def told(done, total):
        tell(done, total)
        if what == stage and done == last:
            print("here it hangs", flush=True)
            time.sleep(600)

    return told

stage, last, real = sys.argv[1], int(sys.argv[2]), Folder.progress
Folder.progress = progress
sys.exit(main(sys.argv[3:]))
"""
"""A command that goes on until so many of its pieces are there, and then waits to be killed."""


@pytest.mark.parametrize(
    ("experiment", "options", "stage", "pieces", "table"),
    [
        ("fig2", ["--limit", "3", "--samples", "2"], "traces", "traces/*", "effects.csv"),
        ("table4", ["--limit", "1", "--methods", "ft,ft_l"], "records", "outcomes.jsonl", "metrics.csv"),
        (
            "layer-sweep",
            ["--limit", "1", "--method", "ft", "--layers", "2,3", "--samples", "2"],
            "edits",
            "outcomes.jsonl",
            "layers.csv",
        ),
        ("sequential", ["--limit", "3", "--methods", "ft", "--every", "1"], "ft", "edits/*", "curve.csv"),
    ],
)
def test_killed_it_goes_on_where_it_was(
    experiment: str, options: list[str], stage: str, pieces: str, table: str, tmp_path: Path
) -> None:
    """A real process, killed without warning when the first pieces lie on disk, and once while it writes a line."""
    out = tmp_path / "killed"
    asked = ["reproduce", experiment, *ATLAS_FACTS, "--out", str(out), *options]
    last = "2" if experiment == "sequential" else "1"
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING, stage, last, *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert "here it hangs\n" in process.stdout, "it was through before it could be killed"
        with pytest.raises(fl.FactlensError, match="Another process"), Folder(out).alone():
            pass
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob(pieces)}
    assert before
    assert not (out / table).exists()
    torn = [path for path in before if path.suffix == ".jsonl"]
    for path in torn:
        path.write_bytes(before[path][1] + before[path][1][:99])
    with pytest.warns(UserWarning, match="unfinished or damaged") if torn else nullcontext():
        run(experiment, out, *options)
    for path, (changed, content) in before.items():
        if path.suffix == ".jsonl":
            # Records are added behind those that were there, of which the kill has cut off the last.
            now = path.read_bytes()
            assert now.startswith(content)
            keys = [json.loads(line)["key"] for line in now.splitlines() if line.endswith(b"}")]
            assert len(keys) == len(set(keys)), "no record was judged twice"
        else:
            assert path.stat().st_mtime_ns == changed, "a piece that was there was computed again"
    fresh = run(experiment, tmp_path / "fresh", *options)
    pd.testing.assert_frame_equal(pd.read_csv(out / table), pd.read_csv(fresh / table), rtol=1e-4, atol=1e-6)
