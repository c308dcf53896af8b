"""Data sets: one corpus or challenge, one file; `folder` reads your own data."""

from __future__ import annotations

NAMES = {
    "algonauts2019": "striate.datasets.algonauts2019:Algonauts2019",
    "algonauts2021": "striate.datasets.algonauts2021:Algonauts2021",
    "algonauts2023": "striate.datasets.algonauts2023:Algonauts2023",
    "algonauts2025": "striate.datasets.algonauts2025:Algonauts2025",
    "bold_moments": "striate.datasets.bold_moments:BoldMoments",
    "folder": "striate.datasets.folder:Folder",
    "nsd": "striate.datasets.nsd:Nsd",
}
