"""The numbers of a run as tables: scores by region and subject, members, data, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from striate.report.contest import contest
from striate.report.figures import regions_of
from striate.report.markup import folded, paragraph, table, text
from striate.report.official import official
from striate.report.words import (
    count,
    duration,
    higher_is_better,
    number,
    own_scores,
    percent,
    span,
    title_of,
    unit_of,
)
from striate.scores import SCORES

Summary = Mapping[str, Any]
LONG = 40


def by_region(entry: Mapping[str, Any], scores: pd.DataFrame | None = None) -> str:
    """One score by region, or of all targets where there are no regions.

    `scores` are the lines of the answer and that score, which say what is above chance.
    """
    significant = {} if scores is None else _significant(scores)
    ends, p = entry.get("resampled", {}), entry.get("permutation_p", {})
    lines = [[*_score_line("all targets", entry, ends.get("interval"), significant.get("")), ""]]
    for name, own in entry.get("by_roi", {}).items():
        found = ends.get("by_roi", {}).get(name)
        line = _score_line(name, _over(entry, "by_roi", name, own), found, significant.get(name))
        lines.append([*line, number(p.get(name)) if name in p else ""])
    head = ["region", *_SCORE_HEAD, "p (images permuted)"]
    return table(head, lines, strong=[0] if len(lines) > 1 else [])


def held_out(summary: Summary) -> list[str]:
    """Scores on measured stimuli that were set aside as a test until the end."""
    found = summary.get("final", {})
    answer, score = summary["member"], summary["headline"]
    if score not in found.get(answer, {}):
        return []
    entry = found[answer]
    told = (
        "Stimuli set aside as a test, predicted by fits on the training stimuli alone: median"
        f" {title_of(score)} {number(entry[score].get('median'))}."
    )
    others = [
        [n, number(e.get(score, {}).get("median")), number(e.get(score, {}).get("mean"))]
        for n, e in found.items()
    ]
    parts = [paragraph(told), by_region(entry[score])]
    parts += [table(["member", "median", "mean"], others)] if len(others) > 1 else []
    return [*parts, official(entry)]


def by_subject(summary: Summary) -> str:
    """The headline score by subject; empty for one subject."""
    entry = summary["scores"].get(summary["headline"], {})
    people = entry.get("by_subject", {})
    if len(people) < 2:
        return ""
    lines = [
        _score_line(s or "all", _over(entry, "by_subject", s, own), None, None)
        for s, own in people.items()
    ]
    shown = table(["subject", *_SCORE_HEAD], lines)
    return shown if len(lines) <= 12 else folded(f"By subject ({len(lines)})", shown)


def by_both(scores: pd.DataFrame) -> str:
    """Medians by region and subject; empty unless there are several of both."""
    people = list(dict.fromkeys(scores["subject"].astype(str)))
    masks = regions_of(scores)
    if len(people) < 2 or len(masks) < 2 or len(people) > 30:
        return ""
    values = {
        n: scores[m].groupby(scores["subject"][m].astype(str))["value"].median()
        for n, m in masks.items()
    }
    lines = [[n, *(number(float(v.get(s, np.nan))) for s in people)] for n, v in values.items()]
    return folded("Medians by region and subject", table(["region", *people], lines))


def all_scores(summary: Summary) -> str:
    """Every score of the answer beside the headline one."""
    lines = [
        _score_line(title_of(name), entry, entry.get("resampled", {}).get("interval"), None)
        for name, entry in summary["scores"].items()
        if "median" in entry
    ]
    if len(lines) < 2:
        return ""
    return folded("All scores", table(["score", *_SCORE_HEAD], lines))


def expected(summary: Summary) -> str:
    """Published numbers beside those of this run."""
    lines = []
    for path, line in summary.get("expect", {}).items():
        within = line.get("within")
        verdict = "not compared" if within is None else "as published" if within else "differs"
        wanted = number(line.get("value"))
        wanted += f" ± {number(line['tol'])}" if "tol" in line else ""
        lines.append([path, wanted, number(line.get("got")), verdict, line.get("source", "")])
    if not lines:
        return ""
    return table(["number", "published", "here", "verdict", "source"], lines, words=(0, 3, 4))


def members(summary: Summary) -> str:
    """All members, with the answer's difference to each."""
    lines = contest(summary)
    if len(lines) < 2:
        return ""
    higher = higher_is_better(summary["headline"])
    others = [
        n
        for n in dict.fromkeys(n for e in summary["members"].values() for n in e)
        if n not in SCORES
    ]
    rows = []
    for line in lines:
        entry = summary["members"][line.member]
        best = entry.get(summary["headline"], {})
        rows.append(
            [
                line.member,
                line.in_words(higher),
                number(line.middle),
                number(best.get("mean")),
                percent(best.get("normalised", {}).get("median")),
                "" if line.is_answer else number(line.difference),
                span(line.interval),
                *(number(_middle(entry.get(n))) for n in others),
            ]
        )
    own = {n: unit_of(e) for n, e in own_scores(summary["scores"]).items()}
    named = [f"{n} ({own[n]})" if own.get(n) else n for n in others]
    head = ["member", "verdict", "median", "mean", "of ceiling", "answer − member", "95 % interval"]
    answer = [k for k, line in enumerate(lines) if line.is_answer]
    shown = table([*head, *named], rows, words=(0, 1), strong=answer)
    shown = shown if len(rows) <= LONG else folded(f"All {len(rows)} members", shown)
    told = (
        "Differences and their intervals are of medians over targets; striate compare tells the"
        " mean of each target's own difference, which may come out differently."
    )
    return shown + paragraph(told, "soft")


