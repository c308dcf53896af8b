"""What a user can do wrong, each told in one sentence with the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StriateError(Exception):
    """A mistake in data, recipe or command: names the bad value, the file and the next step."""


class DataError(StriateError):
    """Stimuli, responses or features that do not fit each other or the schema."""


class RecipeError(StriateError):
    """A recipe, override or component that cannot be understood."""


class FileError(StriateError):
    """A file that is missing, damaged, of the wrong kind, or that would run code."""


def unknown(what: str, name: str, valid: Iterable[str], where: str = "") -> str:
    """Say that `name` is no valid `what`, with the nearest valid names and all of them.

    >>> unknown("encoder", "rigde", ["ridge", "stack"])
    "unknown encoder 'rigde': did you mean 'ridge'? Valid: ridge, stack"
    """
    names = sorted(str(v) for v in valid)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f": did you mean {close[0]!r}?" if close else "."
    place = f" in {where}" if where else ""
    listed = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
    return f"unknown {what} {name!r}{place}{hint} Valid: {listed or 'none'}"


def some(items: Iterable[object], limit: int = 3) -> str:
    """Show the first few of many offending values.

    >>> some([1, 2, 3, 4, 5])
    '1, 2, 3, … (5 in all)'
    """
    listed = [str(i) for i in items]
    if len(listed) <= limit:
        return ", ".join(listed)
    return ", ".join(listed[:limit]) + f", … ({len(listed)} in all)"
