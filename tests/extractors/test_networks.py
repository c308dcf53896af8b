"""Networks as extractors: nodes, pools, identities, batches, and a published number."""

import dataclasses
import json

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.io import wavfile
from scipy.stats import spearmanr
from tests.nets.libraries import tiny

from striate import registry
from striate.data import Shown, Stimuli
from striate.errors import DataError, RecipeError
from striate.extractors import NAMES, describe
from striate.extractors.hub import Hub
from striate.extractors.module import Module
from striate.extractors.open_clip import OpenClip
from striate.extractors.timm import Timm
from striate.extractors.torchvision import Torchvision
from striate.extractors.transformers import Transformers
from striate.machine import Machine, using
from striate.media import list_images
from striate.nets.repair import repair

repair()  # before timm, open_clip and transformers are imported, whichever test is first

SQUEEZE = Torchvision("squeezenet1_1", ("features.3", "features.4"), "none", size=64)


@pytest.fixture
def stimuli(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(5):
        noise = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"image{k}.png")
    return Stimuli.from_files(list_images(tmp_path))


def gathered(extractor, stimuli, batch=2):
    with using(Machine(batch=batch, threads=1, device="cpu", quiet=True)):
        batches = list(extractor(stimuli))
    return {n: np.concatenate([b[n] for b in batches]) for n in batches[0]}


def by_hand(extractor, stimuli, steps):
    """The plain loop: NCHW, one image at a time."""
    module = extractor.network().build().to(memory_format=torch.contiguous_format)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    rows = []
    for file in stimuli.table["file"]:
        image = Image.open(file).resize((64, 64), Image.Resampling.BILINEAR)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
        with torch.inference_mode():
            rows.append(module.features[:steps](((x - mean) / std)[None])[0].numpy())
    return np.stack(rows)


def test_values_are_those_of_a_plain_loop(stimuli):
    found = gathered(SQUEEZE, stimuli)
    assert list(found) == ["features.3", "features.4"]
    assert found["features.4"].dtype == np.float32
    np.testing.assert_allclose(
        found["features.4"], by_hand(SQUEEZE, stimuli, 5), rtol=1e-4, atol=1e-4
    )


def test_batches_do_not_change_numbers_and_keep_their_order(stimuli):
    whole, single = (gathered(SQUEEZE, stimuli, batch) for batch in (16, 1))
    for node in whole:
        np.testing.assert_allclose(whole[node], single[node], rtol=1e-5, atol=1e-5)
    turned = stimuli.select(stimuli.ids[::-1])
    np.testing.assert_allclose(
        gathered(SQUEEZE, turned, 16)["features.3"][::-1], whole["features.3"], atol=1e-5
    )


def test_pool(stimuli):
    pooled = dataclasses.replace(SQUEEZE, pool="mean:3")
    found, whole = gathered(pooled, stimuli), gathered(SQUEEZE, stimuli)
    expected = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(whole["features.4"]), 3)
    np.testing.assert_allclose(found["features.4"], expected, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"pool": "average:3"}])
def test_what_is_kept_is_checked_at_once(change):
    with pytest.raises(RecipeError, match=r"unknown (dtype|pool)"):
        dataclasses.replace(SQUEEZE, **change)


def test_patterns_and_description(stimuli):
    every = dataclasses.replace(SQUEEZE, nodes=("features.3.*", "output"))
    assert every.names()[0] == "features.3.squeeze"
    assert every.names()[-1] == "output"
    assert tuple(gathered(every, stimuli)) == every.names()
    shapes = dict(describe(SQUEEZE))
    assert shapes["features.4"] == gathered(SQUEEZE, stimuli)["features.4"].shape[1:]
    with pytest.raises(RecipeError, match="unknown node"):
        dataclasses.replace(SQUEEZE, nodes=("layer*",)).names()
    with pytest.raises(RecipeError, match="asked for no nodes"):
        dataclasses.replace(SQUEEZE, nodes=()).names()
    with pytest.raises(RecipeError, match=r"did you mean 'features\.3'"):
        gathered(dataclasses.replace(SQUEEZE, nodes=("feature.3",)), stimuli)


