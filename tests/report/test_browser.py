"""A real browser loads the page, at the desk and on a phone, without a complaint."""

import os
import shutil
import subprocess
import tempfile

import pytest

from striate.report.page import write_page

from .made import ridge_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update --enable-logging=stderr --v=0"
)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")
def test_a_browser_loads_the_page_silently(tmp_path):
    write_page(ridge_report(targets=20, rows=20), tmp_path)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [
                BROWSER, *QUIET.split(), f"--user-data-dir={profile}", "--dump-dom",
                (tmp_path / "report.html").as_uri(),
            ],
            capture_output=True, text=True, timeout=100, env=os.environ, check=True,
        )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    assert "<h1>A run of" in done.stdout
    assert done.stdout.count("<img ") == 4
