"""The score of the 2025 challenge: correlation over time, parcel by parcel, without the ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from striate.data import Responses, align, has_truth, membership
from striate.datasets.scored import Share
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

    Parcels, runs and subjects that were not predicted at all are left out; the score of the others
    is then called ``partial``, and tells of both how many were ``not_predicted`` (for runs,
    ``runs_not_predicted``): see `Share`.

    Raises
    ------
    DataError
        When a parcel is predicted on some rows only of the runs that are; samples are counted.

    """
    share, runs, lost = Share("samples"), 0, 0
    found = []
    for subject, block in truth.items():
        rows = _counted(block)
        if not len(rows):
            continue
        own = block.isel(row=rows)
        values = align(own, predicted)
        kept, silent = _judged(own, values, subject)
        runs += len(set(own["run"].values))
        lost += len(set(own["run"].values)) - len(set(own["run"].values[kept]))
        share.count(int(silent.sum()), len(silent))
        films = _alone(own)
        for movie in dict.fromkeys(films[kept].tolist()):
            at = np.flatnonzero(kept & (films == movie))
            measured, guess = np.asarray(own.isel(row=at).values), values[at]
            r, still = np.full(len(silent), np.nan), np.zeros(len(silent), dtype=bool)
            r[~silent] = pearson(measured[:, ~silent], guess[:, ~silent])
            still[~silent] = flat(measured[:, ~silent], guess[:, ~silent])
            found.append((subject, movie, r, still))
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

    told = share.told(entry(False), entry(True))
    if not lost:
        return told
    both = {"partial" if n == "official" else n: e for n, e in told.items()}
    counts = {"not_predicted": share.not_predicted, "of": share.of}
    return {n: {**e, **counts, "runs_not_predicted": lost, "runs": runs} for n, e in both.items()}


def _counted(block: Responses) -> np.ndarray:
    if "scored" not in block.coords or "season" not in block.coords:
        return np.empty(0, dtype=int)
    marked = np.flatnonzero(block["scored"].values.astype(bool))
    return marked[has_truth(block.isel(row=marked))] if len(marked) else marked


def _alone(block: Responses) -> np.ndarray:
    """The film that a row is scored with by itself, "" for all others together."""
    seasons = block["season"].values.astype(str).tolist()
    return np.array([s.removeprefix("ood-") if s.startswith("ood-") else "" for s in seasons])


def _judged(
    block: Responses, values: Float[np.ndarray, "row target"], subject: str
) -> tuple[Bool[np.ndarray, " row"], Bool[np.ndarray, " target"]]:
    """Rows of the runs that were predicted, and parcels that were not, in none of these."""
    gaps, runs = np.isnan(values), block["run"].values.astype(str)
    predicted = set(runs[~gaps.all(axis=1)].tolist())
    kept = np.array([r in predicted for r in runs.tolist()], dtype=bool)
    silent = gaps.all(axis=0)
    missing = kept & gaps[:, ~silent].any(axis=1)
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} of {int(kept.sum())} samples of {subject} are not predicted for"
            f" every parcel, of {some(list(dict.fromkeys(runs[missing].tolist())))}: predict all"
            " samples of a parcel, or none"
        )
    return kept, silent


def _mean(values: Any) -> float:
    array = np.asarray(values, dtype=np.float64)
    return average(array).value if array.size and not np.isnan(array).all() else float("nan")
