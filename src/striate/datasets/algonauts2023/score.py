"""The score of the 2023 challenge, pooled over all vertices of all subjects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import Responses, has_truth, membership
from striate.datasets.scored import Share
from striate.scores import average, pearson
from striate.scores.challenges import algonauts2023


def score(
    truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
) -> dict[str, dict[str, Any]]:
    """``official`` (or ``partial``) and ``corrected``, in percent; {} without truth or ceilings.

    ``official``: 100·max(r, 0)² / ceiling, at most 100, where a ceiling of 0 counts as 1e-14;
    ``corrected``: 100·r·|r| / ceiling within ±100, without vertices whose ceiling is 0. ``value``
    is the mean over all vertices; ``vertices`` counts them, ``without_ceiling`` those that are
    left out because their ceiling is unknown. Where targets were not predicted at all, the score
    of the others is called ``partial``; see `Share`.

    Raises
    ------
    DataError
        When a target is predicted on some of the rows only; what lacks is counted.

    """
    told: dict[str, list[np.ndarray]] = {"official": [], "corrected": []}
    tables: list[pd.DataFrame] = []
    share = Share("predictions")
    unscored = zeros = 0
    for subject, block in truth.items():
        if "ceiling" not in block.coords or not block.size:
            continue
        known = block.isel(row=np.flatnonzero(has_truth(block)))
        if not len(known):
            continue
        known, values = share.matched(known, predicted)
        if not values.size:
            continue
        r = pearson(known.values, values)
        ceiling = known.ceiling.values.astype(np.float64)
        use = ~np.isnan(ceiling)
        unscored += int((~use).sum())
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
    counted = {"zero_ceilings": zeros, "without_ceiling": unscored}
    both = {
        name: _told(np.concatenate(values), inside, whose.to_numpy(str)) | counted
        for name, values in told.items()
    }
    return share.told(both["official"], both["corrected"])


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