CHANGES = {
    "model": "squeezenet1_0",
    "nodes": ("features.3",),
    "weights": "IMAGENET1K_V1",
    "pool": "mean:6",
    "size": 65,
    "interpolation": "bicubic",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "dtype": "float16",
    "seed": 1,
    "options": {"num_classes": 10},
    "time": "max",
    "frames": 8,
    "projection": 16,
    "precision": "bfloat16",
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(SQUEEZE)])
def test_every_field_is_part_of_the_identity(name):
    change = {"size": 80, "crop": 64} if name == "crop" else {name: CHANGES[name]}
    other = dataclasses.replace(SQUEEZE, **change)
    assert registry.key_of(registry.identity(other)) != registry.key_of(registry.identity(SQUEEZE))
    json.dumps(other.identity())


def test_identity_resolves_what_is_not_stated():
    stated = dataclasses.replace(SQUEEZE, mean=(0.485, 0.456, 0.406), interpolation="bilinear")
    assert stated.identity() == SQUEEZE.identity()
    assert dataclasses.replace(SQUEEZE, pool={"kind": "mean", "grid": 2}).identity() == (
        dataclasses.replace(SQUEEZE, pool="mean:2").identity()
    )


def test_identity_follows_the_content_of_weights_not_their_place(tmp_path):
    state = SQUEEZE.network().build().state_dict()
    for name in ("a", "b"):
        save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / f"{name}.safetensors")
    one, two = (
        dataclasses.replace(SQUEEZE, weights=str(tmp_path / f"{n}.safetensors")) for n in "ab"
    )
    assert one.identity() == two.identity()
    assert str(tmp_path) not in str(one.identity())
    state["classifier.1.bias"] += 1
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "b.safetensors")
    assert one.identity() != two.identity()


def test_identity_and_names_build_nothing(monkeypatch):
    def build(self):
        raise AssertionError("built")

    monkeypatch.setattr("striate.nets.loading.Network.build", build)
    assert SQUEEZE.names() == SQUEEZE.nodes
    SQUEEZE.identity()


def test_stimuli_without_a_file(stimuli):
    lost = Stimuli(stimuli.table.assign(file=["", *stimuli.table.file[1:]]))
    with pytest.raises(DataError, match="no image or film file for stimulus 'image0'"):
        gathered(SQUEEZE, lost)


def test_timm_tokens(stimuli):
    pytest.importorskip("timm")
    vit = Timm(
        "vit_tiny_patch16_224", ("blocks.0", "norm"), "none", size=64, options={"img_size": 64}
    )
    assert gathered(vit, stimuli)["norm"].shape == (5, 17, 192)
    tokens = gathered(vit, stimuli)["norm"]
    token = gathered(dataclasses.replace(vit, pool="token"), stimuli)["norm"]
    np.testing.assert_allclose(token, tokens[:, 0], atol=1e-5)
    mean = gathered(dataclasses.replace(vit, pool="mean tokens"), stimuli)["norm"]
    np.testing.assert_allclose(mean, tokens[:, 1:].mean(1), atol=1e-5)


def test_timm_maps(stimuli):
    pytest.importorskip("timm")
    net = Timm("resnet18", ("bn1", "layer1"), "none", size=64, pool="mean:2")
    assert gathered(net, stimuli)["layer1"].shape == (5, 64, 2, 2)
    whole = gathered(dataclasses.replace(net, pool="none"), stimuli)["bn1"]
    assert whole.min() < 0  # not what the rectifier behind it left


def test_a_module_of_a_package(stimuli):
    toy = Module("tests.nets.toys:Toy", ("conv", "several:sum"), size=16, seed=3)
    found = gathered(toy, stimuli)
    assert found["conv"].shape == (5, 4, 14, 14)
    assert found["several:sum"].shape == (5,)
    assert toy.identity()["source"]


