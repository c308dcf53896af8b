"""Scores on plain arrays: how well, how well it could be, and how surely.

`correlation` scores every target; `ceilings` says what the noise leaves reachable; `resampling`
and `significance` say how sure a score is; `algonauts` holds the 2019 challenge's score of RDMs,
`challenges` what those of 2021, 2023 and 2025 make of correlations, `halves` their reliability.
"""

from striate.scores.algonauts import (
    ALGONAUTS2019_CEILINGS,
    Algonauts2019,
    algonauts2019,
    algonauts2019_percent,
)
from striate.scores.ceilings import (
    algonauts2019_ceiling,
    explainable_variance,
    means_ceiling,
    ncsnr,
    nsd_noise_ceiling,
    rdm_ceiling,
    spearman_brown,
    split_half,
)
from striate.scores.challenges import (
    algonauts2021,
    algonauts2021_mini,
    algonauts2023,
    algonauts2025,
    inflated,
    inner_rows,
)
from striate.scores.correlation import (
    SCORES,
    Average,
    Score,
    average,
    flat,
    mse,
    normalise,
    pearson,
    r2,
    rows_used,
    spearman,
)
from striate.scores.halves import all_halves, halvings
from striate.scores.labelled import (
    Scored,
    matched,
    membership_of,
    resampled,
    score_table,
    summarise,
)
from striate.scores.resampling import (
    bootstrap,
    interval,
    over_targets,
    pair_weights,
    paired_interval,
)
from striate.scores.significance import (
    fdr,
    permutation_p,
    permutation_p_rdm,
    permutations,
)

__all__ = [
    "ALGONAUTS2019_CEILINGS",
    "SCORES",
    "Algonauts2019",
    "Average",
    "Score",
    "Scored",
    "algonauts2019",
    "algonauts2019_ceiling",
    "algonauts2019_percent",
    "algonauts2021",
    "algonauts2021_mini",
    "algonauts2023",
    "algonauts2025",
    "all_halves",
    "average",
    "bootstrap",
    "explainable_variance",
    "fdr",
    "flat",
    "halvings",
    "inflated",
    "inner_rows",
    "interval",
    "matched",
    "means_ceiling",
    "membership_of",
    "mse",
    "ncsnr",
    "normalise",
    "nsd_noise_ceiling",
    "over_targets",
    "pair_weights",
    "paired_interval",
    "pearson",
    "permutation_p",
    "permutation_p_rdm",
    "permutations",
    "r2",
    "rdm_ceiling",
    "resampled",
    "rows_used",
    "score_table",
    "spearman",
    "spearman_brown",
    "split_half",
    "summarise",
]
