"""A tiny extractor whose rows follow from the digests, and looks at whole folders."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Stimuli

KEY = "ab" + 30 * "0"


def stimuli_of(count: int, start: int = 0) -> Stimuli:
    names = [f"img{i}" for i in range(start, start + count)]
    table = pd.DataFrame(
        {"file": [f"{n}.png" for n in names], "digest": [f"d{n}" for n in names]}, index=names
    )
    return Stimuli(table)


def row_of(digest: str, width: int) -> np.ndarray:
    seed = sum(ord(c) * 31**k for k, c in enumerate(digest)) % 2**32
    return np.random.default_rng(seed).standard_normal(width).astype(np.float32)


@dataclass
class Toy:
    batch: int = 4
    width: int = 6
    pause: float = 0.0
    asked: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        return ["low", "deep/3 relu"]

    def identity(self) -> Mapping[str, Any]:
        return {"weights": "none", "width": self.width}

    def __call__(self, stimuli: Stimuli) -> Iterator[Mapping[str, np.ndarray]]:
        self.asked += stimuli.ids
        digests = list(stimuli.table["digest"])
        for start in range(0, len(digests), self.batch):
            rows = np.stack([row_of(d, self.width) for d in digests[start : start + self.batch]])
            time.sleep(self.pause)
            yield {
                "low": rows,
                "deep/3 relu": (rows * 2).astype(np.float64).reshape(-1, 2, self.width // 2),
            }


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file and folder under a folder, with its bytes."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else b"(folder)"
        for p in sorted(folder.rglob("*"))
    }
