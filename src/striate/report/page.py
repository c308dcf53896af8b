"""The page that one wants to look at: a run in one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from striate.report import chosen, contest, figures, partition, rdms, tables, weights
from striate.report.canvas import Picture
from striate.report.features import features
from striate.report.fits import fits
from striate.report.looks import files, looks
from striate.report.markup import document, figure, folded, paragraph, section, text, tiles
from striate.report.official import official, own_tiles, own_title
from striate.report.record import Report
from striate.report.sources import read_recipe
from striate.report.words import number, percent, span, title_of, verdict

FOOT = "Made by striate. All numbers stand in summary.json and scores.csv beside this page."


def write_page(report: Report, folder: Path) -> None:
    """Write ``report.html`` and its figures, ``figures/*.png``, into the run's folder."""
    drawn = pictures(report)
    place = folder / "figures"
    written = {n: one.light for n, one in drawn.items()} | files(report.looks)
    if written:
        place.mkdir(exist_ok=True)
    for name, content in written.items():
        (place / f"{name}.png").write_bytes(content)
    (folder / "report.html").write_text(
        render(report, drawn), encoding="utf-8", errors="replace", newline="\n"
    )


def pictures(report: Report) -> dict[str, Picture]:
    """All figures that the run has something for, by file name."""
    summary, score = report.summary, report.summary["headline"]
    scores = answer_scores(report)
    resampled = summary["scores"].get(score, {}).get("resampled", {})
    intervals = {n: _ends(e) for n, e in resampled.get("by_roi", {}).items()}
    intervals |= {"": _ends(resampled["interval"])} if resampled.get("interval") else {}
    found = [
        figures.distribution(scores, score, intervals),
        figures.against_ceiling(scores, score),
        figures.over_time(scores, score),
        contest.bars(summary),
        contest.layers(summary),
        rdms.side_by_side(report.truth, report.predicted),
        *weights.heat(report.fits),
        *partition.stacks(partition.families(report)),
    ]
    return {p.name: p for p in found if p is not None}


def answer_scores(report: Report) -> pd.DataFrame:
    """The lines of the score table that belong to the answer and the headline score."""
    table = report.scores
    own = (table["member"] == report.summary["member"]).to_numpy()
    return table[own & (table["score"] == report.summary["headline"]).to_numpy()]


def render(report: Report, drawn: dict[str, Picture]) -> str:
    """The page as text."""
    summary, scores = report.summary, answer_scores(report)
    score = summary["headline"]
    recipe = read_recipe(report.recipe)

    def show(name: str) -> str:
        return figure(drawn.get(name))

    sections = {
        "regions": (
            "Scores of the answer",
            [
                show("distribution"),
                tables.by_region(summary["scores"].get(score, {}), scores),
                tables.by_subject(summary),
                tables.by_both(scores),
                tables.all_scores(summary),
            ],
        ),
        "test": ("Stimuli set aside as a test", tables.held_out(summary)),
        "time": ("Over time", [show("time")]),
        "ceiling": ("Against the noise ceiling", [show("ceiling")]),
        "rdms": ("Brain and model dissimilarities", [show("rdms")]),
        "members": ("Members compared", [show("members"), tables.members(summary)]),
        "layers": ("Score by layer", [show("layers")]),
        "chosen": ("What was chosen", chosen.told(report.fits, summary)),
        "weights": (
            "Weights of ensembles",
            [
                *(show(n) for n in drawn if n.startswith("weights")),
                *weights.told(report.fits, summary),
            ],
        ),
        "partition": (
            "Unique and shared variance",
            partition.told(partition.families(report), drawn),
        ),
        "fits": ("What was fitted on what", fits(report.fits)),
        "features": ("Features", features(report)),
        "looks": ("What each feature sees", looks(report.looks)),
        "data": ("Data", tables.data(summary)),
        "recipe": (
            "Recipe and provenance",
            [
                folded("The fully resolved recipe", f"<pre>{text(report.recipe)}</pre>"),
                tables.provenance(report.machine),
            ],
        ),
    }
    title = str(summary.get("title") or summary.get("recipe") or "A run")
    under = [summary.get("recipe", ""), recipe.get("cite", ""), report.machine.get("date", "")]
    return document(title, under, sections, _headline(report), FOOT)


def _headline(report: Report) -> str:
    """The answer in one number, in words, and beside what was published."""
    summary, score = report.summary, report.summary["headline"]
    entry = summary["scores"].get(score, {})
    ends = span(entry.get("resampled", {}).get("interval"))
    note = f"median {title_of(score)}" + (f", 95 % interval {ends}" if ends else "")
    big = (
        f'<p class="answer"><strong>{text(number(entry.get("median")))}</strong>'
        f"<span>{text(note)}</span></p>"
    )
    words = [paragraph(w, "warn" if w.startswith("Beware") else "verdict") for w in verdict(report)]
    own = summary["scores"]
    parts = [big, *words, tiles([*own_tiles(own), *_tiles(entry)])]
    parts.append(_titled(own_title(own), official(own)))
    parts.append(_titled("Against published numbers", tables.expected(summary)))
    return section("answer", "The answer", parts)


def _titled(title: str, content: str) -> str:
    return f"<h3>{text(title)}</h3>\n{content}" if content else ""


def _tiles(entry: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    share = entry.get("normalised", {})
    if number(share.get("median")) != "–":
        note = f"median target; mean {percent(share.get('mean'))}"
        found.append(("of the noise ceiling", percent(share["median"]), note))
    found.append(("mean over targets", number(entry.get("mean")), ""))
    if "significant" in entry:
        note = f"of {entry.get('targets', 0):,}, false discovery rate 5 %"
        found.append(("targets above chance", f"{entry['significant']:,}", note))
    left = [f"{entry['left_out']:,} not defined" if entry.get("left_out") else ""]
    left += [f"{entry['flat']:,} without variance" if entry.get("flat") else ""]
    found.append(("targets", f"{entry.get('targets', 0):,}", ", ".join(t for t in left if t)))
    return found


def _ends(values: Any) -> tuple[float, float]:
    low, high = (float("nan") if v is None else float(v) for v in values)
    return low, high
