"""What a copy of a data set holds and what is wrong with it, in lines that a person can compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd

from striate.data import Stimuli
from striate.datasets.facts import Finding
from striate.datasets.tally import measured
from striate.errors import StriateError, some
from striate.interfaces import Dataset
from striate.machine import here, track
from striate.media import digests, film_facts, is_film, is_sound, open_image, sound_rate
from striate.splits import duplicates, leak_units

KINDS = {"image": "image sizes", "film": "film sizes and rates", "sound": "rates of sounds"}
ORDER = ("wrong", "missing", "there")


@dataclass(frozen=True)
class Checked:
    """What came out of looking through a copy.

    Parameters
    ----------
    findings
        What was found file by file: what is wrong first, then what is missing, what is there.
    lines
        The data in numbers, as far as they could be opened.
    unopened
        Why the copy could not be opened as a whole, or nothing.

    """

    findings: tuple[Finding, ...]
    lines: tuple[str, ...]
    unopened: str = ""

    @property
    def wrong(self) -> list[Finding]:
        """The findings that say what does not fit."""
        return [f for f in self.findings if f.kind == "wrong"]

    @property
    def foreign(self) -> bool:
        """Whether this is no copy of the data set at all: nothing of it is there."""
        return bool(self.unopened) and not any(f.kind != "missing" for f in self.findings)


def examine(dataset: Dataset, numbers: bool = True) -> Checked:
    """Look through the files of a copy, whatever is wrong with some of them, then open it.

    Every file of stimuli is opened; those that cannot be read are findings. `numbers` adds a
    summary, for which all responses are read, one subject and piece at a time.
    """
    findings: list[Finding] = []
    lines: list[str] = []
    unopened = ""
    try:
        if look := getattr(dataset, "inspect", None):
            findings += look()
        stimuli = dataset.stimuli()
        told, broken = _files(stimuli)
        named = {f.file for f in findings if f.kind == "wrong"}
        findings += [Finding("wrong", f, why) for f, why in broken.items() if f not in named]
        if numbers:
            lines = [*told, *_labels(stimuli), *_numbers(dataset, stimuli)]
        elif not any(f.kind == "wrong" for f in findings):
            dict(dataset.responses())
    except StriateError as error:
        unopened = str(error)
    ordered = sorted(findings, key=lambda f: ORDER.index(f.kind))
    return Checked(tuple(ordered), tuple(lines), unopened)


def summary(dataset: Dataset) -> list[str]:
    """Lines about stimuli, their files, the responses of each subject, ceilings and the split.

    Every image is opened, and the first frame and sample of every film and sound. Files that are
    missing or unreadable are told, not raised. Responses are read one subject and piece at a time.

    Raises
    ------
    StriateError
        When the data set itself cannot be read; its message says why.

    """
    stimuli = dataset.stimuli()
    return [*_files(stimuli)[0], *_labels(stimuli), *_numbers(dataset, stimuli)]


def _numbers(dataset: Dataset, stimuli: Stimuli) -> list[str]:
    lines: list[str] = []
    blocks = dataset.responses()
    alike: dict[tuple[str, ...], list[str]] = {}
    for subject in track(blocks, len(blocks), "subjects"):
        alike.setdefault(tuple(measured(blocks[subject])), []).append(subject)
    for (first, *rest), names in alike.items():
        who = f"subject {names[0]}" if len(names) == 1 else f"subjects {some(names)}"
        lines += [f"{who}: {first}", *rest]
    own: Any = getattr(dataset, "ceilings", None)
    if callable(own):
        lines += ["ceilings:", *("  " + line for line in own().round(4).to_string().split("\n"))]
    return [*lines, *_split(dataset, stimuli)]


def _files(stimuli: Stimuli) -> tuple[list[str], dict[str, str]]:
    """Lines about the files of stimuli, and what is wrong with those that cannot be read."""
    table = stimuli.table
    absent = table.index[table["file"].astype(str) == ""]
    there = [str(f) for f in table["file"] if f]
    files = list(dict.fromkeys(there))
    with ThreadPoolExecutor(max(1, here().threads)) as pool:
        found = list(track(pool.map(_look, files), len(files), "files"))
    broken = {f: told for f, (kind, told) in zip(files, found, strict=True) if not kind}
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
    return lines, broken


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
