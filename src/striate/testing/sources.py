"""What the loop relies on in extractors and datasets: order, identity, and parts that are apart."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from striate.data import (
    Responses,
    Stimuli,
    assemble,
    check_responses,
    has_truth,
    row_table,
    slots,
    target_table,
)
from striate.errors import some
from striate.interfaces import Dataset
from striate.machine import here, using
from striate.media import digests
from striate.splits import leak_units
from striate.testing.contract import ContractError, must, same, unchanged


def check_extractor(extractor: Any, stimuli: Stimuli) -> None:
    """Check that an extractor keeps the contract on three or more stimuli.

    Raises
    ------
    ContractError
        When its batches lack a space that `names` promises, do not follow the order of stimuli, or
        hold anything but finite numbers; when the size of a batch, other stimuli or chance change
        numbers; when `identity` is not JSON or tells a path.

    """
    name = type(extractor).__name__
    must(len(stimuli) >= 3, f"give three or more stimuli to check {name}, not {len(stimuli)}")
    with unchanged(extractor):
        _check_identity(extractor, name)
        spaces = tuple(extractor.names())
        fine = bool(spaces) and len(set(spaces)) == len(spaces)
        must(fine, f"{name}.names() is {some(spaces)}, but must be different names")
        whole = _gathered(extractor, stimuli, len(stimuli), spaces)
        for space, values in whole.items():
            place = f"{name}: space {space!r}"
            must(len(values) == len(stimuli), f"{place} has {len(values)} of {len(stimuli)} rows")
            must(values.dtype.kind in "biuf", f"{place} holds {values.dtype}, but must be numbers")
            must(bool(np.isfinite(values).all()), f"{place} has values that are not finite")
        turned = stimuli.select(stimuli.ids[::-1])
        others: dict[str, tuple[Stimuli, int, Any]] = {
            "the size of batches changes numbers": (stimuli, 1, slice(None)),
            "two passes give different numbers": (stimuli, len(stimuli), slice(None)),
            "rows do not follow the order of stimuli": (turned, 2, slice(None, None, -1)),
            "what else is extracted changes numbers": (stimuli.select(stimuli.ids[:1]), 1, [0]),
        }
        for what, (shown, batch, rows) in others.items():
            for space, values in _gathered(extractor, shown, batch, spaces).items():
                same(whole[space][rows], values, f"{name}: {what} of space {space!r}")
        if hasattr(extractor, "open_spaces"):
            found = extractor.open_spaces("x", stimuli)
            wanted = {f"x.{s}" if s else "x": s for s in spaces}
            fine = set(found) == set(wanted)
            must(fine, f"{name}.open_spaces('x') has {some(found)}, but must have {some(wanted)}")
            for place, space in wanted.items():
                what = f"{name}: space {space!r} differs from what a pass gives"
                same(whole[space], found[place].read(stimuli.ids), what)


def check_dataset(dataset: Any) -> None:
    """Check that a dataset keeps the contract; its images are read for their content.

    Raises
    ------
    ContractError
        When responses break the schema, name unknown stimuli, or all are hidden; when a split
        parts what leaks; when the official score or the submission of the truth fails.

    """
    name = type(dataset).__name__
    with unchanged(dataset):
        stimuli, blocks = dataset.stimuli(), dict(dataset.responses())
        must(isinstance(stimuli, Stimuli), f"{name}.stimuli() is no striate.data.Stimuli")
        must(bool(blocks), f"{name}.responses() is empty")
        for subject, block in blocks.items():
            where = f"{name}: responses of {subject!r}"
            check_responses(block, where)
            lost = sorted(set(slots(block).ravel()) - set(stimuli.ids))
            must(not lost, f"{where} name stimuli that stimuli() lacks: {some(lost)}")
            own = set(block["subject"].values.tolist()) if "subject" in block.coords else {subject}
            must(own == {subject}, f"{where} are labelled as of {some(own)}")
        must(any(has_truth(b).any() for b in blocks.values()), f"{name} has no measured response")
        same = dataset.stimuli().table.equals(stimuli.table)
        must(same, f"{name}.stimuli() answers differently the second time")
        for subject, block in dataset.responses().items():
            again = subject in blocks and block.identical(blocks[subject])
            must(again, f"{name}.responses() answers differently the second time ({subject!r})")
        _check_calls(dataset, stimuli, name)
        truth = {s: _mean(b).isel(row=np.flatnonzero(has_truth(b))) for s, b in blocks.items()}
        truth = {s: b for s, b in truth.items() if len(b)}
        for score, told in dataset.official_score(truth, truth).items():
            fine = isinstance(told, Mapping) and np.isfinite(told.get("value", np.nan))
            must(fine, f"{name}: official score {score!r} of the truth itself has no finite value")
        if type(dataset).write_submission is not Dataset.write_submission:
            whole = {s: _mean(b).fillna(0.0) for s, b in blocks.items()}
            with tempfile.TemporaryDirectory() as folder:
                path = dataset.write_submission(whole, Path(folder))
                must(Path(path).is_file(), f"{name}.write_submission wrote no file {path}")


def _check_calls(dataset: Any, stimuli: Stimuli, name: str) -> None:
    stimuli = digests(stimuli)
    units, part = leak_units(stimuli), stimuli.table["part"]
    calls = dataset.split().calls(stimuli)
    must(bool(calls), f"{name}.split() makes no calls")
    for call in calls:
        where = f"{name}: call {call.name!r} of the split"
        lost = (set(call.train) | set(call.test)) - set(stimuli.ids)
        must(not lost, f"{where} names unknown stimuli {some(sorted(lost))}")
        must(bool(call.train) and bool(call.test), f"{where} trains or tests on nothing")
        parted = sorted({units[i] for i in call.train} & {units[i] for i in call.test})
        must(not parted, f"{where} has the same image or group on both sides: {some(parted)}")
        leaked = [i for i in call.train if part[i] == "test"]
        must(not leaked, f"{where} trains on stimuli set aside as test: {some(leaked)}")


def _check_identity(extractor: Any, name: str) -> None:
    try:
        text = json.dumps(dict(extractor.identity()))
    except (TypeError, ValueError) as error:
        raise ContractError(f"{name}.identity() is no plain JSON: {error}") from error
    paths = [s for s in _texts(json.loads(text)) if Path(s).is_absolute()]
    if dataclasses.is_dataclass(extractor):
        fields = vars(extractor).values()
        own = [v for v in fields if isinstance(v, str | Path) and Path(str(v)).is_file()]
        paths += [str(v) for v in own if json.dumps(str(v)) in text]
    must(not paths, f"{name}.identity() tells a path, {some(paths)}: tell a digest instead")


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _gathered(
    extractor: Any, stimuli: Stimuli, batch: int, spaces: tuple[str, ...]
) -> dict[str, np.ndarray]:
    with using(replace(here(), batch=batch, quiet=True)):
        batches = list(extractor(stimuli))
    for found in batches:
        must(
            set(found) == set(spaces),
            f"{type(extractor).__name__}: a batch has spaces {some(found)}, but names() has"
            f" {some(spaces)}",
        )
    return {s: np.concatenate([b[s] for b in batches]) for s in spaces}


def _mean(block: Responses) -> Responses:
    """The block without repeats: the mean of those there are."""
    if "repeat" not in block.dims:
        return block
    values = np.asarray(block.values)
    count = (~np.isnan(values)).sum(axis=2)
    mean = np.where(count > 0, np.nansum(values, axis=2) / np.maximum(count, 1), np.nan)
    return assemble(mean.astype(values.dtype), row_table(block), target_table(block))
