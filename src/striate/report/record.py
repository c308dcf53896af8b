"""The record of a run: scores, what was fitted on what, and the folder that explains itself."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Responses, merge
from striate.errors import FileError
from striate.store import load_responses, save_responses

PARTS = ("summary", "fits", "machine")


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
    folder: Path | None = None

    @classmethod
    def read(cls, folder: Path) -> Report:
        """The record of a finished run, from its folder; the truth is not kept there."""
        if not (folder / "summary.json").is_file():
            raise FileError(
                f"{folder} is no run: it holds no summary.json; name a folder of `--out`"
            )
        try:
            parts = {n: json.loads((folder / f"{n}.json").read_text("utf-8")) for n in PARTS}
            scores = pd.read_csv(folder / "scores.csv")
            recipe = (folder / "recipe.toml").read_text("utf-8")
        except (OSError, ValueError) as error:
            raise FileError(f"the run in {folder} is damaged ({error}); run it again") from error
        places = sorted((folder / "predictions").iterdir())
        blocks = merge([load_responses(p) for p in places])
        return cls(recipe, scores=scores, predicted=blocks, folder=folder, **parts)

    def in_words(self) -> str:
        """The result in a few lines, as the command line prints it."""
        lines = []
        for name, entry in self.summary["scores"].items():
            middle = entry.get("median", entry.get("value"))
            text = "not defined" if middle is None else f"{middle:.4g}"
            low_high = entry.get("resampled", {}).get("interval")
            text += f" [{low_high[0]:.4g}, {low_high[1]:.4g}]" if low_high else ""
            if "normalised" in entry:
                text += f", {100 * entry['normalised']['median']:.1f} % of the ceiling"
            regions = entry.get("by_roi", {})
            parts = [
                f"{roi} {v['median'] if isinstance(v, Mapping) else v:.4g}"
                for roi, v in list(regions.items())[:12]
            ]
            lines.append(f"{name:15s} {text}" + (f"  ({', '.join(parts)})" if parts else ""))
        lines.append(f"report          {self.folder}/report.html")
        return "\n".join(lines)

    def write(self, folder: Path) -> Path:
        """Write the run's folder at once: under a temporary name, then renamed."""
        from striate.report.page import write_page

        folder.parent.mkdir(parents=True, exist_ok=True)
        target, k = folder, 2
        while target.exists():
            target, k = folder.with_name(f"{folder.name}-{k}"), k + 1
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            (part / "recipe.toml").write_text(self.recipe, encoding="utf-8")
            (part / "summary.json").write_text(as_json(self.summary), encoding="utf-8")
            (part / "machine.json").write_text(as_json(self.machine), encoding="utf-8")
            (part / "fits.json").write_text(as_json(list(self.fits)), encoding="utf-8")
            self.scores.to_csv(part / "scores.csv", index=False, float_format="%.6g")
            for subject, block in self.predicted.items():
                save_responses(part / "predictions" / (subject or "all"), block)
            write_page(self, part)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return target


def as_json(value: Any) -> str:
    """JSON for people and programs: NaN becomes null, numbers keep six digits after the point."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if math.isfinite(value) else None
    return value if isinstance(value, int | str) or value is None else str(value)
