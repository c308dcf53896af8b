"""A made-up tree of the 2023 challenge whose scores are known, from a few images to full size."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from striate.datasets import made_up
from striate.datasets.algonauts2023 import files, masks
from striate.datasets.algonauts2023.files import COUNTS
from striate.errors import FileError, unknown
from striate.files import write_object_npy

SMALL = {
    "subj01": (320, 30, 400, 360),
    "subj02": (320, 30, 400, 360),
    "subj06": (300, 40, 380, 345),
}
"""As `COUNTS`: training and test images, vertices of the left and of the right hemisphere."""
PIXELS, GRAIN = 425, 85
"""Size of an image, and of what it shows: one grain is 5 × 5 pixels, and the file is small."""
EVERYONE = 0.75
"""Share of the smallest training set that all subjects see."""
TRIALS = {1: 0.2, 2: 0.3, 3: 0.5}
"""How often images were shown: number of trials → share of the images."""
SPANS = {
    "prf-visualrois": (0.0, 0.35),
    "floc-words": (0.4, 0.52),
    "floc-bodies": (0.48, 0.62),
    "floc-faces": (0.55, 0.7),
    "floc-places": (0.7, 0.82),
    "streams": (0.0, 0.9),
}
"""Which share of the vertices, in their order, a class covers: classes overlap."""
LACKING = {"subj01": ("mTL-bodies",), "subj02": ("aTL-faces", "mTL-words")}
EARLY = 0.36
"""Vertices in this share of a hemisphere see `early`, the others `late`."""
SILENT = 61
"""Every vertex that this number divides has no signal: its ceiling is exactly 0."""
PIECE = 512


@dataclass(frozen=True)
class Seen:
    """The images of a subject by their running numbers: places in the list of all images."""

    training: Int[np.ndarray, " learned"]
    test: Int[np.ndarray, " tested"]


def write(
    folder: Path,
    size: str = "tiny",
    seed: int = 0,
    *,
    subjects: Sequence[str] = (),
    natural: bool | None = None,
    values: Sequence[str] | None = None,
    released: bool = False,
    columns: tuple[int, int] = (8, 9),
) -> pd.DataFrame:
    """Write the twin and return its truth: subject, roi, score (Pearson), ceiling.

    Vertices in front (`EARLY`) are linear in the 8 features ``early`` of their image, the others in
    the 9 of ``late``, with noise in each of 1 to 3 trials: a vertex of signal-to-noise ratio s has
    the ceiling s² / (s² + mean of 1 / trials), and the right model reaches its root. `score` and
    `ceiling` are means over the vertices of a region. `features_early.npy`, `features_late.npy`
    and `ids.csv` hold the features, `noise_ceilings/` the ceilings in percent and each subject's
    `test_split/noise_ceiling` in fractions. Running numbers do not follow those of the images.

    Parameters
    ----------
    folder
        A new folder.
    size
        ``tiny``: three subjects, few images and vertices, whole masks. ``full``: the true counts
        of all eight, responses of zeros that take no place on disk but for the first subject, and
        plain pictures, whose features are drawn and not seen in them.
    seed
        Of everything that is drawn.
    subjects
        Which of them to write; default all.
    natural
        Whether images show leaves, and features are theirs.
    values
        Subjects that have responses.
    released
        Whether the responses to test images are there.
    columns
        How many features of each kind are drawn where images are plain.

    Raises
    ------
    FileError
        When the folder holds something already.

    """
    made_up.new_folder(folder)
    counts = dict(SMALL if size == "tiny" else COUNTS)
    for name in (*subjects, *(values or ())):
        if name not in counts:
            raise FileError(unknown("subject", name, counts))
    if subjects:
        counts = {s: counts[s] for s in counts if s in subjects}
    if values is None:
        values = tuple(counts) if size == "tiny" else tuple(counts)[:1]
    rng = np.random.default_rng(seed)
    seen, total = _shown(counts, rng)
    numbers = rng.permutation(73_000)[:total]
    natural = size == "tiny" if natural is None else natural
    features = (
        _leaves(folder, seen, numbers, rng)
        if natural
        else _plain(folder, seen, numbers, columns, rng)
    )
    made_up.save_features(folder, [f"nsd{n:05d}" for n in numbers.tolist()], features)

    widest = [max(c[2 + k] for c in counts.values()) for k in range(2)]
    reach = masks.FSAVERAGE if size == "full" else 20_000
    surface = {
        h: np.sort(rng.permutation(reach)[:w])
        for h, w in zip(files.HEMISPHERES, widest, strict=True)
    }
    lines: list[pd.DataFrame] = []
    for k, (subject, line) in enumerate(counts.items()):
        rows = np.concatenate([seen[subject].training, seen[subject].test])
        for side, width in zip(files.HEMISPHERES, line[2:], strict=True):
            whole = len(surface[side])
            kept = np.sort(rng.permutation(whole)[:width])
            # The release stores 64 bits; other whole numbers are as good, and smaller.
            wide = size == "full" or (k == 0 and side == "lh")
            inside = _regions(
                folder / subject,
                side,
                surface[side][kept],
                kept / whole,
                np.int64 if wide else np.uint8,
            )
            ratio = rng.choice([0.8, 1.2, 1.8, 2.6], width)
            ratio[np.arange(width) % SILENT == SILENT - 1] = 0
            known = _responses(
                folder / subject,
                side,
                {n: f[rows] for n, f in features.items()},
                line[0],
                ratio,
                kept / whole < EARLY,
                subject in values,
                released,
                rng,
            )
            _ceilings(folder, subject, side, known)
            lines += [
                pd.DataFrame({"subject": subject, "roi": n, "ceiling": known[m]})
                for n, m in inside.items()
                if subject in values
            ]
    return _truth(folder, lines)


def _truth(folder: Path, parts: list[pd.DataFrame]) -> pd.DataFrame:
    lines = pd.concat([pd.DataFrame(columns=["subject", "roi", "ceiling"], dtype=object), *parts])
    lines = lines.astype({"ceiling": float})
    lines["score"] = np.sqrt(lines["ceiling"])
    known = lines.groupby(["subject", "roi"], sort=False)[["score", "ceiling"]].mean().round(6)
    known = known.reset_index()
    known.to_csv(folder / "truth.csv", index=False)
    return known


def _shown(
    counts: dict[str, tuple[int, int, int, int]], rng: np.random.Generator
) -> tuple[dict[str, Seen], int]:
    """Who sees which images, in which order: some are seen by all, tests by all who have room."""
    shared = int(EVERYONE * min(c[0] for c in counts.values()))
    if max(c[0] for c in counts.values()) > 5000:
        # Of the 73,000 there are not more than 1,000 that all were shown.
        shared = 780
    tested = max(c[1] for c in counts.values())
    start, seen = shared + tested, {}
    for subject, line in counts.items():
        own = np.arange(start, start + line[0] - shared)
        start += len(own)
        seen[subject] = Seen(
            rng.permutation(np.concatenate([np.arange(shared), own])),
            shared + rng.permutation(tested)[: line[1]],
        )
    return seen, start


def _places(seen: dict[str, Seen], numbers: np.ndarray, folder: Path) -> dict[int, list[Path]]:
    """Image → its files, one for each subject that saw it."""
    places: dict[int, list[Path]] = {}
    for subject, own in seen.items():
        for part, rows in (("training", own.training), ("test", own.test)):
            place = files.image_folder(folder / subject, part)
            place.mkdir(parents=True)
            kind = part.removesuffix("ing")
            for k, image in enumerate(rows.tolist(), 1):
                name = f"{kind}-{k:04d}_nsd-{numbers[image]:05d}.png"
                places.setdefault(image, []).append(place / name)
    return places


def _leaves(
    folder: Path, seen: dict[str, Seen], numbers: np.ndarray, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "stimulus feature"]]:
    """Write natural images; return what is seen in them, by kind."""
    found: dict[str, list[np.ndarray]] = {"early": [], "late": []}
    places = _places(seen, numbers, folder)
    step = PIXELS // GRAIN
    for image in range(len(numbers)):
        # Few levels of grey compress well.
        grains = made_up.image(GRAIN, rng) & np.uint8(0xF8)
        content = made_up.encoded(np.repeat(np.repeat(grains, step, 0), step, 1), "png")
        grey = made_up.luminance(content)[step // 2 :: step, step // 2 :: step]
        found["early"].append(made_up.early(grey))
        found["late"].append(made_up.late(grey))
        for place in places.get(image, []):
            place.write_bytes(content)
    return {n: made_up.standardised(np.stack(v)).astype(np.float32) for n, v in found.items()}


def _plain(
    folder: Path,
    seen: dict[str, Seen],
    numbers: np.ndarray,
    columns: tuple[int, int],
    rng: np.random.Generator,
) -> dict[str, Float[np.ndarray, "stimulus feature"]]:
    """Write squares of colour, no two images alike, and draw features that have no part in them."""
    squares = rng.integers(0, 256, (17, 17), dtype=np.uint8)
    pixels = np.repeat(np.repeat(squares, 25, 0), 25, 1)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", PIXELS, PIXELS, 8, 3, 0, 0, 0))
    data = _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    for places in _places(seen, numbers, folder).values():
        # Images share their squares, but each has colours of its own.
        colours = _chunk(b"PLTE", rng.bytes(768))
        for place in places:
            place.write_bytes(b"\x89PNG\r\n\x1a\n" + head + colours + data)
    drawn = rng.standard_normal((len(numbers), sum(columns)), dtype=np.float32)
    return {"early": drawn[:, : columns[0]], "late": drawn[:, columns[0] :]}


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def _regions(
    subject: Path,
    side: str,
    place: Int[np.ndarray, " target"],
    share: Float[np.ndarray, " target"],
    dtype: type[np.generic],
) -> dict[str, np.ndarray]:
    """Write the masks of a hemisphere; return which vertices are in each region that it has."""
    (subject / "roi_masks").mkdir(parents=True, exist_ok=True)
    whole = np.zeros(masks.FSAVERAGE, dtype=dtype)
    whole[place] = 1
    np.save(masks.mask_file(subject, side), whole)
    found: dict[str, np.ndarray] = {}
    for name, regions in masks.CLASSES.items():
        low, high = SPANS[name]
        inside = (share >= low) & (share < high)
        label = ((share - low) / (high - low) * len(regions)).astype(np.int64) + 1
        lacking = LACKING.get(subject.name, ())
        absent = [k for k, n in enumerate(regions, 1) if n in lacking]
        labels = np.where(inside & ~np.isin(label, absent), label, 0)
        np.save(masks.class_file(subject, side, name), labels.astype(dtype))
        np.save(
            masks.class_file(subject, side, name, "fsaverage"),
            masks.to_fsaverage(labels.astype(dtype), whole, 0),
        )
        table = {0: "Unknown"} | dict(enumerate(regions, 1))
        write_object_npy(masks.mapping_file(subject, name), table)
        found |= {n: labels == k for k, n in table.items() if k and (labels == k).any()}
    return found


def _responses(
    subject: Path,
    side: str,
    features: dict[str, Float[np.ndarray, "row feature"]],
    learned: int,
    ratio: Float[np.ndarray, " target"],
    early: np.ndarray,
    there: bool,
    released: bool,
    rng: np.random.Generator,
) -> Float[np.ndarray, " target"]:
    """Write responses in pieces, or none that take place; return the ceilings of the test rows."""
    rows = len(features["early"])
    trials = np.concatenate([_trials(learned, rng), _trials(rows - learned, rng)])
    left = float(np.mean(1 / trials[learned:]))
    stored = {"training": _new(files.fmri_file(subject, side), learned, len(ratio))}
    if released:
        path = files.fmri_file(subject, side, "test")
        stored["test"] = _new(path, rows - learned, len(ratio))
    for kind, mine in (("early", early), ("late", ~early)):
        targets = np.flatnonzero(mine) if there else np.array([], dtype=int)
        for start in range(0, len(targets), PIECE):
            at = targets[start : start + PIECE]
            weights = rng.standard_normal((features[kind].shape[1], len(at)), dtype=np.float32)
            signal = features[kind] @ weights
            signal -= signal.mean(axis=0)
            signal /= signal.std(axis=0)
            noise = rng.standard_normal(signal.shape, dtype=np.float32)
            noise /= np.sqrt(trials, dtype=np.float32)[:, None]
            values = (signal * ratio[at] + noise) / np.sqrt(ratio[at] ** 2 + left)
            stored["training"][:, at] = values[:learned]
            if released:
                stored["test"][:, at] = values[learned:]
    return ratio**2 / (ratio**2 + left)


def _trials(rows: int, rng: np.random.Generator) -> Int[np.ndarray, " row"]:
    """How often each image was shown."""
    ends = np.round(np.cumsum(list(TRIALS.values())) * rows).astype(int)
    return rng.permutation(np.repeat(list(TRIALS), np.diff(ends, prepend=0)))


def _new(path: Path, rows: int, columns: int) -> np.memmap:
    path.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(path, "w+", np.float32, (rows, columns))


def _ceilings(folder: Path, subject: str, side: str, known: np.ndarray) -> None:
    percent = folder / "noise_ceilings" / subject / f"{side}.npy"
    fraction = folder / subject / "test_split/noise_ceiling" / f"{side}_noise_ceiling.npy"
    for path, values in ((percent, 100 * known), (fraction, known)):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values.astype(np.float32))
