"""The browser for the tests: find one that runs, or get one.

    python scripts/browser.py          # find or install, check that it renders, print its path

The order: $FACTLENS_CHROMIUM; a Chromium or Chrome on the PATH; the one Playwright has downloaded before.
Where none of these runs: Playwright's download, then the system's package, if we are root. Otherwise fail and say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOWNLOADS = ROOT / ".cache" / "playwright"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VARIABLE = "FACTLENS_CHROMIUM"
#: No sandbox: it cannot be had as root or in most containers. No talking to anyone but us.
ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
HELP = f"""\
The tests drive JupyterLab in a real Chromium, and none was found or could be installed.
Install one (Debian: apt-get install chromium; Fedora: dnf install chromium; macOS: brew install --cask chromium),
or set {VARIABLE} to the path of a Chromium or Chrome executable."""


def candidates() -> Iterator[Path]:
    """Every executable worth a try, the best first."""
    for name in NAMES:
        if found := shutil.which(name):
            yield Path(found)
    for pattern in ("chrom*/chrome*/chrome", "chrom*/chrome*/*.app/Contents/MacOS/*", "chrom*/chrome*/chrome.exe"):
        yield from sorted(DOWNLOADS.glob(pattern), reverse=True)


def renders(path: Path) -> bool:
    """Whether this browser starts and draws a page."""
    with tempfile.TemporaryDirectory(prefix="factlens-browser-", ignore_cleanup_errors=True) as profile:
        page = "data:text/html,<p id=x></p><script>x.textContent='rend'+'ers'</script>"
        command = [str(path), "--headless", *ARGS, f"--user-data-dir={profile}", "--dump-dom", page]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError):
            return False
    return "renders" in done.stdout.replace("'rend'+'ers'", "")


def find() -> Path | None:
    """The browser to use. A wrong $FACTLENS_CHROMIUM is an error, not a reason to look further."""
    if named := os.environ.get(VARIABLE):
        if not renders(Path(named)):
            sys.exit(f"{VARIABLE}={named} does not run or does not render a page")
        return Path(named)
    return next((path for path in candidates() if renders(path)), None)


def download() -> None:
    """Playwright's own Chromium; fails quietly where its servers cannot be reached."""
    print("no Chromium found: trying Playwright's download", file=sys.stderr, flush=True)
    environment = {**os.environ, "PLAYWRIGHT_BROWSERS_PATH": str(DOWNLOADS)}
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        subprocess.run(command, env=environment, timeout=300, check=False, stdout=sys.stderr)
    except subprocess.TimeoutExpired:
        print("the download took too long", file=sys.stderr)


def system_package() -> None:
    """Debian's or Ubuntu's package; needs root."""
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")):
        return
    print("trying apt-get install chromium", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        subprocess.run(["apt-get", "-qq", *command], env=environment, check=False, stdout=sys.stderr)


def ensure() -> Path:
    """The browser to use, installed if need be; ends the program where there is no way to one."""
    if path := find():
        return path
    for get in (download, system_package):
        get()
        if path := find():
            return path
    sys.exit(HELP)


if __name__ == "__main__":
    print(ensure())
