"""The score of the 2025 challenge: correlation over time, parcel by parcel, without the ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from striate.data import Responses, align, has_truth, membership
from striate.errors import DataError, some
from striate.scores import average, flat, pearson
from striate.scores.challenges import DROPPED

__all__ = ["DROPPED", "official"]


def official(
    truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
) -> Mapping[str, Any]:
    """Correlations of all measured rows that the challenge counts; empty where there are none.

    The first and last five samples of each run are left out, and the runs of a subject are put
    behind each other; of the films of ``ood``, those of one film, and then the mean over films is
    taken. A score is the mean over parcels, then subjects; `by_roi` networks, `by_subject` and
    `by_movie` beside it. In ``official`` a parcel without variance counts 0; ``corrected`` leaves
    it out. ``flat`` counts those.

    Raises
    ------
    DataError
        When rows that count are not predicted; they are counted.

    """
    found = [
        (subject, movie, *_correlations(block, movie, predicted, subject))
        for subject, block in truth.items()
        for movie in _movies(block)
    ]
    if not found:
        return {}
    networks = {s: membership(truth[s]) for s in dict.fromkeys(s for s, *_ in found)}

    def entry(corrected: bool) -> dict[str, Any]:
        kept = [(s, m, np.where(still, np.nan, r) if corrected else r) for s, m, r, still in found]

        def over(values: list[tuple[str, float]]) -> float:
            """Mean over films, then over subjects."""
            people = {s: [v for t, v in values if t == s] for s, _ in values}
            return _mean([_mean(v) for v in people.values()])

        def scored(wanted: str = "") -> list[tuple[str, float]]:
            inside = [(s, r[networks[s][wanted]] if wanted else r) for s, _, r in kept]
            return [(s, _mean(r)) for s, r in inside if len(r)]

        rois = dict.fromkeys(n for t in networks.values() for n in t)
        told: dict[str, Any] = {
            "value": over(scored()),
            "by_roi": {n: over(scored(n)) for n in rois},
            "by_subject": {s: over([(t, v) for t, v in scored() if t == s]) for s in networks},
            "unit": "r",
            "name": "algonauts2025",
            "flat": sum(int(still.sum()) for *_, still in found),
        }
        movies = [m for m in dict.fromkeys(m for _, m, _ in kept) if m]
        if movies:
            told["by_movie"] = {
                m: over([(s, _mean(r)) for s, n, r in kept if n == m]) for m in movies
            }
        return told

    return {"official": entry(False), "corrected": entry(True)}


def _movies(block: Responses) -> list[str]:
    """The films of a block that are scored by themselves, and "" for all others together."""
    rows = _counted(block)
    return list(dict.fromkeys(_alone(block)[rows].tolist()))


def _counted(block: Responses) -> np.ndarray:
    if "scored" not in block.coords or "season" not in block.coords:
        return np.empty(0, dtype=int)
    marked = np.flatnonzero(block["scored"].values.astype(bool))
    return marked[has_truth(block.isel(row=marked))] if len(marked) else marked


def _alone(block: Responses) -> np.ndarray:
    seasons = block["season"].values.astype(str).tolist()
    return np.array([s.removeprefix("ood-") if s.startswith("ood-") else "" for s in seasons])


def _correlations(
    block: Responses, movie: str, predicted: Mapping[str, Responses], subject: str
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of each parcel over the rows of a film (or of all), and which never vary."""
    rows = _counted(block)
    own = block.isel(row=rows[_alone(block)[rows] == movie])
    values = align(own, predicted)
    missing = np.isnan(values).any(axis=1)
    if missing.any():
        runs = dict.fromkeys(own["run"].values[missing].astype(str).tolist())
        raise DataError(
            f"{int(missing.sum())} of {len(missing)} samples of {subject} are not predicted for"
            f" every parcel, of {some(runs)}: add a member that predicts them"
        )
    measured = np.asarray(own.values)
    return pearson(measured, values), flat(measured, values)


def _mean(values: Any) -> float:
    array = np.asarray(values, dtype=np.float64)
    return average(array).value if array.size and not np.isnan(array).all() else float("nan")
