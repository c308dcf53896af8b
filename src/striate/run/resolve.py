"""The fully resolved recipe: every field of every component, so that it runs again as it ran."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.recipe import Recipe, settled
from striate.registry import find, names
from striate.run.plan import Plan


def resolved(plan: Plan) -> Recipe:
    """The recipe of a plan, sweeps and all, with defaults written out and absolute paths."""
    recipe, base = plan.source, plan.source.base
    # Defaults of one class are no fields of another that a sweep puts in its place.
    swept = {path for m in recipe.member for path in m.sweep}
    members = []
    for member in recipe.member:
        steps = tuple(_line("step", s, base) for s in member.steps)
        encoder = _line("encoder", member.encoder, base, "encoder.use" not in member.sweep)
        sweep = {k: tuple(_absolute(v, base) for v in values) for k, values in member.sweep.items()}
        members.append(
            member.model_copy(update={"steps": steps, "encoder": encoder, "sweep": sweep})
        )
    features = {
        n: _line("extractor", t, base, f"features.{n}.use" not in swept)
        for n, t in settled(recipe.features).items()
    }
    preparation = {
        f.name: getattr(plan.preparation, f.name)
        for f in dataclasses.fields(plan.preparation)
        if getattr(plan.preparation, f.name) not in ((), {})
    }
    split: Any = recipe.split and _line("split", recipe.split, base)
    for name, place in names("split").items():
        if split is None and place == f"{type(plan.split).__module__}:{type(plan.split).__name__}":
            split = {"use": name} | vars(plan.split)
    return recipe.model_copy(
        update={
            "dataset": _line("dataset", recipe.dataset, base),
            "split": split,
            "responses": preparation,
            "features": features,
            "member": tuple(members),
        }
    )


def _line(
    kind: str, table: Mapping[str, Any] | str, base: Path | None, defaults: bool = True
) -> dict[str, Any]:
    """A component's line with every default written out; what only a sweep sets stays out."""
    line = {"use": table} if isinstance(table, str) else dict(table)
    cls = find(kind, line["use"], base)
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    for field in fields:
        if not defaults or not field.init or field.name in line:
            continue
        if field.default is not dataclasses.MISSING:
            line[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            line[field.name] = field.default_factory()
    paths = {f.name for f in fields if f.metadata.get("machine")}
    home = line.get("path") or "."
    return {
        k: _absolute(v, base, Path(home) if k != "path" else Path(), k in paths)
        for k, v in line.items()
        if v is not None and not dataclasses.is_dataclass(v)
    }


def _absolute(value: Any, base: Path | None, home: Path = Path(), sure: bool = False) -> Any:
    """Files and folders that exist as absolute paths, plug-ins beside the recipe too.

    What is in the component's own folder, `home`, is found there and stays as it is. A name
    without a dot or slash is taken for a path only when it is `sure` to be one.
    """
    if isinstance(value, Mapping):
        return {k: _absolute(v, base, home) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(v, base, home, sure) for v in value]
    if not isinstance(value, str | Path) or not str(value):
        return value
    file, colon, name = str(value).rpartition(":")
    if file.endswith(".py"):
        found = [f / file for f in (base, Path.cwd()) if f is not None and (f / file).is_file()]
        return f"{found[0].resolve()}{colon}{name}" if found else value
    path = Path(value)
    likely = sure or isinstance(value, Path) or "/" in value or "." in value
    inside = home != Path() and (home / path).exists()
    return str(path.resolve()) if likely and not inside and path.exists() else value
