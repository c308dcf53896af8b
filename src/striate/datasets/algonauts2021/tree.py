"""Where the files of the 2021 challenge are, and which clips they speak of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from striate.data import natural_key
from striate.datasets.facts import Facts, root_of
from striate.errors import DataError, FileError, RecipeError, unknown

FILMS = "AlgonautsVideos268_All_30fpsmax"
PEOPLE = "participants_data_v2021"
CLIPS, HIDDEN = 1102, 102
"""Clips of the challenge, and how many of them are its test: the last ones."""
ROIS = {"mini": ("LOC", "FFA", "STS", "EBA", "PPA", "V1", "V2", "V3", "V4"), "full": ("WB",)}
"""Track → the files that it has for each subject, in the order of the challenge."""
SUBJECTS = tuple(f"sub{k:02d}" for k in range(1, 11))

FACTS = Facts(
    title="Algonauts 2021",
    where="http://algonauts.csail.mit.edu/2021 (a form; then responses and clips)",
    agreement="the challenge's terms of use: research only, not to be passed on; its successor,"
    " which has the test responses too, is CC0 (dataset bold_moments)",
    size="about 6 GB, and as much in the store once responses have been read",
    citation="Cichy et al. 2021, The Algonauts Project 2021 challenge: how the human brain"
    " makes sense of a world in motion, arXiv:2104.13714",
    tree="""
AlgonautsVideos268_All_30fpsmax/
  0001_….mp4 … 1102_….mp4
participants_data_v2021/
  mini_track/
    sub01/ … sub10/
      LOC.pkl FFA.pkl STS.pkl EBA.pkl PPA.pkl V1.pkl V2.pkl V3.pkl V4.pkl
  full_track/
    sub01/ … sub10/
      WB.pkl
[example.nii]
""",
)


@dataclass(frozen=True)
class Tree:
    """A copy of the challenge; `path` holds `participants_data_v2021`, or is it."""

    path: Path

    @property
    def people(self) -> Path:
        """The folder of the tracks."""
        inner = self.path / PEOPLE
        return inner if inner.is_dir() else self.path

    def check(self) -> None:
        """Raise FileError, which tells where to get the challenge, where nothing of it is."""
        root_of(self.path, FACTS, (PEOPLE, "mini_track", "full_track"))

    def file(self, track: str, subject: str, roi: str) -> Path:
        """The pickle of one region, or of the whole brain, or where it would be."""
        return self.people / f"{track}_track" / subject / f"{roi}.pkl"

    def subjects(self, track: str) -> list[str]:
        """Subjects whose folder is there."""
        found = (self.people / f"{track}_track").glob("sub*")
        return sorted((p.name for p in found if p.is_dir()), key=natural_key)

    def chosen(self, track: str, wanted: Iterable[str]) -> list[str]:
        """Those of `wanted`, or all.

        Raises
        ------
        FileError
            When there are none.
        RecipeError
            When one that is wanted is not there.

        """
        self.check()
        have = self.subjects(track)
        if not have:
            raise FileError(
                f"{self.people / f'{track}_track'} has no folders sub01 … sub10: get the {track}"
                " track, or choose another dataset.track"
            )
        names = tuple(wanted)
        for name in names:
            if name not in have:
                place = str(self.people / f"{track}_track")
                raise RecipeError(unknown("subject", name, have, place))
        return [s for s in have if not names or s in names]

    def films(self) -> dict[int, Path]:
        """The clips by number; empty where their folder is not there."""
        folder = self.film_folder()
        return numbered(folder) if folder else {}

    def film_folder(self) -> Path | None:
        """The folder of the clips."""
        return next((p / FILMS for p in self._homes() if (p / FILMS).is_dir()), None)

    def example(self) -> Path | None:
        """The volume whose affine says where voxels lie."""
        names = [p / n for p in self._homes() for n in ("example.nii", "example.nii.gz")]
        return next((p for p in names if p.is_file()), None)

    def _homes(self) -> tuple[Path, ...]:
        return (self.people.parent, self.people)


def numbered(folder: Path) -> dict[int, Path]:
    """The clips of a folder by number, 1 for the first, as their names begin with it.

    Raises
    ------
    FileError
        When a name does not begin with a number, or two begin with the same.

    """
    files = [p for p in folder.iterdir() if p.suffix.lower() == ".mp4" and p.name[0] != "."]
    found: dict[int, Path] = {}
    for file in sorted(files, key=lambda p: natural_key(p.name)):
        digits = file.stem[: len(file.stem) - len(file.stem.lstrip("0123456789"))]
        if not digits:
            raise FileError(f"{file} does not begin with the number of the clip: rename it")
        if int(digits) in found:
            raise FileError(
                f"{file} and {found[int(digits)].name} begin with the same number: remove one"
            )
        found[int(digits)] = file
    return {n + 1: f for n, f in found.items()} if 0 in found else found


def hidden(files: Mapping[int, Path], known: int) -> int:
    """How many clips are to be predicted: those behind the ones that have responses.

    Raises
    ------
    DataError
        When there are fewer clips than responses.

    >>> hidden({}, 1000), hidden({1: Path("1.mp4"), 3: Path("3.mp4")}, 2)
    (102, 1)

    """
    total = CLIPS if known == CLIPS - HIDDEN else max(files, default=known)
    if total < known:
        raise DataError(
            f"{known} clips have responses, but the last clip is number {total}: get the missing"
            " clips"
        )
    return total - known


def clip(number: int) -> str:
    """The id of a clip.

    >>> clip(7)
    '0007'
    """
    return f"{number:04d}"