def spoken(folder, **more):
    """A small network of language in a folder."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(**tiny.OPTIONS["bert"])
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    tiny.tokenizer(folder)
    return Transformers(str(folder), ("output", "encoder.layer.0"), **more)


def test_words(tmp_path):
    texts = ["the striate cortex", "", "early", "the the the the is"]
    stimuli = Stimuli(pd.DataFrame({"text": texts}, index=list("abcd")))
    net = spoken(tmp_path / "bert", pool="mean tokens")
    found = gathered(net, stimuli, 3)
    assert {v.shape for v in found.values()} == {(4, 16)}
    module, shows = net.network().build(), net.shows()
    for row, text in enumerate(texts):
        items = torch.from_numpy(shows.read(Shown("x", "", text=text)))
        with torch.inference_mode():
            own = module(**shows(items)).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(found["output"][row], own, atol=1e-5)
    changes = ({"pool": "token"}, {"pool": "token", "length": 9}, {"time": "max"})
    keys = [net, *(dataclasses.replace(net, **c) for c in changes)]
    assert len({registry.key_of(k.identity()) for k in keys}) == 4
    with pytest.raises(RecipeError, match="pool 'mean tokens' of texts that are filled up to 9"):
        dataclasses.replace(net, length=9)
    marks = net.content(stimuli)
    assert len(set(marks)) == 4 and all(marks)
    assert net.content(stimuli.with_column("text", [*texts[:3], "another"]))[:3] == marks[:3]
    with pytest.raises(DataError, match="has no text"):
        gathered(net, Stimuli(pd.DataFrame({"file": ["a.png"]}, index=["a"])))


def test_sounds(tmp_path):
    for k, seconds in enumerate((1.0, 2.5, 1.6)):
        wave = np.sin(np.arange(round(seconds * 16000)) / (5 + k))
        wavfile.write(tmp_path / f"{k}.wav", 16000, (wave * 32767).astype(np.int16))
    wavfile.write(tmp_path / "silent.wav", 16000, np.zeros(9000, np.int16))
    stimuli = Stimuli.from_files(sorted(tmp_path.iterdir()))
    options = tiny.OPTIONS["wav2vec2"]
    net = Transformers("wav2vec2", ("output",), "none", "mean tokens", options=options, seconds=1)
    assert gathered(net, stimuli)["output"].shape == (4, 16)
    free = dataclasses.replace(net, seconds=None)
    assert gathered(free, stimuli)["output"].shape == (4, 16)
    assert free.identity() != net.identity()


def test_clips(stimuli):
    options = tiny.OPTIONS["videomae"]
    net = Transformers("videomae", ("output",), "none", size=32, options=options)
    found = gathered(net, stimuli)["output"]
    assert found.shape == (5, 8, 16)
    clip = Torchvision("r3d_18", ("layer1", "avgpool"), "none", frames=4, size=32)
    assert gathered(clip, stimuli)["avgpool"].shape[:2] == (5, 512)


def test_towers(stimuli):
    pytest.importorskip("open_clip")
    small = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
    words = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    options = {"embed_dim": 8, "vision_cfg": small, "text_cfg": words}
    image = OpenClip("ViT-B-32", ("embedding",), "none", options=options)
    text = dataclasses.replace(image, tower="text")
    told = stimuli.with_column("text", ["a", "b", "", "a", "striate"])
    assert gathered(image, told)["embedding"].shape == (5, 8)
    found = gathered(text, told)["embedding"]
    np.testing.assert_allclose(found[0], found[3], atol=1e-6)
    assert image.identity() != text.identity()
    assert dict(describe(text))["embedding"] == (8,)


def test_a_repository_of_the_users(stimuli, tmp_path):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/hubconf.py").write_text(
        "from torch import nn\n\n\ndef small():\n    return nn.Sequential(nn.Conv2d(3, 2, 3))\n"
    )
    net = Hub(f"{tmp_path / 'repo'}:small", ("0",), "none", size=16)
    assert gathered(net, stimuli)["0"].shape == (5, 2, 14, 14)


def test_short_names_build_from_a_recipe_line():
    table = {"use": "torchvision", "model": "alexnet", "nodes": ["features.*"], "weights": "none"}
    built = registry.build("extractor", table | {"size": [64, 48], "pool": {"kind": "mean"}})
    assert (built.nodes, built.size, built.pool) == (("features.*",), (64, 48), {"kind": "mean"})
    for name in NAMES:
        assert registry.find("extractor", name).__doc__


def test_importing_the_table_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, striate.extractors, striate.nets, striate.media; print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_published_similarity_of_squeezenet_and_early_and_late_vision(real_data):
    """Golden: Spearman of RDMs of features.12 with the mean subject, 92 images."""
    weights = str(real_data / "weights/squeezenet1_0.safetensors")
    net = Torchvision("squeezenet1_0", ("features.12",), weights, size=224)
    folder = real_data / "algonauts2019/Training_Data/92_Image_Set"
    values = gathered(net, Stimuli.from_files(list_images(folder)), 16)["features.12"]
    upper = np.triu_indices(92, 1)
    rdm = 1 - np.corrcoef(values.reshape(92, -1))[upper]
    with h5py.File(folder / "target_fmri.mat") as file:
        for roi, golden in (("EVC_RDMs", 0.4095), ("IT_RDMs", 0.3569)):
            subjects = np.asarray(file[roi]).mean(-1)[upper]
            assert spearmanr(rdm, subjects).statistic == pytest.approx(golden, abs=5e-4)
