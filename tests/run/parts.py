"""Plug-ins for tests of the loop: they write down what they are shown.

A data set is a folder of stored responses and a table of stimuli; records are lines of JSON in a
file that the field `log` names, which is no part of any key.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import (
    Features,
    OnDisk,
    Opened,
    Responses,
    Stimuli,
    assemble,
    design,
    row_table,
    slots,
    target_table,
)
from striate.interfaces import Dataset, Encoder, Extractor, Group, Step, with_learned
from striate.splits import KFold, Split
from striate.store import load_responses, save_responses

MACHINE = {"machine": True}


def note(log: str, **line: Any) -> None:
    """Write one line of a record."""
    if log:
        with Path(log).open("a") as file:
            file.write(json.dumps(line) + "\n")


def noted(log: Path) -> list[dict[str, Any]]:
    """All lines of a record so far."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def write_world(folder: Path, stimuli: pd.DataFrame, blocks: Mapping[str, Responses]) -> Path:
    """Write a data set that `World` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    stimuli.to_csv(folder / "stimuli.csv", index_label="stimulus")
    for subject, block in blocks.items():
        save_responses(folder / "responses" / subject, block)
    (folder / "order.json").write_text(json.dumps(list(blocks)))
    return folder


@dataclass(frozen=True)
class World(Dataset):
    """What `write_world` wrote."""

    path: str = field(metadata=MACHINE)
    folds: int = 0

    def stimuli(self) -> Stimuli:
        table = pd.read_csv(Path(self.path) / "stimuli.csv", dtype=str, keep_default_na=False)
        return Stimuli(table.set_index("stimulus"))

    def responses(self) -> dict[str, Responses]:
        order = json.loads((Path(self.path) / "order.json").read_text())
        return {s: load_responses(Path(self.path) / "responses" / s) for s in order}

    def split(self) -> Split:
        return KFold(folds=self.folds) if self.folds else super().split()


@dataclass(frozen=True)
class DiskWorld(World):
    """The same, its responses left on disk; notes who is opened and how much is read."""

    log: str = field(default="", metadata=MACHINE)

    def responses(self) -> Mapping[str, Responses]:
        names = json.loads((Path(self.path) / "order.json").read_text())
        return Opened(names, self._open)

    def _open(self, subject: str) -> Responses:
        note(self.log, opened=subject)
        block = load_responses(Path(self.path) / "responses" / subject, mmap=True)
        stored = OnDisk.over(block)

        def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
            note(self.log, read=[len(rows), len(targets)])
            return stored.read(rows, targets)

        wrapped = OnDisk(block.shape, block.dtype, read)
        return assemble(wrapped, row_table(block), target_table(block))


@dataclass(frozen=True)
class Means(Extractor):
    """Mean colours of quadrants of an image; writes down which stimuli were extracted.

    Its process is killed at stimulus ``im13``, once, where `fatal` names a file to note it in.
    """

    gain: float = 1.0
    fatal: str = field(default="", metadata=MACHINE)
    wait: float = field(default=0.0, metadata=MACHINE)
    log: str = field(default="", metadata=MACHINE)

    def names(self) -> Sequence[str]:
        return ("mean",)

    def identity(self) -> Mapping[str, Any]:
        return {"gain": self.gain}

    def __call__(self, stimuli: Stimuli) -> Iterator[Mapping[str, np.ndarray]]:
        from PIL import Image

        from striate.machine import here

        for start in range(0, len(stimuli), here().batch):
            ids = stimuli.ids[start : start + here().batch]
            if self.fatal and "im13" in ids and not Path(self.fatal).exists():
                Path(self.fatal).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            rows = []
            for i in ids:
                image = Image.open(stimuli.table.loc[i, "file"]).convert("RGB").resize((2, 2))
                rows.append(np.asarray(image, dtype=np.float64).ravel() / 255 * self.gain)
            note(self.log, extracted=list(ids))
            time.sleep(self.wait)
            yield {"mean": np.stack(rows)}


@dataclass(frozen=True)
class Centre(Step):
    """Minus the mean of the training stimuli; writes down which these were."""

    log: str = field(default="", metadata=MACHINE)

    def fit(self, features: Features) -> Step:
        note(self.log, step=list(features.ids))
        means = {n: features.matrix(n).mean(axis=0) for n in features.names}
        return with_learned(self, means_=means)

    def transform(self, features: Features) -> Features:
        from striate.encoders.steps import transformed

        means = self.means_
        return transformed(features, {n: features.matrix(n) - means[n] for n in features.names})


@dataclass(frozen=True)
class Linear(Encoder):
    """Ridge by its normal equations, group by group; writes down what each fit saw.

    After another one it shrinks towards that one's coefficients.
    """

    alpha: float = 1.0
    tag: str = ""
    wait: float = field(default=0.0, metadata=MACHINE)
    log: str = field(default="", metadata=MACHINE)

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Encoder:
        parts = []
        for group in groups:
            rows = pd.concat([row_table(b) for b in group])
            rows = rows[~rows.index.duplicated()]
            whole = assemble(np.empty((len(rows), 0)), rows, pd.DataFrame(index=pd.Index([])))
            x = design(features, whole).astype(np.float64)
            for block in group:
                at = rows.index.get_indexer(block.row.values)
                y = np.asarray(block.values, dtype=np.float64)
                prior = np.zeros((x.shape[1], y.shape[1]))
                if start is not None:
                    prior = _before(start, block)
                parts.append((*solve(x[at], y, self.alpha, prior), target_table(block)))
            note(
                self.log,
                tag=self.tag,
                fit=sorted({str(i) for i in slots(whole).ravel()}),
                targets=[str(t) for b in group for t in b.target.values],
                started=start is not None,
            )
        time.sleep(self.wait)
        return with_learned(self, parts_=parts)

    def predict(self, features: Features, rows: Responses) -> Responses:
        x = design(features, rows).astype(np.float64)
        values = np.concatenate([x @ w + b for w, b, _ in self.parts_], axis=1)
        targets = pd.concat([t for *_, t in self.parts_])
        for column in targets:
            if str(column).startswith("roi:"):
                targets[column] = targets[column].eq(True)
        note(self.log, tag=self.tag, predict=sorted({str(i) for i in slots(rows).ravel()}))
        return assemble(values, row_table(rows), targets)


def solve(
    x: np.ndarray, y: np.ndarray, alpha: float, prior: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercept of a ridge that shrinks towards `prior`."""
    xc, yc = x - x.mean(axis=0), y - y.mean(axis=0)
    gram = xc.T @ xc + alpha * np.eye(x.shape[1])
    w = np.linalg.solve(gram, xc.T @ (yc - xc @ (prior + np.zeros((x.shape[1], 1))))) + prior
    return w, y.mean(axis=0) - x.mean(axis=0) @ w


def _before(start: Any, block: Responses) -> np.ndarray:
    found = {}
    for w, _, table in start.parts_:
        for k, (name, subject) in enumerate(zip(table.index, table["subject"], strict=True)):
            found[subject, name] = w[:, k]
    keys = zip(block.subject.values, block.target.values, strict=True)
    return np.stack([found[k] for k in keys], axis=1)
