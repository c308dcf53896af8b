"""Weights that the recipe fixes, for members, for groups of them, and for regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import Features, Responses, target_table, target_tables
from striate.data.responses import ROI
from striate.encoders.mixing import lines, members, named
from striate.encoders.targets import from_nothing, predicted
from striate.errors import RecipeError, unknown
from striate.interfaces import Encoder, Group, with_learned

Weights: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class Weighted(Encoder):
    """Sums of members by fixed weights.

    `weights` are by the name of a member, or by a glob such as ``"conv*"``: the weight of a glob is
    shared by the members that it names, as their plain average, and the name of a swept member is
    that of all its variants. What a target's missing members
    would weigh goes to the others: first to those of the same glob, then to all in proportion.
    Tables of weights by region, ``{ V1 = { a = 0.7, b = 0.3 }, V2 = … }``, hold for the targets of
    each; one in several regions has the mean of theirs, and ``"*"`` is for those in none.
    """

    weights: dict[str, float | Weights]

    learns: ClassVar[bool] = False

    def __post_init__(self) -> None:
        nested = [isinstance(v, Mapping) for v in self.weights.values()]
        if not nested or (any(nested) and not all(nested)) or not all(self._tables().values()):
            raise RecipeError(
                f"weighted: weights = {dict(self.weights)} must name weights of members, such as"
                " { a = 0.5, b = 0.5 }, or a table of these for every region"
            )

    def _tables(self) -> dict[str, Weights]:
        """Weights by region; ``*`` where there is one table for all."""
        if all(isinstance(v, Mapping) for v in self.weights.values()):
            return {str(k): dict(v) for k, v in self.weights.items()}  # type: ignore[arg-type]
        return {"*": {k: float(v) for k, v in self.weights.items()}}  # type: ignore[arg-type]

    def check(self, members: Sequence[str], regions: Sequence[str]) -> None:
        """Refuse weights of no region, and weights that do not fit the members.

        Raises
        ------
        RecipeError
            With the first name that is none, or the first member without one weight.

        """
        for region, weights in self._tables().items():
            if region != "*" and region not in regions:
                raise _no_region(region, regions)
            _places(weights, members, region)

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Weighted:
        """A copy that knows its targets.

        Raises
        ------
        RecipeError
            When weights and members do not fit each other, or a target has no weights.

        """
        from_nothing(self, start)
        targets = target_tables([target_table(b) for g in groups for b in g])
        names = named(features)
        wide = self._weights(names, targets, np.ones((len(names), len(targets)), dtype=bool))
        part = {"members": names, "weights": wide, "targets": targets, "together": False}
        return with_learned(  # type: ignore[no-any-return]
            self, targets_=targets, note_={"weights": list(lines(part))}
        )

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Weighted sums; NaN where no member with a weight predicts."""
        names = named(features)
        targets: pd.DataFrame = self.targets_  # type: ignore[attr-defined]
        values = members(features, rows, targets, names)
        known = ~np.isnan(values)
        total = np.full(values.shape[1:], np.nan)
        gaps = known.transpose(1, 0, 2).reshape(len(rows), -1)
        # rows with the same gaps share their weights; mostly all rows do
        if (gaps == gaps[:1]).all():
            patterns, place = gaps[:1], np.zeros(len(rows), dtype=int)
        else:
            patterns, place = np.unique(gaps, axis=0, return_inverse=True)
        for k, pattern in enumerate(patterns):
            there = pattern.reshape(len(names), len(targets))
            own = place.ravel() == k
            wide = self._weights(names, targets, there)
            filled = np.where(there[:, None], values[:, own], 0)
            sums = np.einsum("mrt,mt->rt", filled, np.nan_to_num(wide))
            total[own] = np.where(np.isnan(wide).any(axis=0), np.nan, sums)
        return predicted(rows, [(total.astype(np.float32), targets)])

    def _weights(
        self, names: Sequence[str], targets: pd.DataFrame, there: np.ndarray
    ) -> Float[np.ndarray, "member target"]:
        """The weight of every member for every target, of the members that are there."""
        tables = self._tables()
        inside = {n: _inside(targets, n) for n in tables if n != "*"}
        if inside and not any(ROI + n in targets for n in inside):
            known = [str(c)[len(ROI) :] for c in targets if str(c).startswith(ROI)]
            raise _no_region(min(inside), known)
        total, count = np.zeros(there.shape), np.zeros(len(targets))
        for region, mask in inside.items():
            total += np.where(mask, _shared(tables[region], names, there), 0)
            count += mask
        rest = count == 0
        if rest.any() and "*" not in tables:
            lost = targets.index[rest][0]
            raise RecipeError(
                f"weighted: target {lost!r} is in none of the regions {', '.join(inside)}: add"
                ' weights for its region, or for "*", which is any other'
            )
        if rest.any():
            total = np.where(rest, _shared(tables["*"], names, there), total)
        return total / np.where(rest, 1, count)


def _no_region(region: str, known: Sequence[str]) -> RecipeError:
    return RecipeError(unknown("region of weights", region, [*known, "*"], "weighted"))


def _inside(targets: pd.DataFrame, region: str) -> np.ndarray:
    """Which targets are in a region; not every subject has every one."""
    if ROI + region not in targets:
        return np.zeros(len(targets), dtype=bool)
    return targets[ROI + region].to_numpy(bool)


def _shared(
    weights: Weights, names: Sequence[str], there: np.ndarray
) -> Float[np.ndarray, "member target"]:
    """Weights of members: each glob's over those of its members that are there."""
    place = _places(weights, names)
    found, present = np.zeros(there.shape), np.zeros(there.shape[1])
    for pattern, weight in weights.items():
        own = np.array([place[n] == pattern for n in names])
        count = (there & own[:, None]).sum(axis=0)
        found += weight * (there & own[:, None]) / np.maximum(count, 1)
        present += weight * (count > 0)
    everything = sum(weights.values())
    lacks = ~np.isclose(present, everything)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(lacks, everything / present, 1.0)
    # what is left may weigh nothing, or less: then there is no answer
    return np.asarray(found * np.where(lacks & (present <= 0), np.nan, factor))


def _places(weights: Weights, names: Sequence[str], region: str = "*") -> dict[str, str]:
    """The entry of the weights that each member takes its own from."""
    where = "weighted" if region == "*" else f"weights of {region}"
    lost = [p for p in weights if not any(p == n or _is(p, n) for n in names)]
    if not lost:
        place = {n: _pattern(n, weights, names, where) for n in names}
        # a glob whose members all have a weight by name is left with nothing
        lost = [p for p in weights if p not in place.values()]
    if lost:
        raise RecipeError(unknown("member in weights", lost[0], names, where))
    return place


def _pattern(name: str, weights: Weights, names: Sequence[str], where: str) -> str:
    """The entry of the weights that a member takes its own from: its name before a glob."""
    hits = [name] if name in weights else [p for p in weights if _is(p, name)]
    if len(hits) == 1:
        return hits[0]
    what = f"is named by {' and '.join(hits)}" if hits else "has no weight"
    raise RecipeError(
        f"{where}: member {name!r} {what}: give each of {', '.join(names)} one weight, by its name"
        " or by a glob"
    )


def _is(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern) or name.startswith(f"{pattern}@")
