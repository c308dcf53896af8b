"""What was chosen: the member that each region took, beside what every candidate scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from striate.report.markup import folded, paragraph, table
from striate.report.words import number, percent

WIDE = 12
"""Candidates that stand beside each other in a table; more stand below each other."""
COLUMNS = ["member", "roi", "of", "score", "share", "targets"]

Fits = Sequence[Mapping[str, Any]]


def candidates(fits: Fits) -> pd.DataFrame:
    """Candidates of every member that chooses, by region, over its calls and subjects.

    Columns: member (which chooses), roi (empty: targets of no region), of (the candidate), score
    (mean correlation on the training rows, out-of-fold), share (of the targets, or of those of
    every fit, that took it), targets. Empty where nothing was chosen.
    """
    lines = []
    for fit in fits:
        for entry in (fit.get("encoder") or {}).get("candidates") or []:
            for name, score in entry["of"].items():
                lines.append(
                    {
                        "member": str(fit.get("member", "")),
                        "roi": str(entry.get("roi", "")),
                        "of": str(name),
                        "score": np.nan if score is None else float(score),
                        "share": float(entry["chosen"].get(name) or 0.0),
                        "targets": int(entry.get("targets", 0)),
                    }
                )
    found = pd.DataFrame(lines, columns=COLUMNS)
    if found.empty:
        return found
    weighted = found.assign(
        score=found["score"] * found["targets"], share=found["share"] * found["targets"]
    )
    by = weighted.groupby(COLUMNS[:3], sort=False, as_index=False)
    # A candidate that some fit could not take has no score.
    sums = by.agg(
        score=("score", lambda v: v.sum(skipna=False)),
        share=("share", "sum"),
        targets=("targets", "sum"),
    )
    return sums.assign(score=sums["score"] / sums["targets"], share=sums["share"] / sums["targets"])


def told(fits: Fits, summary: Mapping[str, Any]) -> Iterator[str]:
    """A table of region × candidate for every member that chooses, for a section of the page."""
    found = candidates(fits)
    if found.empty:
        return
    yield paragraph(
        "Scores of candidates are mean correlations on training rows, by fits that had not seen"
        " these rows; on them the choice was made. The rank agreement is the Spearman correlation,"
        " over candidates, of these scores with those on the held-out rows."
    )
    for name, own in found.groupby("member", sort=False):
        shown = _choices(own, summary)
        yield folded(f"{name}: region × candidate", shown) if len(own) > 300 else shown


def agreement(own: pd.DataFrame, summary: Mapping[str, Any]) -> float:
    """Rank correlation of candidates' scores in the choice and on held-out rows; NaN below three.

    `own` are the lines of one member that chooses and one region.
    """
    pairs = np.array([[o.score, held_out(summary, o.of, o.roi)] for o in own.itertuples()])
    pairs = pairs[np.isfinite(pairs).all(axis=1)] if len(pairs) else pairs
    if len(pairs) < 3 or not (np.ptp(pairs, axis=0) > 0).all():
        return float("nan")
    return float(stats.spearmanr(*pairs.T).statistic)


def held_out(summary: Mapping[str, Any], member: str, roi: str) -> float:
    """The mean score of a member on the rows of the split; NaN where it is not known."""
    found = summary.get("members", {}).get(member, {}).get("pearson", {})
    found = found.get("by_roi", {}).get(roi, {}) if roi else found
    value = found.get("mean")
    return float(value) if isinstance(value, int | float) else float("nan")


def _choices(own: pd.DataFrame, summary: Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(own["of"]))
    several = len(set(own["roi"])) > 1
    wide = names if len(names) <= WIDE else []
    lines = []
    for roi, part in own.groupby("roi", sort=False):
        scores = part.set_index("of")["score"]
        taken = part[part["share"] > 0].sort_values("share", ascending=False, kind="stable")
        chosen = [
            f"{o.of} ({percent(o.share)})" if o.share < 0.9995 else o.of
            for o in taken.head(3).itertuples()
        ]
        more = f", {len(taken) - 3} more" if len(taken) > 3 else ""
        place = roi or ("no region" if several else "all targets")
        held = part if roi or not several else part[:0]
        best = scores.get(taken["of"].iloc[0]) if len(taken) else None
        lines.append(
            [
                place,
                f"{int(part['targets'].max()):,}",
                ", ".join(chosen) + more,
                *([number(best)] if not wide else []),
                *(number(scores.get(n)) for n in wide),
                number(agreement(held, summary)),
            ]
        )
    head = ["targets of", "targets, over fits", "chosen", *(wide or ["its score"])]
    caption = f"What {own['member'].iloc[0]} chose"
    return table([*head, "rank agreement"], lines, caption=caption, words=(0, 2))
