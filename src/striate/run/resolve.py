"""The fully resolved recipe: every field of every component, so that it runs again as it ran."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from striate.recipe import Recipe, settled
from striate.registry import build, table_of
from striate.run.plan import Plan


def resolved(plan: Plan) -> Recipe:
    """The recipe of a plan, sweeps and all, with defaults written out and absolute paths."""
    recipe, base = plan.source, plan.source.base
    members = []
    for member in recipe.member:
        steps = tuple(_line("step", s, base) for s in member.steps)
        encoder = _line("encoder", member.encoder, base)
        members.append(member.model_copy(update={"steps": steps, "encoder": encoder}))
    features = {n: _line("extractor", t, base) for n, t in settled(recipe.features).items()}
    preparation = {
        f.name: getattr(plan.preparation, f.name)
        for f in dataclasses.fields(plan.preparation)
        if getattr(plan.preparation, f.name) not in ((), {})
    }
    split: Any = recipe.split
    if split is None:
        known = {"Parts": "parts", "KFold": "kfold", "Last": "last", "Fixed": "fixed"}
        split = known.get(type(plan.split).__name__)
    return recipe.model_copy(
        update={
            "dataset": _line("dataset", recipe.dataset, base),
            "split": None if split is None else _line("split", split, base),
            "responses": preparation,
            "features": features,
            "member": tuple(members),
        }
    )


def _line(kind: str, table: Mapping[str, Any] | str, base: Path | None) -> dict[str, Any]:
    use = table if isinstance(table, str) else str(table["use"])
    component = build(kind, table, base)
    name, _, cls = use.rpartition(":")
    if name.endswith(".py") and base is not None and (base / name).is_file():
        use = f"{(base / name).resolve()}:{cls}"
    return {k: _absolute(v) for k, v in table_of(component, use).items()}


def _absolute(value: Any) -> Any:
    """Paths of things that exist, made absolute; everything else as it is."""
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, str) and ("/" in value or "." in value) and Path(value).exists():
        return str(Path(value).resolve())
    return value
