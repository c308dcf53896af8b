"""The record of a run: scores, what was fitted on what, predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from striate.data import Responses
from striate.report.looks import Looks


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that came out of a run.

    Parameters
    ----------
    recipe
        The fully resolved recipe, as TOML.
    summary
        The headline numbers; see `summary.json` of a run.
    scores
        One line per member, subject, target and score; see `striate.scores.score_table`.
    fits
        One entry per fit: call, member, stimuli, targets, seconds, notes of steps and encoder.
    predicted
        Predictions of the answer by subject: pooled over folds, and hidden rows.
    truth
        Prepared responses by subject.
    machine
        Versions, device, seconds, peak memory.
    looks
        What the features see of one stimulus; None where there is no picture, and of a run that
        was read back.
    folder
        Where it was written; None before.

    """

    recipe: str
    summary: Mapping[str, Any]
    scores: pd.DataFrame
    fits: Sequence[Mapping[str, Any]] = ()
    predicted: Mapping[str, Responses] = field(default_factory=dict)
    truth: Mapping[str, Responses] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    looks: Looks | None = None
    folder: Path | None = None

    def in_words(self) -> str:
        """The result in a few lines, as the command line prints it."""
        lines = []
        for name, entry in self.summary["scores"].items():
            middle = entry.get("median", entry.get("value"))
            text = "not defined" if middle is None else f"{middle:.4g}"
            text += " %" if entry.get("unit") == "percent" else ""
            low_high = entry.get("resampled", {}).get("interval")
            text += f" [{low_high[0]:.4g}, {low_high[1]:.4g}]" if low_high else ""
            if "normalised" in entry:
                text += f", {100 * entry['normalised']['median']:.1f} % of the ceiling"
            if entry.get("not_predicted"):
                of = f" of {entry['of']}" if entry.get("of") else ""
                text += f", {entry['not_predicted']}{of} targets not predicted"
            regions = entry.get("by_roi", {})
            parts = [
                f"{roi} {v:.4g}"
                for roi, found in list(regions.items())[:12]
                if (v := found.get("median") if isinstance(found, Mapping) else found) is not None
            ]
            lines.append(f"{name:15s} {text}" + (f"  ({', '.join(parts)})" if parts else ""))
        if gone := self.summary.get("left_out"):
            first, rows = gone["stimuli"][0], sum(gone["rows"].values())
            lines.append(
                f"left out        {first['stimulus']} ({len(gone['stimuli'])} in all, with {rows}"
                f" rows): {first['error']}"
            )
        lines.append(f"report          {self.folder}/report.html")
        return "\n".join(lines)
