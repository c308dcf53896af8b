"""The folder of a run, which explains itself: written at once, and read back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import merge
from striate.errors import FileError
from striate.report.page import write_page
from striate.report.partition import families, table_of
from striate.report.record import Report
from striate.report.weights import weights
from striate.store import load_responses, save_responses
from striate.store.temporary import sweep, temporary

PARTS = ("summary", "fits", "machine")


def write_run(report: Report, folder: Path) -> Path:
    """Write a run's folder under a temporary name, then rename it; returns the folder.

    A folder that is there already is kept: the new one gets a number.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    with temporary(folder.parent) as part:
        part.mkdir()
        (part / "recipe.toml").write_text(report.recipe, encoding="utf-8")
        for name in PARTS:
            (part / f"{name}.json").write_text(as_json(getattr(report, name)), encoding="utf-8")
        report.scores.to_csv(part / "scores.csv", index=False, float_format="%.6g")
        weighed = weights(report.fits)
        if len(weighed):
            weighed.to_csv(part / "weights.csv", index=False, float_format="%.6g")
        if found := families(report):
            parts = table_of(found)
            parts.to_csv(part / "partition.csv", index=False, float_format="%.6g")
        for k, (subject, block) in enumerate(report.predicted.items()):
            # A subject's name comes from the user's files and may not be fit for a path.
            plain = re.sub(r"[^\w.-]+", "_", subject).strip(".") or "all"
            place = part / "predictions" / plain
            save_responses(place.with_name(f"{plain}-{k}") if place.exists() else place, block)
        write_page(report, part)
        target, k = folder, 2
        while target.exists():
            target, k = folder.with_name(f"{folder.name}-{k}"), k + 1
        part.rename(target)
    return target


def read_run(folder: Path) -> Report:
    """The record of a finished run; the truth is not kept in its folder.

    Raises
    ------
    FileError
        When the folder is no run, or damaged.

    """
    if not (folder / "summary.json").is_file():
        raise FileError(f"{folder} is no run: name a folder that holds a summary.json")
    try:
        parts = {n: json.loads((folder / f"{n}.json").read_text("utf-8")) for n in PARTS}
        other = [n for n, v in parts.items() if not isinstance(v, list if n == "fits" else dict)]
        if other:
            raise ValueError(f"{other[0]}.json holds something else")
        scores = pd.read_csv(folder / "scores.csv")
        recipe = (folder / "recipe.toml").read_text("utf-8")
        places = sorted((folder / "predictions").iterdir())
    except (OSError, ValueError) as error:
        raise FileError(f"the run in {folder} is damaged ({error}); run it again") from error
    blocks = merge([load_responses(p) for p in places])
    return Report(recipe, scores=scores, predicted=blocks, folder=folder, **parts)


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
