"""What to do: a recipe is a TOML file, checked at the door, with its sweeps multiplied out."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from striate.errors import FileError, RecipeError, some, unknown

Table = dict[str, Any]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Checked):
    """One model: features, steps and an encoder, and who shares a fit.

    `features` are globs over feature spaces (``"net.*"``) or names of earlier members; `per` are
    target labels whose values get a fit each; `after` is a member to start from; `sweep`
    multiplies the member over dotted paths of itself or of a feature that it names.
    """

    name: str = Field(pattern=r"^[^.\s/\\*?\[\]]+(@.*)?$")
    features: tuple[str, ...] = ()
    steps: tuple[str | Table, ...] = ()
    encoder: str | Table
    per: tuple[str, ...] = ("subject",)
    groups: dict[str, tuple[str, ...]] = {}
    after: str = ""
    sweep: dict[str, tuple[Any, ...]] = {}

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
        ``{ like = "net", size = 112 }`` is another one with fields of its own.
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


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by path or by the name of a shipped one (``folder/ridge``), with overrides.

    Raises
    ------
    RecipeError, FileError
        When there is no such recipe, or it does not fit the schema.

    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise FileError(f"no recipe file {str(path)!r}; shipped ones: {', '.join(shipped())}")
        text, base, where = path.read_text(encoding="utf-8"), path.resolve().parent, str(path)
    else:
        if str(name) not in shipped():
            raise RecipeError(unknown("recipe", str(name), [*shipped(), "or a path to a .toml"]))
        text = resources.files("striate.recipes").joinpath(f"{name}.toml").read_text("utf-8")
        base, where = None, str(name)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{where} is no valid TOML: {error}") from error
    for override in overrides:
        apply_override(table, override)
    return parse(table, base, where)


def shipped() -> list[str]:
    """Names of the recipes that come with striate."""
    root = resources.files("striate.recipes")
    found = [f.name for f in root.iterdir() if f.name.endswith(".toml")]
    for folder in root.iterdir():
        if folder.is_dir():
            found += [f"{folder.name}/{f.name}" for f in folder.iterdir() if "toml" in f.name]
    return sorted(f.removesuffix(".toml") for f in found)


def parse(table: Mapping[str, Any], base: Path | None = None, where: str = "recipe") -> Recipe:
    """A recipe from its table; every mistake is one sentence that names the valid keys."""
    if "base" in table:
        raise RecipeError(f"{where}: {unknown('key', 'base', _keys(Recipe))}")
    try:
        recipe = Recipe(**table, base=base)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_explain(error, table)}") from error
    names = [m.name for m in recipe.member]
    if len(set(recipe.scores)) < len(recipe.scores):
        raise RecipeError(f"{where}: scores = {list(recipe.scores)} names one twice")
    twice = sorted({n for n in names if names.count(n) > 1} | set(names) & set(recipe.features))
    if twice:
        raise RecipeError(f"{where}: names must differ, but {some(twice)} stands twice")
    return recipe


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
        raise RecipeError(f"sweep of member {member.name!r}: {_explain(error)}") from error


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


def _is(pattern: str, name: str) -> bool:
    return pattern == name or fnmatchcase(name, pattern)


def _label(value: Any) -> str:
    if isinstance(value, Mapping):
        return "+".join(f"{k}:{_label(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return "+".join(_label(v) for v in value)
    # Of a path only the end: where a file lies is no part of what a member is.
    return str(value).rstrip("/").rpartition("/")[2].replace("*", "all")


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


def _explain(error: ValidationError, table: Mapping[str, Any] | None = None) -> str:
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


def _keys(model: type[BaseModel]) -> list[str]:
    return [f for f in model.model_fields if f != "base"]


def _writable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _writable(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_writable(v) for v in value if v is not None]
    return value if isinstance(value, str | int | float | bool) else str(value)
