"""Features of a run: what was extracted, at what speed and precision, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.report.markup import folded, paragraph, table
from striate.report.record import Report
from striate.report.words import count, duration, number

FEW, MOST = 12, 200
"""Stimuli left out that are listed openly, and at all."""
HEAD = [
    "features",
    "extracted now",
    "found in the store",
    "spaces",
    "type",
    "time",
    "stimuli per second",
    "MB on disk",
    "rounding error",
]


def features(report: Report) -> list[str]:
    """Tables of the features and of the stimuli left out, for a section of the page."""
    lines = [_line(n, f) for n, f in report.machine.get("features", {}).items()]
    parts = [table(HEAD, lines, words=(0, 4))] if lines else []
    if any(line[-1] for line in lines):
        parts.append(
            paragraph(
                "The rounding error is the largest difference that half precision makes to a value,"
                " relative to the root mean square of the values stored with it. Times are summed"
                " over workers.",
                "soft",
            )
        )
    return [*parts, *_left_out(report.summary.get("left_out", {}))]


def _line(name: str, found: Mapping[str, Any]) -> list[str]:
    extracted, seconds = found.get("extracted", 0), found.get("seconds", 0)
    return [
        name,
        f"{extracted:,}",
        f"{found.get('found', 0):,}",
        f"{found.get('spaces', 0):,}",
        ", ".join(found.get("dtypes", ())),
        duration(seconds) if extracted else "",
        number(extracted / seconds) if extracted and seconds else "",
        number(found.get("bytes", 0) / 1e6),
        "" if found.get("rounding") is None else number(found["rounding"]),
    ]


def _left_out(found: Mapping[str, Any]) -> list[str]:
    gone = found.get("stimuli", [])
    if not gone:
        return []
    rows = {s: n for s, n in found.get("rows", {}).items() if n}
    told = ", ".join(f"{n:,}" + (f" of {s}" if s else "") for s, n in rows.items())
    lines = [[g["stimulus"], g["file"], g["error"]] for g in gone[:MOST]]
    shown = table(["left out", "file", "reason"], lines, words=(0, 1, 2))
    more = f"; the first {MOST} are listed, all are in summary.json" if len(gone) > MOST else ""
    return [
        paragraph(
            f"The features of {count(len(gone), 'stimulus')} could not be computed, so they were"
            f" left out with the rows that answer to them ({told or 'none'}){more}.",
            "warn",
        ),
        shown if len(lines) <= FEW else folded(f"Stimuli left out ({len(gone):,})", shown),
    ]
