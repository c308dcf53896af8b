"""The pass over images: memory, threads, one network at a time."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from striate.errors import FileError
from striate.machine import Machine, using
from striate.nets import forward
from striate.nets.loading import Network
from striate.nets.pooling import Pool

TOY = Network("module", "tests.nets.toys:Toy", "none", size=12)


@pytest.fixture
def files(tmp_path):
    for k in range(6):
        Image.new("RGB", (9, 9), (40 * k, 0, 0)).save(tmp_path / f"{k}.png")
    return [str(tmp_path / f"{k}.png") for k in range(6)]


def test_a_finished_network_is_used_again_and_a_busy_one_is_not(files):
    with using(Machine(batch=2, threads=1, device="cpu")):
        first = forward.features(TOY, ["conv"], Pool(), "float32", files)
        second = forward.features(TOY, ["relu"], Pool(), "float32", files)
        pairs = list(zip(first, second, strict=True))  # two passes take turns
    assert len(pairs) == 3
    for a, b in pairs:
        np.testing.assert_allclose(np.maximum(a["conv"], 0), b["relu"], atol=1e-6)
    with forward._borrowed(TOY) as one:
        pass
    with forward._borrowed(TOY) as two, forward._borrowed(TOY) as three:
        assert two is one
        assert three is not one


def test_a_bad_image_stops_the_pass_with_its_name(files, tmp_path):
    (tmp_path / "3.png").write_bytes(b"junk")
    with using(Machine(batch=2, threads=2, device="cpu")):
        batches = forward.features(TOY, ["conv"], Pool(), "float32", files)
        assert len(next(batches)["conv"]) == 2
        with pytest.raises(FileError, match=r"3\.png: is no image"):
            next(batches)


def test_threads_are_given_back(files):
    with using(Machine(batch=4, threads=2, device="cpu")):
        before = torch.get_num_threads()
        for _ in forward.features(TOY, ["conv"], Pool(), "float32", files):
            assert torch.get_num_threads() == before
            assert not torch.is_inference_mode_enabled()


def test_keeping_freed_memory_is_harmless():
    code = (
        "from striate.machine import keep_freed_memory as keep; import torch;"
        "assert keep() in (True, False); assert torch.ones(2000, 2000).sum() == 4e6"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
