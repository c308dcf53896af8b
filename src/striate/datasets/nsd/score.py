"""How much of what could be explained is explained, where no challenge says how to score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Responses, has_truth
from striate.scores import matched, pearson
from striate.scores.challenges import algonauts2023


def explained(
    truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
) -> dict[str, dict[str, Any]]:
    """``corrected``: mean percent of the explainable variance, its parts and what was left out.

    ``value`` is the mean over targets of all subjects of 100·r·|r| / ceiling within ±100,
    ``by_roi`` that of each region, ``by_subject`` that of each subject. ``zero_ceilings`` counts
    targets left out for a ceiling of 0, ``not_predicted`` those without any prediction,
    ``of`` all. Empty without ceilings.

    Raises
    ------
    DataError
        When a target is predicted on some of the rows only.

    """
    known = {
        s: b.isel(row=np.flatnonzero(has_truth(b)))
        for s, b in truth.items()
        if "ceiling" in b.coords and b.size
    }
    values, tables, zeros, lost = [], [], 0, 0
    for one in matched({s: b for s, b in known.items() if len(b) > 2}, predicted):
        r = pearson(one.truth, one.predicted)
        ceiling = one.targets["ceiling"].to_numpy(float)
        use = ~np.isnan(ceiling) & ~np.isnan(r)
        score = algonauts2023(r[use], ceiling[use], zeros_left_out=True, signed=True)
        zeros += int(np.isnan(score).sum())
        lost += one.left_out
        values.append(score)
        tables.append(one.regions.iloc[np.flatnonzero(use)].assign(**{"": one.subject}))
    if not tables or np.isnan(np.concatenate(values)).all():
        return {}
    score, table = np.concatenate(values), pd.concat(tables)
    whose = table.pop("").to_numpy(str)
    inside = {str(roi): table[roi].eq(True).to_numpy() for roi in table}
    told = {
        "value": float(np.nanmean(score)),
        "by_roi": _means(score, inside),
        "by_subject": _means(score, {s: whose == s for s in dict.fromkeys(whose.tolist())}),
        "unit": "percent",
        "name": "nsd",
        "zero_ceilings": zeros,
        "not_predicted": lost,
        "of": sum(b.shape[1] for b in known.values() if len(b) > 2),
    }
    return {"corrected": told}


def _means(score: np.ndarray, parts: Mapping[str, np.ndarray]) -> dict[str, float]:
    kept = {name: score[mask & ~np.isnan(score)] for name, mask in parts.items()}
    return {name: float(v.mean()) for name, v in kept.items() if len(v)}
