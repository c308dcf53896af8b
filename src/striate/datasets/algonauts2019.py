"""The Algonauts 2019 challenge: predict how dissimilar two images are to the visual cortex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd

from striate.data import Responses, Stimuli, align, has_truth, label_responses, row_table
from striate.datasets import rdm_files
from striate.datasets.rdm_files import SETS
from striate.errors import DataError, FileError, StriateError, some, unknown
from striate.interfaces import Dataset
from striate.scores import (
    ALGONAUTS2019_CEILINGS,
    algonauts2019,
    algonauts2019_percent,
    rdm_ceiling,
)

REGIONS = MappingProxyType({"fmri": ("EVC", "IT"), "meg": ("early", "late")})


@dataclass(frozen=True)
class Algonauts2019(Dataset):
    """RDMs of 15 subjects for each of three image sets, in the official tree.

    A row is a pair of images of one set (upper triangle, row by row); a target is a region (EVC,
    IT) or a window (early, late; one target per sample in ``time``). Subjects of different sets
    are different people: ``set92.sub03``. A test set whose RDMs were never released has one
    subject without values, ``set78.hidden``. Images may be missing until they are needed.

    Parameters
    ----------
    path
        The folder that holds `Training_Data` and `Test_Data`.
    test
        The image set that is predicted.
    train
        The image sets to learn from; default all others that have RDMs.
    modality
        ``fmri`` or ``meg``.
    subjects
        How many subjects each set must have.

    """

    path: str | Path = field(metadata={"machine": True})
    test: Literal["92", "118", "78"] = "78"
    train: tuple[str, ...] = ()
    modality: Literal["fmri", "meg"] = "fmri"
    subjects: int = 15

    def stimuli(self) -> Stimuli:
        """The images of the sets in use: `set92.image_01` and so on, with a label ``set``."""
        lines = []
        for name in self._sets():
            files = rdm_files.image_files(self._folder(name) / f"{name}images", int(name))
            part = "test" if name == self.test else "train"
            lines += [
                {"id": i, "file": files.get(k + 1, ""), "part": part, "set": name}
                for k, i in enumerate(_ids(name))
            ]
        return Stimuli(pd.DataFrame(lines, dtype=object).set_index("id"))

    def responses(self) -> Mapping[str, Responses]:
        """RDMs by subject, pairs × regions, or pairs × (window, time)."""
        blocks: dict[str, Responses] = {}
        for name in self._sets():
            i, j = np.triu_indices(int(name), 1)
            ids = np.array(_ids(name), dtype=object)
            pairs = np.stack([ids[i], ids[j]], axis=1)
            rdms = self._rdms(name)
            if rdms is None:
                blank = {r: np.full((1, 1, len(i)), np.nan) for r in REGIONS[self.modality]}
                blocks |= self._label(name, blank, pairs, ["hidden"])
            else:
                people = [f"sub{k + 1:02d}" for k in range(self.subjects)]
                values = {r: m[..., i, j].reshape(len(m), -1, len(i)) for r, m in rdms.items()}
                blocks |= self._label(name, values, pairs, people)
        return blocks

    def official_score(
        self, truth: Mapping[str, Responses], predicted: Mapping[str, Responses]
    ) -> Mapping[str, Any]:
        """Percent of the noise ceiling that the kit reports, for the subjects of the test set.

        ``value`` is the track's, 100 · mean R² / mean ceiling; ``by_roi`` percent and ``raw`` R²
        of each region or window; ``signed`` the mean of rho·|rho|, which shows models opposite to
        the brain that R² hides; ``p`` the kit's t-test. One RDM is scored per region: where
        predictions differ between subjects or samples, their mean. Empty without truth.

        Raises
        ------
        DataError
            When pairs of the test set are not predicted; they are counted.

        """
        found: dict[str, Any] = {}
        people = {s: self._of_test(b) for s, b in truth.items()}
        people = {s: b for s, b in people.items() if b.size and has_truth(b).any()}
        regions = dict.fromkeys(
            str(t) for block in people.values() for t in block.target.values.tolist()
        )
        for region in regions:
            mine = [
                b.isel(target=np.flatnonzero(b.target.values == region)) for b in people.values()
            ]
            model = _mean(np.concatenate([align(b, predicted) for b in mine], axis=1))
            _complete(model, f"pairs of set {self.test} in {region}")
            found[region] = algonauts2019(model, np.stack([b.values.T for b in mine]))
        if not found:
            return {}
        raw = {r: s.r2 for r, s in found.items()}
        ceilings = ALGONAUTS2019_CEILINGS[self.test]
        percent = algonauts2019_percent(raw, self.test)
        value = 100 * sum(raw.values()) / sum(ceilings[r] for r in raw)
        return {
            "algonauts2019": {
                "value": value,
                "by_roi": {r: percent[r] for r in raw},
                "raw": raw,
                "signed": {r: s.signed for r, s in found.items()},
                "p": {r: s.p for r, s in found.items()},
            }
        }

    def ceilings(self) -> pd.DataFrame:
        """Noise ceilings of the sets in use, by ``set`` and ``roi``.

        ``official`` is the challenge's constant and ``r2`` the same from these RDMs: the score of
        the mean over subjects (and samples). ``lower`` and ``upper`` bound the mean Spearman
        correlation with a subject (Nili et al., 2014; RDMs averaged over samples).
        """
        lines = []
        for name in self._sets():
            i, j = np.triu_indices(int(name), 1)
            for region, rdms in (self._rdms(name) or {}).items():
                values = rdms[..., i, j]
                values = values.reshape(len(values), -1, len(i))
                lower, upper = (
                    rdm_ceiling(values.mean(axis=1)) if len(values) > 1 else (np.nan,) * 2
                )
                lines.append(
                    {
                        "set": name,
                        "roi": region,
                        "official": ALGONAUTS2019_CEILINGS[name][region],
                        "r2": algonauts2019(values.mean(axis=(0, 1)), values).r2,
                        "lower": lower,
                        "upper": upper,
                    }
                )
        return pd.DataFrame(lines, columns=["set", "roi", "official", "r2", "lower", "upper"])

    def write_submission(self, predicted: Mapping[str, Responses], folder: Path) -> Path:
        """Write `submit_fmri.mat` (or `submit_meg.mat`) and its .zip, and return the .zip.

        One symmetric RDM per region or window, the mean where predictions differ between subjects
        or samples.

        Raises
        ------
        DataError
            When pairs of the test set are not predicted; nothing is written.

        """
        size = int(self.test)
        i, j = np.triu_indices(size, 1)
        ids = _ids(self.test)
        rows = pd.Index([f"{ids[a]}|{ids[b]}" for a, b in zip(i, j, strict=True)])
        rdms = {}
        for region in REGIONS[self.modality]:
            columns = [np.full((len(rows), 1), np.nan)]
            for block in predicted.values():
                place = pd.Index(block.row.values).get_indexer(rows)
                own = np.flatnonzero(block.target.values.astype(str) == region)
                values = np.full((len(rows), len(own)), np.nan)
                values[place >= 0] = block.values[np.ix_(place[place >= 0], own)]
                columns.append(values)
            model = _mean(np.concatenate(columns, axis=1))
            _complete(model, f"pairs of set {self.test} in {region}")
            rdms[region] = np.zeros((size, size))
            rdms[region][i, j] = rdms[region][j, i] = model
        return rdm_files.write_submission(Path(folder), self.modality, rdms)

    def check_submission(self, path: str | Path) -> dict[str, np.ndarray]:
        """The RDMs of a submission (.zip, .mat), if the challenge would accept them.

        Raises
        ------
        DataError
            When a matrix is missing, has another size, is not symmetric, or holds NaN.

        """
        return rdm_files.read_submission(Path(path), self.modality, int(self.test))

    @staticmethod
    def twin(
        folder: str | Path, size: Literal["tiny", "full"] = "tiny", seed: int = 0
    ) -> pd.DataFrame:
        """Write a made-up tree whose scores are known; see `algonauts2019_twin.write`."""
        from striate.datasets import algonauts2019_twin

        return algonauts2019_twin.write(Path(folder), size, seed)

    def _folder(self, name: str) -> Path:
        root = Path(self.path).expanduser()
        if not any((root / place).is_dir() for place in SETS.values()):
            have = sorted(p.name for p in root.iterdir()) if root.is_dir() else []
            raise FileError(
                f"no Training_Data or Test_Data of Algonauts 2019 in {root.absolute()}, which holds"
                f" {some(have, 8) or 'nothing'}: pass dataset.path=FOLDER that holds them"
            )
        return root / SETS[name]

    def _file(self, name: str) -> Path:
        return self._folder(name) / f"target_{self.modality}.mat"

    def _sets(self) -> list[str]:
        """The image sets in use, those to learn from first."""
        for name in (*self.train, self.test):
            if name not in SETS:
                raise StriateError(unknown("image set", name, SETS))
        if self.test in self.train:
            raise DataError(f"image set {self.test} cannot be both dataset.test and dataset.train")
        for name in self.train:
            if not self._file(name).is_file():
                raise FileError(
                    f"image set {name} is to be learned from, but has no {self._file(name)}"
                )
        learn = self.train or [n for n in SETS if n != self.test and self._file(n).is_file()]
        folder = self._folder(self.test)
        if not self._file(self.test).is_file() and not (folder / f"{self.test}images").is_dir():
            raise FileError(
                f"image set {self.test} is to be predicted, but {folder} has neither"
                f" {self.test}images nor {self._file(self.test).name}: choose another dataset.test"
            )
        if not learn and not self._file(self.test).is_file():
            raise FileError(
                f"no target_{self.modality}.mat in {self._folder('92').parent} or {folder}: the"
                f" {self.modality} RDMs are missing"
            )
        return [*learn, self.test]

    def _rdms(self, name: str) -> dict[str, np.ndarray] | None:
        if not self._file(name).is_file():
            return None
        return rdm_files.read_rdms(self._file(name), self.modality, self.subjects, int(name))

    def _label(
        self, name: str, values: Mapping[str, np.ndarray], pairs: np.ndarray, people: list[str]
    ) -> dict[str, Responses]:
        """Blocks by subject from region → (subject, sample, pair)."""
        targets = [r for r, v in values.items() for _ in range(v.shape[1])]
        time = [t for v in values.values() for t in range(v.shape[1])]
        sampled = self.modality == "meg" and people != ["hidden"]
        blocks = {}
        for k, person in enumerate(people):
            blocks[f"set{name}.{person}"] = label_responses(
                np.concatenate([v[k] for v in values.values()]).T,
                pairs,
                targets,
                subject=f"set{name}.{person}",
                rois={r: [t == r for t in targets] for r in values},
                row_labels={"set": [name] * len(pairs)},
                target_labels={"time": time} if sampled else {},
            )
        return blocks

    def _of_test(self, block: Responses) -> Responses:
        """The rows whose images are of the test set."""
        shown = row_table(block)[["stimulus", "stimulus_2"]].astype(str)
        mine = shown.apply(lambda c: c.str.startswith(f"set{self.test}.")).all(axis=1)
        return block.isel(row=np.flatnonzero(mine.to_numpy()))


def _ids(name: str) -> list[str]:
    return [f"set{name}.image_{k + 1:0{len(name)}d}" for k in range(int(name))]


def _region(block: Responses, name: str) -> Responses:
    return block.isel(target=np.flatnonzero(block.target.values.astype(str) == name))


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over columns of what is there; NaN where nothing is."""
    count = (~np.isnan(values)).sum(axis=1)
    total = np.where(np.isnan(values), 0, values).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _complete(model: np.ndarray, what: str) -> None:
    missing = int(np.isnan(model).sum())
    if missing:
        raise DataError(
            f"{missing} of {len(model)} {what} are not predicted: add a member that predicts them"
        )
