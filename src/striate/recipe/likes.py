"""Things that start as another one: recipes from recipes, members from members, tables merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from striate.errors import RecipeError, unknown

Table: TypeAlias = dict[str, Any]


def inherited(table: Table, where: str, find: Callable[[str], Table]) -> Table:
    """A recipe's table on top of the one that its ``like`` names, and so on; see `merged`.

    Members are merged by name. A new one stands before the member that follows it here, or at the
    end. Published numbers (``expect``) belong to one system and are not taken over.

    Raises
    ------
    RecipeError
        When recipes are like one another in a circle.

    """
    line, seen = dict(table), [where]
    while "like" in line:
        other = line.pop("like")
        if not isinstance(other, str) or other in seen:
            raise RecipeError(
                f"{where}: like = {other!r} leads in a circle or names no recipe; name one that"
                " starts from nothing or from others"
            )
        seen.append(other)
        first = {k: v for k, v in find(other).items() if k != "expect"}
        line = merged(first, line) | {"member": _members(first, line)}
    return line


def merged(first: Mapping[str, Any], later: Mapping[str, Any]) -> Table:
    """One table on top of another, key by key; what is no table replaces what was there.

    A component that has another ``use`` replaces the whole table; one without ``use`` changes
    fields of the component, also where that was named shortly.

    >>> merged({"net": {"use": "timm", "size": 64}, "a": 1}, {"net": {"size": 32}})
    {'net': {'use': 'timm', 'size': 32}, 'a': 1}
    >>> merged({"encoder": {"use": "lasso", "folds": 3}}, {"encoder": {"use": "res"}})
    {'encoder': {'use': 'res'}}
    >>> merged({"encoder": "lasso"}, {"encoder": {"folds": 5}})
    {'encoder': {'use': 'lasso', 'folds': 5}}
    """
    done = dict(first)
    for key, value in later.items():
        before = done.get(key)
        if isinstance(before, str) and isinstance(value, Mapping) and "use" not in value:
            before = {"use": before}
        if not (isinstance(before, Mapping) and isinstance(value, Mapping)):
            done[key] = value
        elif value.get("use", before.get("use")) != before.get("use"):
            done[key] = dict(value)
        else:
            done[key] = merged(before, value)
    return done


def settled_members(members: Sequence[Any]) -> list[Any]:
    """Members with ``like = "other"`` replaced by that member, their own fields on top.

    Raises
    ------
    RecipeError
        When there is no such member, or members are like one another in a circle.

    >>> one = {"name": "one", "features": ["net.3"], "encoder": "ridge"}
    >>> settled_members([one, {"name": "two", "like": "one", "features": ["net.6"]}])[1]
    {'name': 'two', 'features': ['net.6'], 'encoder': 'ridge'}

    """
    known = {str(m.get("name")): m for m in members if isinstance(m, Mapping)}
    done = []
    for member in members:
        line, seen = member, {str(member.get("name"))} if isinstance(member, Mapping) else set()
        while isinstance(line, Mapping) and "like" in line:
            other = str(line["like"])
            if other not in known or other in seen:
                raise RecipeError(
                    unknown("member", other, set(known) - seen, f"member.{line.get('name')}.like")
                )
            seen.add(other)
            own = {k: v for k, v in line.items() if k != "like"}
            line = merged(known[other], own)
        done.append(line)
    return done


def _members(first: Mapping[str, Any], later: Mapping[str, Any]) -> list[Any]:
    done = list(first.get("member", []))
    place = len(done)
    for member in reversed(later.get("member", [])):
        names = [m.get("name") for m in done]
        if member.get("name") in names:
            place = names.index(member["name"])
            done[place] = merged(done[place], member)
        else:
            done.insert(place, member)
    return done
