"""What is there, missing or wrong in a copy of the 2019 challenge, file by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from striate.datasets.algonauts2019 import rdm_files
from striate.datasets.algonauts2019.rdm_files import COUNT, KEYS, SETS
from striate.datasets.facts import Finding, tried
from striate.errors import some
from striate.media import open_image


def findings(root: Path, subjects: int) -> Iterator[Finding]:
    """Images and RDMs of every set; what is wrong with one file does not hide the others."""
    for name in COUNT:
        folder = rdm_files.image_folder(root, name)
        files = [rdm_files.target_file(root, name, modality) for modality in KEYS]
        if name not in SETS and not folder.is_dir() and not any(f.is_file() for f in files):
            continue
        yield from _images(folder, name)
        for modality, file in zip(KEYS, files, strict=True):
            yield from _rdms(file, name, modality, subjects)


def _images(folder: Path, name: str) -> Iterator[Finding]:
    count = COUNT[name]
    found, wrong = tried(folder, lambda: rdm_files.numbered(folder, count))
    yield from wrong
    files, odd = found or ({}, [])
    for file in odd:
        told = f"is none of {count} images numbered 1 to {count}, or its number stands twice"
        yield Finding("wrong", file, told)
    if not files:
        told = f"no images, so features of set {name} cannot be computed"
        yield Finding("missing", str(folder), told)
        return
    lost = [k for k in range(1, count + 1) if k not in files]
    if lost:
        yield Finding("wrong", str(folder), f"lacks image {some(lost, 8)} of {count}")
    sizes: Counter[str] = Counter()
    for file in files.values():
        image, wrong = tried(file, lambda f=file: open_image(f))  # type: ignore[misc]
        yield from wrong
        if image is not None:
            sizes[f"{image.width} × {image.height}"] += 1
    yield Finding("there", str(folder), f"{len(files)} images, {some(sizes)} pixels")


def _rdms(file: Path, name: str, modality: str, subjects: int) -> Iterator[Finding]:
    if not file.is_file():
        means = f"so the {modality} of set {name} can be predicted, but not learned or scored"
        yield Finding("missing", str(file), f"no RDMs, {means}")
        return
    rdms, wrong = tried(file, lambda: rdm_files.read_rdms(file, modality, subjects, COUNT[name]))
    yield from wrong
    if rdms is None:
        return
    for region, values in rdms.items():
        people, samples = len(values), values.shape[1] if modality == "meg" else 1
        i, j = np.triu_indices(COUNT[name], 1)
        flat = (np.ptp(values[..., i, j], axis=-1) == 0).reshape(people, -1).any(axis=1)
        for k in np.flatnonzero(flat):
            yield Finding(
                "wrong", str(file), f"{KEYS[modality][region]} of subject {k + 1} is flat"
            )
        told = f"{region}: {people} subjects" + (f" × {samples} samples" if samples > 1 else "")
        yield Finding("there", str(file), f"{told}, {COUNT[name]} images")
