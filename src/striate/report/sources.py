"""Where a member's predictions come from: read off the recipe and the names of swept members."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from striate.report.record import Report


@dataclass(frozen=True)
class Swept:
    """A swept member's name taken apart: ``ridge@net.conv1,size=112``.

    `layer` is the feature space (or the node) that it was given, `setting` everything else.
    """

    name: str
    layer: str
    setting: str


def swept(name: str) -> Swept | None:
    """The parts of a swept member's name, if a feature space is among them.

    >>> found = swept("layer@net.features.12,net.size=112")
    >>> found.layer, found.setting
    ('net.features.12', 'layer, net.size=112')
    """
    base, sign, rest = name.partition("@")
    if not sign:
        return None
    layers, others = [], []
    for tag in rest.split(","):
        key, equals, value = tag.partition("=")
        if not equals:
            layers.append(tag)
        elif key.rpartition(".")[2] in ("nodes", "features"):
            layers.append(f"{key.rpartition('.')[0]}.{value}".strip("."))
        else:
            others.append(tag)
    if not layers:
        return None
    return Swept(name, "+".join(layers), ", ".join([base, *others]))


def source_of(report: Report, member: str) -> str:
    """The features behind a member, through other members: ``features.9 of squeezenet1_0``."""
    table = read_recipe(report.recipe)
    found: dict[str, dict[str, None]] = {}
    for pattern in _patterns(table, member, set()):
        model, nodes = _space(table, pattern)
        found.setdefault(model, {}).update(dict.fromkeys(nodes))
    names = [
        f"{_listed(list(nodes), 'layers')} of {m}" if nodes else m for m, nodes in found.items()
    ]
    return _listed(names, "feature spaces")


def _listed(names: list[str], things: str) -> str:
    if len(names) > 4:
        return f"{len(names)} {things} ({names[0]} to {names[-1]})"
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def encoder_of(report: Report, member: str) -> str:
    """The short name of a member's encoder."""
    for line in _members(read_recipe(report.recipe)):
        if line.get("name") == member.partition("@")[0]:
            encoder = line.get("encoder", "")
            return str(encoder.get("use", "") if isinstance(encoder, Mapping) else encoder)
    return ""


def _members(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    lines = table.get("member", [])
    return [m for m in lines if isinstance(m, Mapping)] if isinstance(lines, list) else []


def _patterns(table: Mapping[str, Any], member: str, seen: set[str]) -> list[str]:
    """Patterns of feature spaces of a member and of the members that it builds on."""
    lines = {str(m.get("name")): m for m in _members(table)}
    base, sign, _ = member.partition("@")
    if base in seen or base not in lines:
        return []
    seen.add(base)
    part = swept(member) if sign else None
    if part is not None and "features" in lines[base].get("sweep", {}):
        return part.layer.split("+")
    given = list(lines[base].get("features", []))
    choices = lines[base].get("sweep", {}).get("features")
    if choices:
        given = [p for c in choices for p in ([c] if isinstance(c, str) else c)]
    found = []
    for pattern in map(str, given):
        others = [n for n in lines if n not in seen and fnmatchcase(n, pattern.partition("@")[0])]
        if pattern.partition(".")[0] in table.get("features", {}):
            found.append(pattern)
        elif others:
            found += [p for n in others for p in _patterns(table, n, seen)]
        else:
            found.append(pattern)
    return found


def _space(table: Mapping[str, Any], pattern: str) -> tuple[str, list[str]]:
    """The model behind a pattern of feature spaces, and the layers it names."""
    head, _, node = pattern.partition(".")
    line = table.get("features", {}).get(head.partition("@")[0])
    if not isinstance(line, Mapping):
        return pattern, []
    nodes = line.get("nodes") if node == "*" else [node]
    shown = [str(n) for n in nodes] if isinstance(nodes, list | tuple) else []
    return str(line.get("model") or line.get("use") or head), [n for n in shown if n]


def read_recipe(text: str) -> dict[str, Any]:
    """The table of a recipe; empty where the text is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
