"""Sweeps multiplied out: one member for each combination, with feature tables of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from striate.errors import RecipeError, unknown
from striate.recipe.model import Member, Recipe, Table, explain


def expand(recipe: Recipe) -> Recipe:
    """The same recipe with every sweep multiplied out into members and feature tables.

    >>> table = {"use": "ridge"}
    >>> m = {"name": "m", "encoder": table, "sweep": {"encoder.folds": [3, 5]}}
    >>> [m.name for m in expand(Recipe(dataset={"use": "folder"}, member=[m])).member]
    ['m@folds=3', 'm@folds=5']
    """
    features = settled(recipe.features)
    members: list[Member] = []
    variants: dict[str, list[str]] = {}
    for member in recipe.member:
        named = _replaced(member.features, variants)
        member = member.model_copy(update={"features": named})
        if member.after and member.after not in [*(m.name for m in members), *variants]:
            earlier = [m.name for m in members]
            raise RecipeError(
                unknown("earlier member", member.after, earlier, f"{member.name}.after")
            )
        if member.after in variants:
            raise RecipeError(
                f"member {member.name!r} starts after {member.after!r}, which is swept; name one of"
                f" {', '.join(variants[member.after])}"
            )
        if not member.sweep:
            members.append(member)
            continue
        for values in itertools.product(*member.sweep.values()):
            variant = _variant(member, dict(zip(member.sweep, values, strict=True)), features)
            if variant.name in variants.get(member.name, []):
                raise RecipeError(
                    f"sweep of member {member.name!r} makes {variant.name!r} twice: leave one out"
                )
            variants.setdefault(member.name, []).append(variant.name)
            members.append(variant)
    _check_heads(members, set(features) - set(recipe.features))
    return recipe.model_copy(update={"features": features, "member": tuple(members)})


def _check_heads(members: Iterable[Member], swept: set[str]) -> None:
    """A glob must not take in the variants of a feature that another member sweeps."""
    for member in members:
        for pattern in member.features:
            head = pattern.partition(".")[0]
            hits = [n for n in sorted(swept) if pattern not in swept and n != head]
            hits = [n for n in hits if any(c in head for c in "*?[") and fnmatchcase(n, head)]
            if hits:
                raise RecipeError(
                    f"member {member.name!r}: {pattern!r} would take in {hits[0]!r} of a sweep;"
                    " name each feature before the dot"
                )


def settled(features: Mapping[str, Table]) -> dict[str, Table]:
    """Feature tables with ``like = "other"`` replaced by that table, their own fields on top.

    >>> settled({"net": {"use": "gabor", "size": 64}, "big": {"like": "net", "size": 128}})["big"]
    {'use': 'gabor', 'size': 128}
    """
    done: dict[str, Table] = {}
    for name, table in features.items():
        seen, line = [name], dict(table)
        while "like" in line:
            other = line.pop("like")
            if other not in features or other in seen:
                raise RecipeError(
                    unknown("feature", str(other), set(features) - set(seen), f"{name}.like")
                )
            seen.append(other)
            line = dict(features[other]) | line
        done[name] = line
    return done


def _variant(member: Member, values: Mapping[str, Any], features: dict[str, Table]) -> Member:
    table = member.model_dump(exclude={"sweep"})
    tags: list[str] = []
    fresh: dict[str, tuple[str, Table]] = {}
    for path, value in values.items():
        label = _label(value)
        head, _, rest = path.partition(".")
        if head == "features" and rest:
            name, _, inner = rest.partition(".")
            if name not in features or not inner:
                raise RecipeError(unknown("feature in a sweep", rest, features))
            before, line = fresh.get(name, (name, features[name]))
            sign = "," if name in fresh else "@"
            fresh[name] = f"{before}{sign}{inner}={label}", _with(line, inner, value)
            tags.append(f"{name}.{inner}={label}")
        elif path == "features":
            table["features"] = value
            tags.append(label)
        else:
            table = _with(table, path, value)
            ends = [p.rpartition(".")[2] for p in values]
            short = path.rpartition(".")[2]
            tags.append(f"{short if ends.count(short) == 1 else path}={label}")
    for name, (swept, line) in fresh.items():
        features[swept] = line
        patterns = [_renamed(p, name, swept) for p in table["features"]]
        if patterns == list(table["features"]):
            raise RecipeError(
                f"member {member.name!r} sweeps over feature {name!r}, which its `features` do not"
                " name"
            )
        table["features"] = patterns
    table["name"] = f"{member.name}@{','.join(tags)}"
    try:
        return Member(**table)
    except ValidationError as error:
        raise RecipeError(f"sweep of member {member.name!r}: {explain(error)}") from error


def _with(table: Mapping[str, Any], path: str, value: Any) -> Table:
    """A copy of a table with one dotted path set; ``steps.NAME.field`` finds a step by name."""
    head, _, rest = path.partition(".")
    copy = dict(table)
    if head == "steps" and rest:
        name, _, inner = rest.partition(".")
        lines = [{"use": s} if isinstance(s, str) else dict(s) for s in copy["steps"]]
        if not inner or name not in [s["use"] for s in lines]:
            raise RecipeError(unknown("step in a sweep", rest, [s["use"] for s in lines]))
        copy["steps"] = [_with(s, inner, value) if s["use"] == name else s for s in lines]
        return copy
    if not rest:
        return copy | {head: value}
    inner = copy.get(head, {})
    return copy | {head: _with({"use": inner} if isinstance(inner, str) else inner, rest, value)}


def _renamed(pattern: str, name: str, fresh: str) -> str:
    head, dot, rest = pattern.partition(".")
    return f"{fresh}{dot}{rest}" if head == name else pattern


def _replaced(patterns: Iterable[str], variants: Mapping[str, list[str]]) -> tuple[str, ...]:
    return tuple(n for p in patterns for n in variants.get(p, [p]))


def _label(value: Any) -> str:
    if isinstance(value, Mapping):
        return "+".join(f"{k}:{_label(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return "+".join(_label(v) for v in value)
    # Of a path only the end: where a file lies is no part of what a member is.
    return str(value).rstrip("/").rpartition("/")[2].replace("*", "all")
