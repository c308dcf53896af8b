"""Recipes by path or by name, on top of those that they are like, with overrides."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from striate.errors import FileError, RecipeError, unknown
from striate.recipe.likes import inherited
from striate.recipe.model import Recipe, Table, parse


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by path or by the name of a shipped one (``folder/ridge``), with overrides.

    With ``like = "folder/ridge"`` or ``like = "other.toml"``, a file beside it, a recipe starts as
    another one; see `striate.recipe.likes.inherited`.

    Raises
    ------
    RecipeError, FileError
        When there is no such recipe, or it does not fit the schema.

    """
    text, base, where = _text(name)
    table = inherited(_table(text, where), where, lambda other: _other(other, base, where))
    for override in overrides:
        apply_override(table, override)
    return parse(table, base, where)


def _text(name: str | Path) -> tuple[str, Path | None, str]:
    """A recipe's text, the folder that its paths start from, and how messages call it."""
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise FileError(f"no recipe file {str(path)!r}; shipped ones: {', '.join(shipped())}")
        return path.read_text(encoding="utf-8"), path.resolve().parent, str(path)
    if str(name) not in shipped():
        raise RecipeError(unknown("recipe", str(name), [*shipped(), "or a path to a .toml"]))
    text = resources.files("striate.recipes").joinpath(f"{name}.toml").read_text("utf-8")
    return text, None, str(name)


def _table(text: str, where: str) -> Table:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{where} is no valid TOML: {error}") from error


def _other(name: str, base: Path | None, where: str) -> Table:
    """The recipe that another one is like: a shipped one, or a file beside it."""
    if not name.endswith(".toml"):
        text, _, found = _text(name)
    elif base is None or (base / name).resolve().parent != base:
        # Its own paths would start from another folder.
        raise RecipeError(
            f"{where}: like = {name!r} must be a shipped recipe ({', '.join(shipped())}) or a file"
            " in the same folder"
        )
    else:
        text, _, found = _text(base / name)
    return _table(text, found)


def shipped() -> list[str]:
    """Names of the recipes that come with striate."""
    root = resources.files("striate.recipes")
    found = [f.name for f in root.iterdir() if f.name.endswith(".toml")]
    for folder in root.iterdir():
        if folder.is_dir():
            found += [f"{folder.name}/{f.name}" for f in folder.iterdir() if "toml" in f.name]
    return sorted(f.removesuffix(".toml") for f in found)


def apply_override(table: Table, override: str) -> None:
    """Set one dotted path of a recipe's table: ``member.roi.encoder.epochs=5``."""
    path, sign, text = override.partition("=")
    if not sign or not path.strip():
        raise RecipeError(f"override {override!r} is not of the form key=value")
    steps = path.strip().split(".")
    place: Any = table
    for k, step in enumerate(steps[:-1]):
        if isinstance(place, list):
            place = _entry(place, step, ".".join(steps[:k]))
            continue
        if isinstance(place.get(step), str):
            place[step] = {"use": place[step]}
        place = place.setdefault(step, {})
        if not isinstance(place, dict | list):
            raise RecipeError(f"override {override!r}: {'.'.join(steps[: k + 1])} is no table")
    if isinstance(place, list):
        raise RecipeError(f"override {override!r} names a list, but none of its entries' fields")
    place[steps[-1]] = _value(text)


def _entry(entries: list[Any], name: str, path: str) -> Table:
    """The member of that name, or the step of that use, as a table that can be changed."""
    entries[:] = [{"use": e} if isinstance(e, str) else e for e in entries]
    found = {str(e.get("name", e.get("use"))): e for e in entries if isinstance(e, dict)}
    if name not in found:
        raise RecipeError(unknown("entry", name, found, path))
    return found[name]


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
