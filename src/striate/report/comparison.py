"""Models of several runs beside each other: the record, and in words."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from striate.report.words import number, percent, span, title_of

WIDTH = 150
"""Characters of the widest table in a terminal."""
FEW = 8
"""Regions that a terminal shows, and pairs of models."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What several models score on the same rows and targets.

    Parameters
    ----------
    score
        Name of the score that all of it is about.
    scores
        One line per model and set of targets (`subject`, `roi`; empty: all of them): ``targets``,
        ``mean`` and ``median`` over targets with their 95 % intervals (``mean_low``, …), and
        ``of_ceiling``, the median share of what the noise leaves reachable.
    differences
        One line per pair of models and set of targets: the mean over targets of each target's
        difference ``model - other`` with its interval and two-sided ``p``, and the difference of
        their medians with its interval.
    ranks
        Validation and test score by model and region, of the models that have both.
    agreement
        Spearman correlation of these by region, where there are three models or more.
    notes
        What a reader should know: how many rows and targets are common, what could not be done.
    draws
        Resamplings of the stimuli behind intervals; 0 where the data could not be read.
    folder
        Where it was written; None before.

    """

    score: str
    scores: pd.DataFrame
    differences: pd.DataFrame
    ranks: pd.DataFrame
    agreement: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    draws: int = 0
    folder: Path | None = None

    @property
    def models(self) -> list[str]:
        """Names of the models, the best first."""
        return list(dict.fromkeys(self.scores["model"]))

    def in_words(self) -> str:
        """The result as tables for a terminal."""
        from rich.console import Console

        out = io.StringIO()
        console = Console(file=out, width=WIDTH, color_system=None, highlight=False, markup=False)
        console.print(_scores_told(self))
        if len(self.differences):
            console.print(_differences_told(self))
        for roi, r in list(self.agreement.items())[:1]:
            console.print(
                f"validation rank against test rank{roi and f' in {roi}'}: Spearman {r:.2f}"
            )
        for note in self.notes:
            console.print(note)
        if self.folder is not None:
            console.print(f"report  {self.folder / 'comparison.html'}", soft_wrap=True)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _scores_told(found: Comparison) -> Any:
    from rich.table import Table

    everyone = found.scores[found.scores["subject"] == ""]
    regions = [r for r in dict.fromkeys(everyone["roi"]) if r]
    shown = Table(title=f"{title_of(found.score)}, mean over targets", title_justify="left")
    shown.add_column("model", overflow="fold")
    for head in ["all", "median", "of ceiling", *regions[:FEW]]:
        shown.add_column(head, justify="right")
    for model in found.models:
        own = everyone[everyone["model"] == model].set_index("roi")
        whole = own.loc[""]
        ends = span([whole["mean_low"], whole["mean_high"]])
        told = f"{number(float(whole['mean']))}" + (f" [{ends}]" if ends else "")
        cells = [told, number(float(whole["median"])), percent(float(whole["of_ceiling"]))]
        cells += [number(float(own.loc[r, "mean"])) for r in regions[:FEW]]
        shown.add_row(model, *cells)
    return shown


def _differences_told(found: Comparison) -> Any:
    from rich.table import Table

    lines = found.differences
    lines = lines[(lines["subject"] == "") & (lines["roi"] == "")]
    more = len(lines) - 2 * FEW
    title = "Differences, mean over all targets" + (
        f" ({more} more on the page)" if more > 0 else ""
    )
    shown = Table(title=title, title_justify="left")
    for head in ["model", "minus"]:
        shown.add_column(head, overflow="fold")
    for head in ["difference", "95 % interval", "p"]:
        shown.add_column(head, justify="right")
    for line in lines.head(2 * FEW).itertuples():
        ends = span([line.low, line.high])
        shown.add_row(line.model, line.other, number(line.mean), ends, number(line.p))
    return shown
