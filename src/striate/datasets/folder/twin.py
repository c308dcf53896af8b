"""A made-up folder of images and responses whose scores are known: an example of the layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from striate.datasets import made_up

SIZES = {"tiny": (480, 320, 64), "full": (1500, 1000, 128)}
"""Images in all, images per subject, pixels."""
REPEATS = 3
SUBJECTS = {
    "sub01": {"early": (48, 1.6), "late": (40, 1.2)},
    "sub02": {"early": (40, 1.0), "late": (56, 1.4)},
}
"""Subject → region → number of targets, and their ncsnr."""


def write(folder: Path, size: str = "tiny", seed: int = 0) -> pd.DataFrame:
    """Write the twin and return its truth: subject, roi, score (Pearson), ceiling.

    Region ``early`` is linear in oriented contrast energy (8 features), ``late`` in coarse
    luminance (9 features). In `folder` then lie `images/`; `responses/` with one .npy (stimulus,
    target) per subject, means of the repeats in `repeats/` (stimulus, target, repeat);
    `stimuli.csv`, `targets.csv`; and, for extractors that read arrays, `features_early.npy` and
    `features_late.npy` with their `ids.csv`. The right model reaches `score`, the root of the
    ceiling, less what is lost by estimating few weights from many rows. `truth.csv` holds what is
    returned.

    Raises
    ------
    FileError
        When the folder holds something already.

    """
    made_up.new_folder(folder)
    rng = np.random.default_rng(seed)
    count, share, pixels = SIZES[size]
    for name in ("images", "responses", "repeats"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    ids, files = [f"leaves{k + 1}" for k in range(count)], []
    found: dict[str, list[np.ndarray]] = {"early": [], "late": []}
    for k, stimulus in enumerate(ids):
        kind = "png" if k % 8 == 0 else "jpg"
        content = made_up.encoded(made_up.image(pixels, rng), kind)
        files.append(f"{stimulus}.{kind}")
        (folder / "images" / files[-1]).write_bytes(content)
        grey = made_up.luminance(content)
        found["early"].append(made_up.early(grey))
        found["late"].append(made_up.late(grey))
    features = {n: made_up.standardised(np.stack(v)) for n, v in found.items()}
    made_up.save_features(folder, ids, features)

    lines, targets, truth = [], [], []
    for subject, shown in zip(SUBJECTS, made_up.seen(count, share, rng), strict=True):
        lines += [
            {"subject": subject, "row": row, "id": ids[k], "file": files[k]}
            for row, k in enumerate(shown)
        ]
        pieces, column = [], 0
        for roi, (size_of, ncsnr) in SUBJECTS[subject].items():
            pieces.append(made_up.planted(features[roi][shown], size_of, REPEATS, ncsnr, rng))
            ceiling = ncsnr**2 / (ncsnr**2 + 1 / REPEATS)
            for k in range(size_of):
                name, side = f"{roi}{k + 1}", "lh" if k < size_of // 2 else "rh"
                targets.append((subject, name, column, roi, side, round(ceiling, 6)))
                column += 1
            truth.append((subject, roi, round(ceiling**0.5, 6), round(ceiling, 6)))
        values = np.concatenate(pieces, axis=1).astype(np.float32)
        np.save(folder / "repeats" / f"{subject}.npy", values)
        np.save(folder / "responses" / f"{subject}.npy", values.mean(axis=2))
    pd.DataFrame(lines).to_csv(folder / "stimuli.csv", index=False)
    columns = ["subject", "target", "column", "roi", "hemisphere", "ceiling"]
    pd.DataFrame(targets, columns=columns).to_csv(folder / "targets.csv", index=False)
    known = pd.DataFrame(truth, columns=["subject", "roi", "score", "ceiling"])
    known.to_csv(folder / "truth.csv", index=False)
    return known
