"""Extraction of images, films and sounds that is killed again and again ends in the same bytes."""

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
from scipy.io import wavfile
from tests.extractors import filler
from tests.media import made_films


def make(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(14):
        pixels = rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"image{k}.png")
    for k in range(10):
        tone = made_films.tone(0.4, 16000, 300 + 40 * k)
        made_films.film(folder / f"film{k}.mp4", frames=8 + k, sound=tone[0])
    for k in range(6):
        wave = (3e4 * np.sin(np.arange(4000) * (0.1 + 0.03 * k))).astype(np.int16)
        wavfile.write(folder / f"tone{k}.wav", 8000, wave)


def start(data: Path, store: Path) -> subprocess.Popen[bytes]:
    root = Path(filler.__file__).parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    line = [sys.executable, "-m", "tests.extractors.filler", str(data), str(store)]
    return subprocess.Popen(line, cwd=root, env=environment, start_new_session=True)


def bytes_of(store: Path) -> dict[str, str]:
    files = [
        f for f in store.rglob("*") if f.is_file() and ".tmp-" not in str(f.relative_to(store))
    ]
    return {
        str(f.relative_to(store)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)
    }


def blocks(store: Path) -> int:
    return len(list(store.glob("features/*/*/blocks/[!.]*")))


def kills(tmp_path: Path, count: int, seed: int) -> set[int]:
    rng = random.Random(seed)
    make(tmp_path / "data")
    assert start(tmp_path / "data", tmp_path / "whole").wait() == 0
    wanted, most = bytes_of(tmp_path / "whole"), blocks(tmp_path / "whole")
    killed, turn, phases = 0, 0, set[int]()
    while killed < count:
        store = tmp_path / f"store{turn}"
        turn += 1
        for _ in range(4):
            process = start(tmp_path / "data", store)
            # Killed when it has written a few blocks more than the last time, at any moment of it.
            target = blocks(store) + rng.randint(0, max(1, most // 4))
            while process.poll() is None and blocks(store) < target:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.02))
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            phases.add(blocks(store))
        assert start(tmp_path / "data", store).wait() == 0
        assert bytes_of(store) == wanted
    return phases


def test_two_kills(tmp_path):
    kills(tmp_path, 2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_forty_kills(tmp_path):
    assert len(kills(tmp_path, 40, seed=2)) > 8
