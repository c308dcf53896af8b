"""The pass of stimuli through a network: memory, threads, batches, one network at a time."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data import Shown
from striate.errors import DataError, FileError, RecipeError
from striate.machine import Machine, using
from striate.nets import forward
from striate.nets.forward import Kept
from striate.nets.loading import Network
from striate.nets.pooling import Pool
from striate.nets.projection import Projection

TOY = Network("module", "tests.nets.toys:Toy", "none", size=12)
PLAIN = Kept(Pool())


@pytest.fixture
def shown(tmp_path):
    for k in range(6):
        Image.new("RGB", (9, 9), (40 * k, 0, 0)).save(tmp_path / f"{k}.png")
    return [Shown(str(k), str(tmp_path / f"{k}.png")) for k in range(6)]


def passed(nodes, shown, kept=PLAIN):
    return forward.features(TOY, TOY.input(), nodes, kept, shown)


def test_a_finished_network_is_used_again_and_a_busy_one_is_not(shown):
    with using(Machine(batch=2, threads=1, device="cpu")):
        first, second = passed(["conv"], shown), passed(["relu"], shown)
        pairs = list(zip(first, second, strict=True))  # two passes take turns
    assert len(pairs) == 3
    for a, b in pairs:
        np.testing.assert_allclose(np.maximum(a["conv"], 0), b["relu"], atol=1e-6)
    with forward._borrowed(TOY, None) as one:
        pass
    with forward._borrowed(TOY, None) as two, forward._borrowed(TOY, None) as three:
        assert two is one
        assert three is not one


def test_a_bad_image_stops_the_pass_with_its_name(shown, tmp_path):
    (tmp_path / "3.png").write_bytes(b"junk")
    with using(Machine(batch=2, threads=2, device="cpu")):
        batches = passed(["conv"], shown)
        assert len(next(batches)["conv"]) == 2
        with pytest.raises(FileError, match=r"3\.png: is no image"):
            next(batches)


def test_threads_are_given_back(shown):
    with using(Machine(batch=4, threads=2, device="cpu")):
        before = torch.get_num_threads()
        for _ in passed(["conv"], shown):
            assert torch.get_num_threads() == before
            assert not torch.is_inference_mode_enabled()


def test_the_size_of_batches_is_found_by_trying(shown, monkeypatch):
    tried = []

    def best(measure):
        tried.extend(measure(n) for n in (1, 2))
        return 4

    monkeypatch.setattr(forward, "best_batch", best)
    monkeypatch.setattr(forward, "_SIZES", {})
    with using(Machine(batch=0, threads=1, device="cpu")):
        for _ in range(2):
            assert [len(b["conv"]) for b in passed(["conv"], shown)] == [4, 2]
    assert len(tried) == 2 and min(tried) > 0  # seconds, once per network


def test_lower_precision_and_projections_change_numbers_a_little(shown):
    with using(Machine(batch=8, threads=1, device="cpu")):
        (exact,) = passed(["conv"], shown)
        (rough,) = passed(["conv"], shown, Kept(Pool(), precision="bfloat16"))
        (few,) = passed(["conv"], shown, Kept(Pool(), projection=Projection(5, seed=1)))
    off = np.abs(exact["conv"] - rough["conv"]).max() / np.abs(exact["conv"]).max()
    assert 1e-6 < off < 0.05
    assert few["conv"].shape == (6, 5)
    with pytest.raises(RecipeError, match=r"unknown precision 'half'"):
        Kept(Pool(), precision="half")


def test_keeping_freed_memory_is_harmless():
    code = (
        "from striate.machine import keep_freed_memory as keep; import torch;"
        "assert keep() in (True, False); assert torch.ones(2000, 2000).sum() == 4e6"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("pool", ["none", "mean:2"])
def test_frames_are_found_whichever_way_axes_are(pool):
    first = torch.randn(2, 5, 3, 4, 4)  # (clip, channel, frame, height, width)
    read = Kept(Pool.parse(pool)).reader("clip")
    last = first.movedim(1, -1)  # as networks of shifted windows have it
    torch.testing.assert_close(read(last, "n"), read(first, "n"))
    if pool == "none":
        torch.testing.assert_close(read(first, "n"), first.mean(2))


def test_tokens_of_sound_are_no_map():
    with pytest.raises(DataError, match="which are no map"):
        Kept(Pool.parse("mean:2")).reader("sound")(torch.randn(1, 49, 8), "n")


@pytest.mark.parametrize("pool", ["mean tokens", "mean:2", "pyramid"])
def test_patches_of_oblong_images_are_not_guessed(pool):
    with pytest.raises(DataError, match="images that are not square"):
        Kept(Pool.parse(pool)).reader("image", square=False)(torch.randn(1, 43, 8), "n")
    whole = Kept(Pool.parse("flatten")).reader("image", square=False)(torch.randn(1, 43, 8), "n")
    assert whole.shape == (1, 344)
