"""The page that one wants to look at: a run in one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from striate.report.record import Report


def write_page(report: Report, folder: Path) -> None:
    """Write ``report.html`` into the run's folder."""
    summary = report.summary
    (folder / "report.html").write_text(
        f"<!doctype html><title>striate</title><pre>{summary}</pre>", encoding="utf-8"
    )
