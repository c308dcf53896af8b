"""Data sets: one corpus or challenge, one file; `folder` reads your own data."""

from __future__ import annotations

NAMES = {
    "algonauts2019": "striate.datasets.algonauts2019:Algonauts2019",
    "folder": "striate.datasets.folder:Folder",
}