def data(summary: Summary) -> list[str]:
    """Subjects, split, duplicates."""
    split, found = summary.get("split", {}), summary.get("duplicates", {})
    parts = []
    people = split.get("subjects", {})
    if people:
        lines = [
            [s or "–", f"{p['rows']:,}", f"{p['hidden']:,}", f"{p['targets']:,}"]
            for s, p in people.items()
        ]
        shown = table(["subject", "measured rows", "hidden rows", "targets"], lines)
        parts.append(shown if len(lines) <= 12 else folded(f"Subjects ({len(lines)})", shown))
    calls = [[c["name"], f"{c['train']:,}", f"{c['test']:,}"] for c in split.get("calls", [])]
    calls += [["hidden rows", f"{c['train']:,}", f"{c['test']:,}"] for c in split.get("final", [])]
    if calls:
        shown = table(["part", "stimuli fitted to", "stimuli predicted"], calls)
        parts.append(shown if len(calls) <= 6 else folded(f"Split ({split.get('use')})", shown))
    return [*parts, *_duplicates(found, split.get("stimuli", 0))]


def provenance(machine: Mapping[str, Any]) -> str:
    """Where, when and with what the run was made."""
    peak = machine.get("peak_memory_bytes")
    lines = [
        ["date", machine.get("date") or machine.get("finished") or ""],
        ["seconds", duration(machine.get("seconds"))],
        ["peak memory", f"{peak / 1e9:.2f} GB" if isinstance(peak, int | float) else ""],
    ]
    told = {"date", "finished", "seconds", "peak_memory_bytes", "versions", "features"}
    lines += [[k, v] for k, v in machine.items() if k not in told and v not in ("", None)]
    versions = machine.get("versions", {})
    lines.append(["versions", ", ".join(f"{k} {v}" for k, v in versions.items())])
    return table(["", ""], [line for line in lines if line[1] not in ("", "–")], words=(0, 1))


_SCORE_HEAD = [
    "targets",
    "median",
    "95 % interval",
    "mean",
    "ceiling (variance)",
    "of ceiling",
    "left out",
    "above chance",
]


def _score_line(
    name: str,
    entry: Mapping[str, Any],
    ends: Any,
    significant: int | None,
) -> list[str]:
    return [
        name,
        f"{entry.get('targets', 0):,}",
        number(entry.get("median")),
        span(ends),
        number(entry.get("mean")),
        number(entry.get("ceiling", {}).get("median")),
        percent(entry.get("normalised", {}).get("median")),
        f"{entry['left_out']:,}" if entry.get("left_out") else "",
        "" if significant is None else f"{significant:,}",
    ]


def _over(entry: Mapping[str, Any], kind: str, name: str, own: Any) -> dict[str, Any]:
    """A region's or a subject's entry, with its share of the ceiling beside it."""
    return {
        **own,
        **{
            k: entry[k].get(kind, {}).get(name, {}) for k in ("ceiling", "normalised") if k in entry
        },
    }


def _significant(scores: pd.DataFrame) -> dict[str, int]:
    if "q" not in scores or not scores["q"].notna().any():
        return {}
    sure = (scores["q"] <= 0.05).to_numpy()
    masks = regions_of(scores)
    return {"": int(sure.sum())} | {n: int((sure & m).sum()) for n, m in masks.items()}


def _middle(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get("median", value.get("value"))
    return value if isinstance(value, int | float) else None


def _duplicates(found: Summary, stimuli: int) -> list[str]:
    if not found:
        return []
    exact = found.get("exact", [])
    units = found.get("leak_units", 0)
    told = f"{count(stimuli, 'stimulus')} in {count(units, 'unit')} that no split parts."
    if units == stimuli:
        told = f"{count(stimuli, 'stimulus')}, each free to stand on either side of a split."
    if exact:
        copies = sum(map(len, exact))
        told += f" {count(len(exact), 'set')} of identical files ({copies:,} stimuli)"
        told += " are kept together."
    else:
        told += " No two stimuli are identical files."
    parts = [paragraph(told)]
    if exact:
        rows = "".join(f"<li>{text(', '.join(map(str, s)))}</li>" for s in exact[:50])
        more = (
            paragraph(f"… and {len(exact) - 50:,} more sets in summary.json") if exact[50:] else ""
        )
        parts.append(folded("Identical files", f"<ul>{rows}</ul>{more}"))
    near, crossing = found.get("near", 0), found.get("near_crossing", 0)
    action = found.get("near_action", "ignore")
    if not found.get("looked_for_near"):
        parts.append(paragraph("Nearly identical images were not looked for."))
        return parts
    told = "No nearly identical images were found."
    if near:
        told = f"{count(near, 'pair')} of nearly identical images, {crossing:,} across the split"
        told += f" (near_duplicates = {action!r})."
    parts.append(paragraph(told))
    worth = found.get("leakage")
    if worth:
        got = [number(worth.get(k)) for k in ("as split", "grouped", "leakage")]
        parts.append(
            table(
                [
                    "score",
                    "as split",
                    "partners of test stimuli not trained on",
                    "worth of the leak",
                ],
                [["median", *got]],
            )
        )
    pairs = [[a, b, number(float(s))] for a, b, s in found.get("near_pairs", [])[:50]]
    if pairs:
        shown = table(["stimulus", "looks like", "similarity"], pairs, words=(0, 1))
        parts.append(folded(f"Nearly identical images ({min(near, 50)} of {near:,})", shown))
    return parts
