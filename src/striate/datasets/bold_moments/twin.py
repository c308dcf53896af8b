"""A made-up BOLD Moments whose scores are known, in both versions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from striate.datasets import made_films, made_up
from striate.datasets.bold_moments.files import (
    CHALLENGE,
    HEMISPHERES,
    REGIONS,
    REPEATS,
    SURFACES,
    TEST,
    TRAIN,
    Layout,
)
from striate.datasets.bold_moments.targets import film_id
from striate.files import write_pickle

SIZES = {
    "tiny": {"train": 320, "test": 40, "pixels": 32, "voxels": 8, "A": 20, "B": 20},
    "full": {"train": TRAIN, "test": TEST, "pixels": 256, "voxels": 130, "A": 13000, "B": 105000},
}
"""Films, pixels, voxels of a region (about), and further voxels of the whole brain by version."""
SUBJECTS = {
    "tiny": ("sub-01", "sub-06"),
    "full": tuple(f"sub-{k + 1:02d}" for k in range(10)),
}
LACKS = {"sub-06": ("TOS", "RSC"), "sub-07": ("TOS",)}
"""Regions without a file."""
KINDS = {
    "early": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "motion": ("MT", "V3ab", "IPS0", "IPS1-2-3", "7AL", "EBA"),
    "sound": ("STS",),
}
"""What regions are linear in; all others in ``late``."""
LEAST, MOST = 0.7, 1.9
"""Bounds of ncsnr of the voxels of a region."""
GRID = (62, 77, 61)
"""Voxels of the volume of version B."""
FRAMES = {"tiny": (8, 10, 12), "full": (15, 25, 30)}
"""Frames per second, in turn."""
SILENT = 11
"""One film of so many has no sound."""


@dataclass(frozen=True, eq=False)
class Brain:
    """The voxels of one subject, in the order of the whole brain.

    Parameters
    ----------
    kinds
        What each is linear in; empty where it is noise.
    ncsnr
        Spread of the signal over that of the noise; 0 for noise.
    sides
        ``l`` or ``r``.
    regions
        Region → its voxels.

    """

    kinds: np.ndarray
    ncsnr: Float[np.ndarray, " voxel"]
    sides: np.ndarray
    regions: Mapping[str, Int[np.ndarray, " _"]]

    def ceiling(self, repeats: int) -> Float[np.ndarray, " voxel"]:
        """Explainable fraction of variance of the mean of so many repeats."""
        return self.ncsnr**2 / (self.ncsnr**2 + 1 / repeats)


def write(
    folder: Path,
    size: str = "tiny",
    seed: int = 0,
    media: bool = True,
    versions: Sequence[str] = ("A", "B"),
    surfaces: Sequence[str] = (),
) -> pd.DataFrame:
    """Write the twin and return its truth, one line per subject and region.

    Columns: ``subject``, ``roi`` (own and challenge names), ``score`` (expected Pearson of the
    right model with the mean of the 10 test repeats) and ``ceiling`` (its square, averaged over
    voxels), ``score_train`` and ``ceiling_train`` (the same for 3 repeats). Voxels are linear in
    features of the decoded films: early visual regions in oriented contrast, MT, EBA and parietal
    ones in motion, STS in sound, all others in coarse luminance. `features_KIND.npy` and `ids.csv`
    hold those. Two subjects lack regions, FFA and LOC share voxels, the whole brain has voxels of
    noise; the first subject has index files and ceilings in percent (version B). Of `full`, the
    first subject alone has the whole brain, 108,000 voxels in version B: 2 GB.

    Parameters
    ----------
    folder
        Where to write; new or empty.
    size
        ``tiny`` or ``full``.
    seed
        Of everything that is drawn.
    media
        Whether to write films; without them features are random.
    versions
        Which versions to write.
    surfaces
        ``fsaverage``, ``fsLR32k``: write the first subject's organised betas on these as well.

    Raises
    ------
    FileError
        When the folder holds something already.

    """
    made_up.new_folder(folder)
    plan, rng = SIZES[size], np.random.default_rng(seed)
    numbers = {"train": range(1, plan["train"] + 1)}
    numbers["test"] = range(TRAIN + 1, TRAIN + plan["test"] + 1)
    listed = [*numbers["train"], *numbers["test"]]
    if media:
        found = _films(folder / "mp4_h264", listed, plan["pixels"], FRAMES[size], rng)
    else:
        found = _random(len(listed), rng)
    features = {kind: made_up.standardised(values) for kind, values in found.items()}
    made_up.save_features(folder, [film_id(n) for n in listed], features)
    _annotate(folder / "derivatives" / "stimuli_metadata", listed, rng)
    truth: list[dict[str, object]] = []
    for k, subject in enumerate(SUBJECTS[size]):
        for version in versions:
            further = plan[version] if size == "tiny" or k == 0 else 0
            brain = _brain(subject, plan["voxels"], further, version, rng)
            layout = Layout(folder / "derivatives", version, "MNI152", "allvoxel")
            _regions(layout, subject, brain, features, plan, first=k == 0, rng=rng)
            lines = _truth(subject, brain)
            truth += [line for line in lines if line not in truth]
        for space in surfaces if k == 0 else ():
            layout = Layout(folder / "derivatives", "B", space, "allvoxel")
            _surface(layout, subject, features, numbers, rng)
    known = pd.DataFrame(truth)
    known.to_csv(folder / "truth.csv", index=False)
    return known


def _films(
    folder: Path,
    numbers: Sequence[int],
    pixels: int,
    rates: Sequence[int],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Write the films; return their features by kind, in order."""
    folder.mkdir(parents=True)
    seen: dict[str, list[np.ndarray]] = {kind: [] for kind in made_films.KINDS}
    for k, number in enumerate(numbers):
        path, fps = folder / f"{number:04d}.mp4", rates[k % len(rates)]
        sound = k % SILENT > 0
        made_films.write_film(path, rng, seconds=3.0, fps=fps, size=pixels, sound=sound)
        for kind, values in made_films.seen(path).items():
            seen[kind].append(values)
    return {kind: np.stack(values) for kind, values in seen.items()}


