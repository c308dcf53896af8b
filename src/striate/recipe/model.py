"""What a recipe says: its tables checked at the door, every mistake named with the valid keys."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeAlias

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from striate.errors import RecipeError, some, unknown
from striate.recipe.likes import settled_members

Table: TypeAlias = dict[str, Any]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Checked):
    """One model: features, steps and an encoder, and who shares a fit.

    `features` are globs over feature spaces (``"net.*"``) or names of earlier members; `per` are
    target labels whose values get a fit each; with `per` roi, `groups` are the regions, or named
    sets of them, that are fitted (``rest``: targets in none of those, ``all``: every target);
    `after` is a member to start from; `sweep` multiplies the member over dotted paths of itself or
    of a feature that it names.
    """

    name: str = Field(pattern=r"^[^.\s/\\*?\[\]]+(@.*)?$")
    features: tuple[str, ...] = ()
    steps: tuple[str | Table, ...] = ()
    encoder: str | Table
    per: tuple[str, ...] = ("subject",)
    groups: dict[str, tuple[str, ...]] = {}
    after: str = ""
    sweep: dict[str, tuple[Any, ...]] = {}

    @field_validator("groups", mode="before")
    @classmethod
    def _each_by_itself(cls, value: Any) -> Any:
        return {str(r): [r] for r in value} if isinstance(value, list | tuple) else value

    @field_validator("features", "per", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [v.strip() for v in value.split(",")] if isinstance(value, str) else value


class Inner(_Checked):
    """Inner parts: how out-of-fold predictions of members that feed other members are made."""

    folds: int = Field(default=5, ge=2)
    seed: int = 0


class Recipe(_Checked):
    """Everything that decides a run's numbers.

    Parameters
    ----------
    title, cite
        For people.
    dataset, split, features, member
        Components by table; see the plug-in interfaces. The last member is the answer. A feature
        ``{ like = "net", size = 112 }`` is another one with fields of its own, and so is a member
        with ``like``.
    final
        How rows outside every fold are predicted: by a refit, or by the mean of the folds' fits.
    inner
        Folds of out-of-fold predictions.
    responses
        Preparation of the responses; see `striate.prepare.Preparation`.
    scores
        Names of per-target scores; the first is the headline.
    near_duplicates
        What to do about near-duplicate images on both sides of a split: ``measure`` what they are
        worth, ``warn``, put them in one ``group``, or ``ignore`` them.
    on_error
        ``stop`` at a stimulus whose features cannot be computed, or ``skip`` it and its rows.
    expect
        Published numbers: name → value, tol, source.

    """

    title: str = ""
    cite: str = ""
    dataset: Table
    split: str | Table | None = None
    final: Literal["refit", "mean of folds"] = "refit"
    inner: Inner = Inner()
    responses: Table = {}
    features: dict[str, Table] = {}
    member: tuple[Member, ...] = Field(min_length=1)
    scores: tuple[str, ...] = Field(default=("pearson", "spearman", "r2", "mse"), min_length=1)
    near_duplicates: Literal["measure", "warn", "group", "ignore"] = "measure"
    on_error: Literal["stop", "skip"] = "stop"
    expect: dict[str, Table] = {}
    base: Path | None = Field(default=None, exclude=True)

    @field_validator("member", mode="before")
    @classmethod
    def _like_others(cls, value: Any) -> Any:
        return settled_members(value) if isinstance(value, list | tuple) else value

    def named(self, name: str) -> Member:
        """The member of that name."""
        for member in self.member:
            if member.name == name:
                return member
        raise RecipeError(unknown("member", name, [m.name for m in self.member]))

    def members_of(self, member: Member) -> tuple[str, ...]:
        """Names of the earlier members that a member's `features` name."""
        earlier = [m.name for m in self.member[: self.member.index(member)]]
        found: dict[str, None] = {}
        for pattern in member.features:
            head = pattern.partition(".")[0]
            if head in self.features:
                continue
            hits = [n for n in earlier if _is(pattern, n)]
            both = [n for n in self.features if hits and fnmatchcase(n, head)]
            if both:
                raise RecipeError(
                    f"member {member.name!r}: {pattern!r} stands for feature {both[0]!r} and for"
                    f" member {hits[0]!r}; name the ones that are meant"
                )
            found |= dict.fromkeys(hits)
        return tuple(found)

    def patterns_of(self, member: Member) -> tuple[str, ...]:
        """The patterns of a member's `features` that are meant for feature spaces."""
        members = self.members_of(member)
        return tuple(p for p in member.features if not any(_is(p, m) for m in members))

    def toml(self) -> str:
        """The recipe as a TOML file."""
        return tomli_w.dumps(_writable(self.model_dump(mode="python", exclude_none=True)))


def parse(table: Mapping[str, Any], base: Path | None = None, where: str = "recipe") -> Recipe:
    """A recipe from its table; every mistake is one sentence that names the valid keys."""
    if "base" in table:
        raise RecipeError(f"{where}: {unknown('key', 'base', _keys(Recipe))}")
    try:
        recipe = Recipe(**table, base=base)
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain(error, table)}") from error
    names = [m.name for m in recipe.member]
    if len(set(recipe.scores)) < len(recipe.scores):
        raise RecipeError(f"{where}: scores = {list(recipe.scores)} names one twice")
    twice = sorted({n for n in names if names.count(n) > 1} | set(names) & set(recipe.features))
    if twice:
        raise RecipeError(f"{where}: names must differ, but {some(twice)} stands twice")
    return recipe


def explain(error: ValidationError, table: Mapping[str, Any] | None = None) -> str:
    """The first mistake of a table: where it is, what is there, and the valid keys."""
    first = error.errors()[0]
    place = [str(p) for p in first["loc"]]
    if table and place[0] == "member" and len(place) > 1 and isinstance(table["member"], list):
        place[1] = str(table["member"][int(place[1])].get("name", place[1]))
    path = ".".join(place)
    if first["type"] == "extra_forbidden":
        inside: dict[str, type[BaseModel]] = {"member": Member, "inner": Inner}
        deep = len(first["loc"]) > 1
        model = inside.get(str(first["loc"][0]), Recipe) if deep else Recipe
        return unknown("key", str(first["loc"][-1]), _keys(model), path)
    return f"{path or 'recipe'} = {first.get('input')!r}: {first['msg']}"


def _is(pattern: str, name: str) -> bool:
    return pattern == name or fnmatchcase(name, pattern)


def _keys(model: type[BaseModel]) -> list[str]:
    return [f for f in model.model_fields if f != "base"]


def _writable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _writable(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_writable(v) for v in value if v is not None]
    return value if isinstance(value, str | int | float | bool) else str(value)
