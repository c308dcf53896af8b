"""What was fitted on what: every fit while they are few, one line per member always."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from striate.report.markup import folded, paragraph, table
from striate.report.words import duration, number

FEW = 12
"""Fits that are listed openly."""
MOST = 200
"""Fits that are listed at all; the run's folder has the rest."""
NOTES = 6

Fit = Mapping[str, Any]
HEAD = ["stimuli", "rows", "targets", "features", "columns dropped"]


def fits(found: Sequence[Fit]) -> list[str]:
    """Tables of the fits, for a section of the page."""
    if not found:
        return []
    each = [
        [str(f.get("call", "")), str(f.get("member", "")), *_facts([f]), _seconds([f]), _notes([f])]
        for f in found[:MOST]
    ]
    head = ["part", "member", *HEAD, "time", "notes"]
    single = table(head, each, words=(0, 1, len(head) - 1))
    if len(found) <= FEW:
        return [single]
    head = ["member", "fits", *HEAD, "time", "notes"]
    members: dict[str, list[Fit]] = {}
    for fit in found:
        members.setdefault(str(fit.get("member", "")), []).append(fit)
    lines = [
        [m, f"{len(own):,}", *_facts(own), _seconds(own), _notes(own)] for m, own in members.items()
    ]
    parts = [
        paragraph(f"{len(found):,} fits; ranges are over a member's fits, times are sums."),
        table(head, lines, words=(0, len(head) - 1)),
    ]
    if len(found) > MOST:
        return [*parts, paragraph("fits.json beside this page lists every single one.")]
    return [*parts, folded(f"Every fit ({len(found)})", single)]


def _facts(own: Sequence[Fit]) -> list[str]:
    steps = [f.get("steps") or [] for f in own]
    dropped = [
        sum(s.get("columns dropped", 0) for s in found)
        if any("columns dropped" in s for s in found)
        else None
        for found in steps
    ]
    features = [
        (f.get("encoder") or {}).get("features")
        or next(
            (s["columns"] - s.get("columns dropped", 0) for s in found[::-1] if "columns" in s),
            None,
        )
        for f, found in zip(own, steps, strict=True)
    ]
    return [
        _range(f.get("stimuli") for f in own),
        _range(f.get("rows") for f in own),
        _range(f.get("targets") for f in own),
        _range(features),
        _range(dropped),
    ]


def _range(values: Iterable[Any]) -> str:
    known = [v for v in values if isinstance(v, int | float)]
    if not known:
        return ""
    low, high = min(known), max(known)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _seconds(own: Sequence[Fit]) -> str:
    known = [f["seconds"] for f in own if isinstance(f.get("seconds"), int | float)]
    return duration(sum(known)) if known else ""


def _notes(own: Sequence[Fit]) -> str:
    """What encoders and steps told: medians of numbers, and the values of words."""
    told: dict[str, list[Any]] = {}
    for fit in own:
        for note in [*(fit.get("steps") or []), fit.get("encoder") or {}]:
            for key, value in note.items():
                # tables, such as weights, have a section of their own
                plain = not isinstance(value, Mapping | list)
                if plain and key not in ("columns", "columns dropped", "features"):
                    told.setdefault(str(key), []).append(value)
    parts = [f"{k}: {_value(v)}" for k, v in list(told.items())[:NOTES]]
    more = len(told) - NOTES
    return "; ".join(parts) + (f"; {more} more" if more > 0 else "")


def _value(values: Sequence[Any]) -> str:
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        middle = float(np.median(values))
        return f"{middle:,.0f}" if middle.is_integer() else number(middle)
    unique = list(dict.fromkeys(map(str, values)))
    return ", ".join(unique[:3]) + (" …" if len(unique) > 3 else "")
