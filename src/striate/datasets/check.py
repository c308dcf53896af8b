"""What a data set holds, told in lines that a person can compare with what they expect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from striate.data import Responses, Stimuli, has_truth, membership
from striate.errors import StriateError, some
from striate.interfaces import Dataset
from striate.machine import here, track
from striate.media import digests, film_facts, is_film, is_sound, open_image, sound_rate
from striate.scores import split_half
from striate.splits import duplicates, leak_units

KINDS = {"image": "image sizes", "film": "film sizes and rates", "sound": "rates of sounds"}


def summary(dataset: Dataset) -> list[str]:
    """Lines about stimuli, their files, the responses of each subject, ceilings and the split.

    Every image is opened, and the first frame and sample of every film and sound. Files that are
    missing or unreadable are told, not raised.

    Raises
    ------
    StriateError
        When the data set itself cannot be read; its message says why.

    """
    stimuli, blocks = dataset.stimuli(), dataset.responses()
    lines = [*_files(stimuli), *_labels(stimuli)]
    alike: dict[tuple[str, ...], list[str]] = {}
    for subject, block in blocks.items():
        alike.setdefault(tuple(_measured(block)), []).append(subject)
    for (first, *rest), names in alike.items():
        who = f"subject {names[0]}" if len(names) == 1 else f"subjects {some(names)}"
        lines += [f"{who}: {first}", *rest]
    own = getattr(dataset, "ceilings", None)
    if own is not None:
        lines += ["ceilings:", *("  " + line for line in own().round(4).to_string().split("\n"))]
    return [*lines, *_split(dataset, stimuli)]


def _files(stimuli: Stimuli) -> list[str]:
    table = stimuli.table
    absent = table.index[table["file"].astype(str) == ""]
    there = [str(f) for f in table["file"] if f]
    files = list(dict.fromkeys(there))
    with ThreadPoolExecutor(max(1, here().threads)) as pool:
        found = list(track(pool.map(_look, files), len(files), "files"))
    broken = [f for f, one in zip(files, found, strict=True) if not one[0]]
    kinds = Counter(kind for kind, _ in found if kind)
    counted = ", ".join(f"{kinds[k]} {k}s" for k in KINDS if kinds[k]) or "0 images"
    first = f"{len(stimuli)} stimuli: {counted}"
    if len(there) > len(files):
        first += f" for {len(there)} of them"
    first += f", {len(absent)} without a file" + (f" ({some(absent)})" if len(absent) else "")
    lines = [f"{first}, {len(broken)} unreadable" + (f" ({some(broken)})" if broken else "")]
    for kind, what in KINDS.items():
        seen = Counter(detail for k, detail in found if k == kind).most_common()
        if seen:
            lines.append(f"{what}: {some([f'{d} ({count})' for d, count in seen], 5)}")
    if not broken:
        same = duplicates(digests(stimuli))
        named = some([" = ".join(s) for s in same])
        lines.append(f"exact duplicates: {len(same)}" + (f" ({named})" if same else ""))
    return lines


def _look(file: str) -> tuple[str, str]:
    """The kind of a file and what there is to say of it; no kind where it cannot be read."""
    try:
        if is_film(file):
            film = film_facts(file)
            return "film", f"{film.width} × {film.height} at {film.rate:.4g} per s"
        if is_sound(file):
            rate = sound_rate(file)
            return ("sound", f"{rate} per s") if rate else ("", "holds no sound")
        image = open_image(file)
    except StriateError as error:
        return "", str(error)
    return "image", f"{image.width} × {image.height}"


def _labels(stimuli: Stimuli) -> list[str]:
    lines = []
    for column, what in (("part", "parts"), ("group", "leak groups")):
        counts = Counter(v for v in stimuli.table[column].astype(str) if v)
        if counts:
            told = [f"{name} {count}" for name, count in counts.items()]
            lines.append(f"{what}: {len(counts)} ({some(told)})")
    return lines


def _measured(block: Responses) -> list[str]:
    values, truth = np.asarray(block.values), has_truth(block)
    line = f"{block.sizes['row']} rows × {block.sizes['target']} targets"
    regions = membership(block)
    if len(regions.columns):
        told = [f"{name} {int(count)}" for name, count in regions.sum().items()]
        rest = int((~regions.any(axis=1)).sum())
        line += f"; {some(told, 12)}" + (f", in no region {rest}" if rest else "")
    if "time" in block.coords:
        line += f"; {len(np.unique(block.time.values))} samples in time"
    if "stimulus_2" in block.coords:
        line += "; a row is a pair of stimuli"
    lines = [line]
    hidden = int((~truth).sum())
    known = values[truth]
    if "repeat" in block.dims:
        each = (~np.isnan(known)).sum(axis=2)
        low, high = (int(each.min()), int(each.max())) if each.size else (0, 0)
        span = f"{low}" if low == high else f"{low} to {high}"
        lines.append(f"  repeats: {span}; {int((each == 0).sum())} responses without any")
    else:
        lines.append(f"  missing: {int(np.isnan(known).sum())} of {known.size} responses")
    if hidden:
        lines.append(f"  hidden: {hidden} rows without responses")
    flat = _constant(known)
    if flat:
        lines.append(f"  constant: {flat} targets never vary")
    return [*lines, *_ceilings(block, known)]


def _constant(known: np.ndarray) -> int:
    if not len(known):
        return 0
    columns = np.moveaxis(known, 1, 0).reshape(known.shape[1], -1)
    low = np.where(np.isnan(columns), np.inf, columns).min(axis=1)
    high = np.where(np.isnan(columns), -np.inf, columns).max(axis=1)
    return int((low == high).sum())


def _ceilings(block: Responses, known: np.ndarray) -> list[str]:
    if "ceiling" in block.coords:
        ceiling, source = block.ceiling.values.astype(float), "given"
    elif "repeat" in block.dims and block.sizes["repeat"] > 1 and len(known) > 2:
        ceiling, source = split_half(known, splits=20), "split halves of the repeats"
    else:
        return ["  ceiling: unknown (no repeats, and targets have none)"]
    regions = membership(block)
    told = [f"median {_median(ceiling)}"]
    told += [f"{name} {_median(ceiling[regions[name].to_numpy()])}" for name in regions]
    return [f"  ceiling ({source}): {some(told, 12)}"]


def _median(values: np.ndarray) -> str:
    kept = values[~np.isnan(values)]
    return f"{np.median(kept):.3f}" if len(kept) else "none"


def _split(dataset: Dataset, stimuli: Stimuli) -> list[str]:
    try:
        calls = dataset.split().calls(stimuli)
    except StriateError as error:
        return [f"split: {error}"]
    units = leak_units(stimuli)
    lines = [f"split: {dataset.split()}"]
    for call in calls:
        both = _units(units, call.train) & _units(units, call.test)
        lines.append(
            f"  {call.name}: {len(call.train)} stimuli to learn from, {len(call.test)} to predict"
            + (f"; {len(both)} leak groups on both sides" if both else "")
        )
    return lines


def _units(units: pd.Series, ids: Sequence[str]) -> set[str]:
    return set(units.loc[list(ids)])
