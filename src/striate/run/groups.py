"""Who shares a fit: targets with equal labels, in jobs of those whose rows are the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from striate.data import Responses, membership, roi_names, target_table
from striate.errors import RecipeError, unknown
from striate.recipe import Member

Part: TypeAlias = tuple[str, np.ndarray]
"""A subject and the positions of some of their targets."""
Group: TypeAlias = tuple[Part, ...]
"""Targets that share one fit, subject by subject."""

REST, ALL = "rest", "all"
"""Names that `groups` of a member may hold beside regions: targets in none of those that they name,
and every target."""
LARGEST_JOB = 1 << 28
"""Responses (1 GiB of single precision) beyond which groups are fitted one after the other."""


@dataclass(frozen=True, eq=False)
class Job:
    """Groups that one call of an encoder fits, and the place of the fit that they start from."""

    groups: tuple[Group, ...]
    start: int | None = None


def jobs_of(
    member: Member,
    responses: Mapping[str, Responses],
    rows: Mapping[str, str],
    starts: Sequence[Iterable[Group]] | None = None,
) -> Iterator[Job]:
    """The fits of a member: groups whose subjects all have the same rows are gathered in one.

    A job grows until it holds `LARGEST_JOB` responses; the next group then begins another one.

    `rows` names the rows of each subject; `starts` has the groups of each earlier fit that this
    member may start from.
    """
    jobs: dict[tuple[str, int | None, int], list[Group]] = {}
    sizes: dict[tuple[str, int | None], tuple[int, int]] = {}
    for k, group in enumerate(groups_of(member, responses)):
        start = None if starts is None else _containing(starts, group)
        names = {rows[s] for s, _ in group}
        shared = names.pop() if len(names) == 1 else f"group {k}"
        own = sum(len(at) * responses[s].shape[0] for s, at in group)
        turn, size = sizes.get((shared, start), (0, 0))
        turn, size = (turn + 1, own) if size and size + own > LARGEST_JOB else (turn, size + own)
        sizes[shared, start] = turn, size
        jobs.setdefault((shared, start, turn), []).append(group)
    for (_, start, _), groups in jobs.items():
        yield Job(tuple(groups), start)


def groups_of(member: Member, responses: Mapping[str, Responses]) -> list[Group]:
    """Targets with the same values of the labels in `per`; a target may be in several regions.

    Raises
    ------
    RecipeError
        When a label or a region is unknown, or no target is left.

    """
    groups: dict[tuple[str, ...], list[Part]] = {}
    for subject, block in responses.items():
        table = target_table(block)
        columns = []
        for label in (p for p in member.per if p != "roi"):
            if label not in table and label != "subject":
                valid = [*(str(c) for c in table if not str(c).startswith("roi:")), "roi"]
                raise RecipeError(unknown("label in per", label, valid, member.name))
            own = label == "subject"
            columns.append([subject] * len(table) if own else table[label].astype(str).tolist())
        labels = list(zip(*columns, strict=True)) if columns else [()] * len(table)
        everything = {"": np.ones(len(table), dtype=bool)}
        masks = _regions(member, responses, block) if "roi" in member.per else everything
        for region, mask in masks.items():
            found: dict[tuple[str, ...], list[int]] = {}
            for j in np.flatnonzero(mask).tolist():
                found.setdefault((*labels[j], region), []).append(j)
            for combination, at in found.items():
                groups.setdefault(combination, []).append((subject, np.array(at)))
    if not groups:
        raise RecipeError(f"member {member.name!r}: per = {list(member.per)} groups no target")
    return [tuple(g) for g in groups.values()]


def _regions(
    member: Member, responses: Mapping[str, Responses], block: Responses
) -> dict[str, np.ndarray]:
    inside = membership(block)
    known = {n for b in responses.values() for n in roi_names(b)}
    if not known:
        raise RecipeError(f"member {member.name!r} is fitted per roi, but targets have none")
    named = member.groups or {n: (n,) for n in inside}
    for rois in named.values():
        for roi in rois:
            if roi not in known and roi not in (REST, ALL):
                valid = {*known, REST, ALL}
                raise RecipeError(unknown("roi", roi, valid, f"groups of {member.name}"))
    own = {r for rois in named.values() for r in rois if r in inside}
    masks: dict[str, np.ndarray] = {n: inside[n].to_numpy() for n in inside}
    # What is in no region that any group names; a region of one of these names goes first.
    masks = {REST: ~inside[sorted(own)].any(axis=1).to_numpy()} | masks
    masks = {ALL: np.ones(len(inside), dtype=bool)} | masks
    here_too = {n: [masks[r] for r in rois if r in masks] for n, rois in named.items()}
    return {n: np.any(found, axis=0) for n, found in here_too.items() if found}


def _containing(starts: Sequence[Iterable[Group]], group: Group) -> int:
    """The place of the earlier fit of which one group contains all targets of this one."""
    for k, groups in enumerate(starts):
        for wider in map(dict, groups):
            if all(s in wider and np.isin(at, wider[s]).all() for s, at in group):
                return k
    raise RecipeError(
        "a member that starts after another one needs each of its groups inside one fit of that"
        " one: give the earlier member fewer labels in `per`"
    )
