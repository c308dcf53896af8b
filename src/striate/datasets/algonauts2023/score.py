"""The score of the 2023 challenge, pooled over all vertices of all subjects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import Responses, align, has_truth, membership
from striate.errors import DataError, some
from striate.scores import average, pearson
from striate.scores.challenges import algonauts2023


def score(
    truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
) -> dict[str, dict[str, Any]]:
    """``official`` and ``corrected``, in percent; empty without truth or ceilings.

    ``official``: 100·max(r, 0)² / ceiling, at most 100, where a ceiling of 0 counts as 1e-14;
    ``corrected``: 100·r·|r| / ceiling within ±100, without vertices whose ceiling is 0. ``value``
    is the mean over all vertices; ``vertices`` counts them, ``not_predicted`` targets without any
    prediction, ``without_ceiling`` those of unknown ceiling: both are left out.

    Raises
    ------
    DataError
        When a target is predicted on some of the rows only; what lacks is counted.

    """
    told: dict[str, list[np.ndarray]] = {"official": [], "corrected": []}
    tables: list[pd.DataFrame] = []
    unscored = {"not_predicted": 0, "without_ceiling": 0}
    zeros = 0
    for subject, block in truth.items():
        if "ceiling" not in block.coords or not block.size:
            continue
        known = block.isel(row=np.flatnonzero(has_truth(block)))
        if not len(known):
            continue
        r, silent = _correlations(subject, known, predicted)
        ceiling = known.ceiling.values.astype(np.float64)
        use = ~silent & ~np.isnan(ceiling)
        unscored["not_predicted"] += int(silent.sum())
        unscored["without_ceiling"] += int(np.isnan(ceiling).sum())
        zeros += int((ceiling[use] == 0).sum())
        told["official"].append(algonauts2023(r[use], ceiling[use]))
        told["corrected"].append(
            algonauts2023(r[use], ceiling[use], zeros_left_out=True, signed=True)
        )
        tables.append(membership(known)[use].assign(**{"": subject}))
    if not sum(map(len, tables)):
        return {}
    table = pd.concat(tables)
    whose, inside = table.pop(""), table.eq(True)
    return {
        name: _told(np.concatenate(values), inside, whose.to_numpy(str))
        | {"zero_ceilings": zeros}
        | unscored
        for name, values in told.items()
    }


def _correlations(
    subject: str, block: Responses, predicted: Mapping[str, Responses]
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of each target over all rows, and which targets were not predicted at all."""
    values = align(block, predicted)
    gaps = np.isnan(values)
    silent = gaps.all(axis=0)
    missing = int(gaps[:, ~silent].sum())
    if missing:
        named = block.target.values[~silent & gaps.any(axis=0)]
        raise DataError(
            f"{missing} of {values[:, ~silent].size} predictions of {subject} are NaN, among them"
            f" of {some(named.tolist(), 1)}: predict all rows of a target"
        )
    r = np.zeros(len(silent))
    if not silent.all():
        r[~silent] = pearson(block.values[:, ~silent], values[:, ~silent])
    return r, silent


def _told(
    values: Float[np.ndarray, " target"], inside: pd.DataFrame, whose: np.ndarray
) -> dict[str, Any]:
    """What is told of the vertices' values: their mean, by region and by subject; NaN left out."""
    people = dict.fromkeys(whose.tolist())
    regions = {str(n): values[inside[n].to_numpy(bool)] for n in inside}
    return {
        "name": "algonauts2023",
        "unit": "percent",
        "value": average(values).value,
        "by_roi": {n: average(v).value for n, v in regions.items() if not np.isnan(v).all()},
        "by_subject": {s: average(values[whose == s]).value for s in people},
        "vertices": int((~np.isnan(values)).sum()),
    }
