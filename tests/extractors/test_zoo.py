"""Networks of striate's own as extractors: pictures, films, motion and sound through them."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from tests.media.made_films import film

from striate.data import Stimuli
from striate.errors import RecipeError
from striate.extractors import describe
from striate.extractors.zoo import Zoo
from striate.machine import Machine, using
from striate.media import Frames, read_frames
from striate.nets.flow import LucasKanade, scaled
from striate.nets.inputs.flows import flow_of
from striate.registry import build, key_of
from striate.testing import check_extractor

CORNET = Zoo("cornet_z", ("V1", "IT"), "none", pool="mean:2", size=32)
MOTION = Zoo("i3d_flow", ("Conv3d_1a_7x7", "pooled"), "none", "mean:1", size=32, frames=4)
VGGISH = Zoo("vggish", ("features.15", "output"), "none")


def gathered(extractor, stimuli, batch=2):
    with using(Machine(batch=batch, threads=1, device="cpu", quiet=True)):
        batches = list(extractor(stimuli))
    return {n: np.concatenate([b[n] for b in batches]) for n in batches[0]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("zoo")
    rng = np.random.default_rng(0)
    for k in range(3):
        noise = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / f"im{k}.png")
    texture = np.asarray(Image.open(place / "im0.png").resize((96, 32)))

    def drift(step):
        return lambda k: np.ascontiguousarray(texture[:, 30 - step * k : 62 - step * k])

    for step in (1, 3):
        path = place / f"drift{step}.mp4"
        film(path, 8, 8, (32, 32), picture=drift(step), options={"crf": "1"})
    wave = rng.uniform(-0.5, 0.5, 3 * 16000)
    wavfile.write(place / "noise.wav", 16000, (wave * 32767).astype(np.int16))
    return place


def test_pictures_through_cornet(folder):
    stimuli = Stimuli.from_files(sorted(folder.glob("im*.png")))
    found = gathered(CORNET, stimuli)
    assert {n: v.shape for n, v in found.items()} == {"V1": (3, 64, 2, 2), "IT": (3, 512, 2, 2)}
    check_extractor(CORNET, stimuli)


def test_frames_of_films_are_pooled(folder):
    stimuli = Stimuli.from_files([folder / "drift1.mp4"])
    films = dataclasses.replace(CORNET, frames=4)
    kept = gathered(dataclasses.replace(films, time="keep"), stimuli)
    assert kept["V1"].shape == (1, 4, 64, 2, 2)
    np.testing.assert_allclose(gathered(films, stimuli)["V1"][0], kept["V1"][0].mean(0), atol=1e-6)


def test_motion_through_i3d_is_the_network_on_the_flow(folder):
    stimuli = Stimuli.from_files([folder / "drift1.mp4", folder / "drift3.mp4"])
    found = gathered(MOTION, stimuli)
    assert found["pooled"].shape == (2, 1024)
    module = MOTION.network().build()
    for row, shown in zip(found["pooled"], stimuli.shown(), strict=True):
        frames = np.stack([np.asarray(f) for f in read_frames(shown, Frames(4))])
        with torch.inference_mode():
            flow = scaled(flow_of(torch.from_numpy(frames), LucasKanade()), quantised=True)
            x = flow.transpose(0, 1)[None]
            for name, part in module.named_children():
                x = part(x)
                if name == "pooled":
                    break
        np.testing.assert_allclose(row, x[0], rtol=1e-3, atol=1e-4 * float(x.abs().max()))
    assert abs(found["pooled"][0] - found["pooled"][1]).max() > 1e-4


def test_another_method_of_flow_gives_other_features(folder):
    stimuli = Stimuli.from_files([folder / "drift3.mp4"])
    other = dataclasses.replace(MOTION, flow_options={"window": 1.0, "steps": 1})
    assert key_of(other.identity()) != key_of(MOTION.identity())
    name = "Conv3d_1a_7x7"
    assert abs(gathered(other, stimuli)[name] - gathered(MOTION, stimuli)[name]).max() > 1e-5
    raft = dataclasses.replace(MOTION, flow="raft_small", flow_options={"weights": "none"})
    assert raft.identity()["input"]["flow"]["model"] == "raft_small"
    with pytest.raises(RecipeError, match="networks that are shown optical flow"):
        dataclasses.replace(CORNET, flow="raft_small", flow_options={"weights": "none"}).shows()
    with pytest.raises(RecipeError, match="unknown method of optical flow"):
        dataclasses.replace(MOTION, flow="raft_smal").shows()


def test_sound_through_vggish_patch_by_patch(folder):
    stimuli = Stimuli.from_files([folder / "noise.wav", folder / "drift1.mp4"])
    found = gathered(VGGISH, stimuli)
    assert found["features.15"].shape == (2, 512, 6, 4) and found["output"].shape == (2, 128)
    noise, silent = found["output"][[stimuli.ids.index(i) for i in ("noise", "drift1")]]
    assert abs(noise - silent).max() > 1e-6
    heard = Stimuli.from_files([folder / "noise.wav"])
    kept = gathered(dataclasses.replace(VGGISH, time="keep"), heard)["output"]
    assert kept.shape == (1, 3, 128)
    np.testing.assert_allclose(kept[0].mean(0), noise, rtol=1e-3, atol=1e-6)
    cut = gathered(dataclasses.replace(VGGISH, time="keep", seconds=2), heard)["output"]
    np.testing.assert_allclose(cut[0, 0], kept[0, 0], rtol=1e-3, atol=1e-6)
    assert cut.shape == (1, 2, 128)


def test_nodes_are_described(folder):
    cornet, bdcn, vggish = (
        dict(describe(z)) for z in (CORNET, Zoo("bdcn", ("fuse",), "none", size=32), VGGISH)
    )
    assert {n: cornet[n] for n in ("V1", "V2", "V4", "IT", "decoder.linear")} == {
        "V1": (64, 8, 8),
        "V2": (128, 4, 4),
        "V4": (256, 2, 2),
        "IT": (512, 1, 1),
        "decoder.linear": (1000,),
    }
    assert bdcn["features.conv1_1"] == (64, 32, 32)
    assert bdcn["fuse"] == bdcn["output"] == (1, 32, 32)
    assert vggish["features.15"] == (512, 6, 4) and vggish["embeddings.5"] == (128,)


def test_seconds_and_fields_are_in_the_key():
    keys = [key_of(dataclasses.replace(VGGISH, seconds=s).identity()) for s in (None, 1, 2, 2.0)]
    assert len(set(keys)) == 3 and keys[2] == keys[3]
    line = {"use": "zoo", "model": "vggish", "nodes": ["output"], "weights": "none", "seconds": 2}
    assert build("extractor", line).seconds == 2


def test_weights_have_to_be_a_file():
    with pytest.raises(RecipeError, match=r"'default' of 'cornet_z'.*cornet_z-\*\.pth"):
        dataclasses.replace(CORNET, weights="default").identity()