def _random(count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {k: rng.standard_normal((count, n)) for k, n in made_films.KINDS.items()}


def _annotate(folder: Path, numbers: Sequence[int], rng: np.random.Generator) -> None:
    """Five made-up descriptions of each film, and what is in it."""
    folder.mkdir(parents=True)
    things, ways = ("leaves", "stripes", "stones"), ("drift", "glide", "fall")
    places = ("left", "right", "middle")
    table = {}
    for number in numbers:
        thing, place = str(rng.choice(things)), str(rng.choice(places))
        told = [f"{thing} {rng.choice(ways)} {k + 1} times on the {place}" for k in range(5)]
        table[f"{number:04d}"] = {
            "memorability_score": round(float(rng.uniform(0.5, 1)), 3),
            "objects": [thing],
            "scenes": [place],
            "actions": [str(rng.choice(ways))],
            "text_descriptions": told,
        }
    (folder / "annotations.json").write_text(json.dumps(table), "utf-8")


def _brain(
    subject: str, voxels: int, further: int, version: str, rng: np.random.Generator
) -> Brain:
    """Regions of differing size, alike in both versions; FFA shares two voxels with LOC."""
    kinds: list[str] = []
    ratios: list[float] = []
    sides: list[str] = []
    regions: dict[str, np.ndarray] = {}
    for k, region in enumerate(REGIONS):
        if region in LACKS.get(subject, ()) or (region == "MT" and version == "A"):
            continue
        count = voxels + (3 * k + int(subject[-2:])) % max(4, voxels // 3)
        kind = next((n for n, of in KINDS.items() if region in of), "late")
        regions[region] = np.arange(len(kinds), len(kinds) + count)
        kinds += [kind] * count
        ratios += np.linspace(LEAST, MOST, count).round(3).tolist()
        sides += ["l", "r"] * (count // 2) + ["l"] * (count % 2)
    regions["FFA"] = np.concatenate([regions["FFA"], regions["LOC"][:2]])
    kinds += [""] * further
    ratios += [0.0] * further
    sides += [str(s) for s in rng.choice(["l", "r"], further)]
    return Brain(np.array(kinds), np.array(ratios), np.array(sides), regions)


def _regions(
    layout: Layout,
    subject: str,
    brain: Brain,
    features: Mapping[str, np.ndarray],
    plan: Mapping[str, int],
    first: bool,
    rng: np.random.Generator,
) -> None:
    """Write the region files of one subject, and what belongs to them."""
    arrays = _planted(features, brain, plan["train"], rng)
    if layout.version == "A":
        arrays = {part: values.astype(np.float64) for part, values in arrays.items()}
    (layout.home / subject).mkdir(parents=True)
    places = rng.choice(np.prod(GRID), len(brain.kinds), replace=False)
    # The mask counts its voxels in C order, and so does the whole brain.
    ijk = np.stack(np.unravel_index(np.sort(places), GRID), axis=1)[
        rng.permutation(len(brain.kinds))
    ]
    whole = np.arange(len(brain.kinds))
    files: dict[str, np.ndarray] = {}
    for region, mine in brain.regions.items():
        if layout.version == "A":
            files[region] = mine
        else:
            files |= {side + region: mine[brain.sides[mine] == side] for side in "lr"}
    if len(brain.kinds) > max(int(m.max()) for m in brain.regions.values()) + 1:
        files["WB"] = whole
    if layout.version == "B":
        files["BMDgeneral"] = whole[::2]
    for name, mine in files.items():
        content = {f"{part}_data_allvoxel": arrays[part][:, :, mine] for part in REPEATS}
        if layout.version == "B" and first:
            for part, repeats in REPEATS.items():
                key = f"{part}_noiseceiling_allvoxel"
                content[key] = 100 * brain.ceiling(repeats)[mine]
            place = layout.index_file(subject, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_pickle(place, (ijk[mine], mine, None))
        write_pickle(layout.region_file(subject, name), content)


def _planted(
    features: Mapping[str, np.ndarray],
    brain: Brain,
    learned: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Responses (film, repeat, voxel), float32: a signal of variance 1 and noise of variance
    1 / ncsnr², or noise of variance 1 alone.
    """
    count, voxels = len(next(iter(features.values()))), len(brain.kinds)
    shapes = {"train": (learned, 3, voxels), "test": (count - learned, 10, voxels)}
    found = {part: np.empty(shape, dtype=np.float32) for part, shape in shapes.items()}
    for start in range(0, voxels, 1000):
        here = slice(start, min(start + 1000, voxels))
        signal = np.zeros((count, here.stop - here.start), dtype=np.float32)
        kinds, ratio = brain.kinds[here], brain.ncsnr[here]
        for kind, values in features.items():
            mine = np.flatnonzero(kinds == kind)
            if len(mine):
                weights = rng.standard_normal((values.shape[1], len(mine)))
                signal[:, mine] = made_up.standardised(values @ weights)
        noise = (1 / np.where(ratio > 0, ratio, 1)).astype(np.float32)
        for part, films in (("train", slice(learned)), ("test", slice(learned, None))):
            drawn = rng.standard_normal((*found[part].shape[:2], len(kinds)), dtype=np.float32)
            found[part][:, :, here] = signal[films, None] + drawn * noise
    return found


def _truth(subject: str, brain: Brain) -> list[dict[str, object]]:
    regions = dict(brain.regions)
    for name, parts in CHALLENGE.items():
        there = [brain.regions[p] for p in parts if p in brain.regions]
        if there:
            regions[name] = np.concatenate(there)
    lines: list[dict[str, object]] = []
    for name, mine in regions.items():
        line: dict[str, object] = {"subject": subject, "roi": name}
        for part, ending in (("test", ""), ("train", "_train")):
            ceiling = brain.ceiling(REPEATS[part])[mine]
            line[f"score{ending}"] = round(float(np.sqrt(ceiling).mean()), 6)
            line[f"ceiling{ending}"] = round(float(ceiling.mean()), 6)
        lines.append(line)
    return lines


def _surface(
    layout: Layout,
    subject: str,
    features: Mapping[str, np.ndarray],
    numbers: Mapping[str, Sequence[int]],
    rng: np.random.Generator,
) -> None:
    """Organised betas in an order of films of their own; one target of 50 has a signal."""
    count = SURFACES[layout.space]
    planted = np.arange(count) % 50 == 0
    kinds = np.where(planted, "late", "")
    brain = Brain(kinds, np.where(planted, 1.0, 0.0), np.full(count, ""), {})
    for side in layout.sides():
        arrays = _planted(features, brain, len(numbers["train"]), rng)
        for part in REPEATS:
            order = rng.permutation(len(numbers[part]))
            path = layout.betas_file(subject, part, side)
            path.parent.mkdir(parents=True, exist_ok=True)
            names = [film_id(numbers[part][k]) for k in order]
            write_pickle(path, (arrays[part][order], names))
        if side != list(HEMISPHERES)[-1]:
            ceilings = (brain.ncsnr, 100 * brain.ceiling(REPEATS["test"]))
            write_pickle(layout.ceiling_file(subject, side), ceilings)
