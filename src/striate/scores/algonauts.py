"""The score of the Algonauts 2019 challenge: squared rank correlation with each subject's RDM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Real
from scipy import stats

from striate.errors import StriateError, unknown
from striate.scores.correlation import spearman

# By image set; "TS2" is the second, hidden twin set. The challenge fixed these as constants.
ALGONAUTS2019_CEILINGS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "92": MappingProxyType({"EVC": 0.1589, "IT": 0.3075, "early": 0.4634, "late": 0.2275}),
        "118": MappingProxyType({"EVC": 0.1048, "IT": 0.0728, "early": 0.3468, "late": 0.2265}),
        "78": MappingProxyType({"EVC": 0.0640, "IT": 0.0647, "early": 0.3562, "late": 0.4452}),
        "TS2": MappingProxyType({"EVC": 0.0655, "IT": 0.0734, "early": 0.3885, "late": 0.4400}),
    }
)

_TRACKS = MappingProxyType({"fMRI": ("EVC", "IT"), "MEG": ("early", "late")})


@dataclass(frozen=True)
class Algonauts2019:
    """What `algonauts2019` returns.

    `r2` is official; `signed` (mean of rho·|rho|) is the diagnostic that squaring hides: a model
    opposite to the brain scores high in `r2` and low here. `p` is the official two-sided
    one-sample t-test of rho² against 0 over subjects (NaN for one subject).
    """

    r2: float
    p: float
    signed: float
    rho: np.ndarray


def algonauts2019(
    model: Real[np.ndarray, " pair"], subjects: Real[np.ndarray, "subject *time pair"]
) -> Algonauts2019:
    """Score one predicted RDM against every subject's, as the 2019 kit does (Cichy et al., 2019).

    R² = mean over subjects of (mean over time of Spearman(model, subject))². RDMs come as their
    strict upper triangle, row by row; give `subjects` a time axis for MEG. A constant RDM has
    rho 0. Pairs that are NaN in a subject are left out for it; NaN in the model is a StriateError.

    >>> subjects = np.array([[1.0, 3, 2, 4, 6, 5], [6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6]])
    >>> round(algonauts2019(np.arange(1.0, 7), subjects).r2, 7)
    0.9281633
    """
    if subjects.shape[-1] != model.shape[0]:
        raise StriateError(
            f"the model's RDM has {model.shape[0]} pairs and the subjects' {subjects.shape[-1]}: "
            "give the strict upper triangles of RDMs of the same images"
        )
    truth = subjects.reshape(-1, subjects.shape[-1]).T
    each = spearman(truth, np.broadcast_to(model[:, None], truth.shape))
    rho = each.reshape(subjects.shape[0], -1).mean(axis=1)
    squared = rho**2
    return Algonauts2019(
        r2=float(squared.mean()),
        p=_above_zero(squared),
        signed=float((rho * np.abs(rho)).mean()),
        rho=rho,
    )


def algonauts2019_percent(r2: Mapping[str, float], image_set: str) -> dict[str, float]:
    """Express R² in percent of the challenge's ceilings: 100·R² / NC, and the track averages.

    `r2` has any of EVC, IT, early, late; with both of a track its average is added, under "fMRI"
    or "MEG": mean R² / mean NC, which is not the mean of the two percentages. `image_set` is
    "92", "118", "78" or "TS2". Raises StriateError for other names.

    >>> round(algonauts2019_percent({"EVC": 0.00598, "IT": 0.00655}, "78")["fMRI"], 2)
    9.74
    """
    if image_set not in ALGONAUTS2019_CEILINGS:
        raise StriateError(unknown("image set", image_set, ALGONAUTS2019_CEILINGS))
    ceilings = ALGONAUTS2019_CEILINGS[image_set]
    for name in r2:
        if name not in ceilings:
            raise StriateError(unknown("region or window", name, ceilings))
    percent = {name: 100.0 * value / ceilings[name] for name, value in r2.items()}
    for track, parts in _TRACKS.items():
        if all(part in r2 for part in parts):
            explained = sum(r2[part] for part in parts)
            percent[track] = 100.0 * explained / sum(ceilings[part] for part in parts)
    return percent


def _above_zero(values: Float[np.ndarray, " subject"]) -> float:
    if len(values) < 2:
        return float("nan")
    if np.ptp(values) == 0:  # The t statistic is 0/0 or infinite; scipy would warn.
        return 1.0 if values[0] == 0 else 0.0
    return float(stats.ttest_1samp(values, 0.0).pvalue)
