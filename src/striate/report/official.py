"""A data set's own score as a report shows it: official and corrected side by side, with units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.report.markup import folded, paragraph, table
from striate.report.words import number, own_scores, shared, unit_of, with_unit

HEADS = {"raw": "R²", "signed": "signed R²", "roi": "region"}
LONG = 40


def own_tiles(scores: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """One tile per own score: whose it is, its value, what it is a share of."""
    found = []
    for name, entry in own_scores(scores).items():
        title = f"{entry['name']}, {name}" if "name" in entry else name
        note = "of the noise ceiling" if unit_of(entry) else "official score"
        found.append((title, with_unit(entry), shared(entry) or note))
    return found


def own_title(scores: Mapping[str, Any]) -> str:
    """What to write above `official`."""
    entries = own_scores(scores)
    names = [str(e.get("name", n)) for n, e in entries.items()]
    kind = "Partial" if "partial" in entries else "Official"
    return f"{kind} score: {', '.join(dict.fromkeys(names))}"


def official(scores: Mapping[str, Any]) -> str:
    """Tables by region (and by subject, …) of the own scores among `scores`; empty without any.

    A mapping ``by_KIND`` of an entry makes a table by kind; its other mappings are columns of the
    table by region, and its other numbers stand below.
    """
    entries = own_scores(scores)
    kinds = dict.fromkeys(k for e in entries.values() for k, v in _mappings(e) if _is_kind(k) and v)
    parts = [_by(kind, entries) for kind in kinds]
    told = []
    for name, entry in entries.items():
        share = shared(entry)
        hidden = {"value", "of"} | ({"not_predicted"} if share else set())
        plain = {k: v for k, v in entry.items() if k not in hidden and _is_number(v)}
        counted = [f"{k.replace('_', ' ')} {number(v)}" for k, v in plain.items()]
        if share or counted:
            told.append(f"{name}: {', '.join([*([share] if share else []), *counted])}")
    return "\n".join([*parts, *([paragraph("; ".join(told), "soft")] if told else [])])


def _by(kind: str, entries: Mapping[str, Mapping[str, Any]]) -> str:
    columns: dict[str, Mapping[str, Any]] = {}
    for name, entry in entries.items():
        columns[f"{name} ({unit_of(entry)})" if unit_of(entry) else name] = entry.get(kind, {})
    values = [number(e["value"]) for e in entries.values()]
    if kind == "by_roi":
        for entry in entries.values():
            for key, found in _mappings(entry):
                if not _is_kind(key):
                    columns.setdefault(HEADS.get(key, key), found)
    rows = list(dict.fromkeys(r for c in columns.values() for r in c))
    blank = [""] * (len(columns) - len(values))
    lines = [["all", *values, *blank]]
    lines += [[r, *(number(_middle(c.get(r))) for c in columns.values())] for r in rows]
    what = kind.removeprefix("by_")
    shown = table([HEADS.get(what, what), *columns], lines, strong=[0])
    return shown if len(lines) <= LONG else folded(f"By {HEADS.get(what, what)}", shown)


def _mappings(entry: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(k, v) for k, v in entry.items() if isinstance(v, Mapping)]


def _is_kind(key: str) -> bool:
    return key.startswith("by_")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _middle(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get("median", value.get("value"))
    return value if _is_number(value) else None
