"""A run that is killed at random moments and resumed ends in the bytes of an undisturbed one."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .worlds import PARTS

RECIPE = """
dataset = {{ use = "folder", path = "{root}/data" }}
split = {{ use = "kfold", folds = 3 }}
inner = {{ folds = 2 }}
[features]
means = {{ use = "{parts}:Means", wait = {wait} }}
pixels = {{ use = "pixels", size = 2, colour = "gray" }}
[[member]]
name = "one"
features = ["means"]
steps = ["zscore"]
encoder = {{ use = "{parts}:Linear", wait = {wait} }}
[[member]]
name = "two"
features = ["pixels"]
encoder = {{ use = "{parts}:Linear", wait = {wait}, alpha = 3.0 }}
[[member]]
name = "last"
features = ["one", "two"]
encoder = "stack"
"""


def make(root: Path, wait: float) -> Path:
    """A folder of images and responses, and a recipe with a slow extractor and slow fits."""
    (root / "data" / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(24):
        pixels = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / "data" / "images" / f"im{k}.png")
    np.save(root / "data" / "responses.npy", rng.standard_normal((24, 6)))
    file = root / "slow.toml"
    file.write_text(RECIPE.format(root=root, parts=PARTS, wait=wait))
    return file


def start(recipe: Path, root: Path, home: Path) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "striate.cli", "run", str(recipe), "--out", str(home / "out")]
    line += ["--store", str(home / "store"), "--batch", "2", "--threads", "1", "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    return subprocess.Popen(line, cwd=root, env=environment, start_new_session=True)


def bytes_of(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in files
        if not any(p.startswith(".tmp-") for p in f.relative_to(folder).parts)
    }


def finished(home: Path) -> dict[str, str]:
    """Bytes of the one run that stands in the folder of runs, and of the store."""
    (run,) = (f for f in (home / "out").iterdir() if not f.name.startswith("."))
    for name in ("recipe.toml", "summary.json", "fits.json", "machine.json", "report.html"):
        assert (run / name).is_file()
    found = {k: v for k, v in bytes_of(run).items() if k.startswith(("predictions", "scores.csv"))}
    assert len(found) > 3
    return found | {f"store/{k}": v for k, v in bytes_of(home / "store").items()}


def kills(tmp_path: Path, count: int, wait: float, seed: int) -> int:
    rng = random.Random(seed)
    recipe = make(tmp_path, wait)
    began = time.monotonic()
    assert start(recipe, tmp_path, tmp_path / "whole").wait() == 0
    length = time.monotonic() - began
    wanted = finished(tmp_path / "whole")
    killed, turn, phases = 0, 0, set[int]()
    while killed < count:
        home = tmp_path / f"home{turn}"
        turn += 1
        while killed < count:
            process = start(recipe, tmp_path, home)
            sign = time.monotonic() + 60
            while not (home / "store").exists() and time.monotonic() < sign:
                time.sleep(0.01)
            # The rest of an undisturbed run, cut into about six pieces.
            delay = rng.uniform(0.0, length / 3) + (0.3 * length if killed % 3 else 0)
            try:
                assert process.wait(delay) == 0
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                tasks = len(list((home / "store").glob("tasks/*/*/rows-*")))
                phases.add(tasks)
                if any(not f.name.startswith(".") for f in (home / "out").glob("*")):
                    break  # killed on its way out: what stands there must be whole
        else:
            assert start(recipe, tmp_path, home).wait() == 0
        assert finished(home) == wanted
    return len(phases)


def test_four_kills(tmp_path):
    kills(tmp_path, 4, wait=0.05, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills(tmp_path):
    assert kills(tmp_path, 20, wait=0.1, seed=2) > 5
