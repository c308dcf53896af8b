"""Image processors of transformers: to the byte by Pillow, called where that cannot be."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from striate.data import Shown
from striate.errors import RecipeError
from striate.media import Frames
from striate.nets.inputs.clips import Clips
from striate.nets.inputs.pictures import Pictures
from striate.nets.libraries.fitting import Fitted
from striate.nets.libraries.processors import Called, Cornered, Whole
from striate.nets.loading import Network

from . import tiny
from .seen import close, given, images, noise, shown

transformers = pytest.importorskip("transformers")


def processor(name):
    return getattr(transformers, f"{name}ImageProcessorPil")


SETTINGS = {
    "clip": (processor("CLIP"), {}),
    "clip small": (processor("CLIP"), {"size": {"shortest_edge": 41}, "crop_size": 32}),
    "clip padded": (processor("CLIP"), {"size": {"shortest_edge": 25}, "crop_size": 32}),
    "dinov2": (processor("Bit"), {"size": {"shortest_edge": 256}, "crop_size": 224}),
    "vit": (processor("ViT"), {}),
    "siglip": (processor("Siglip"), {"size": {"height": 40, "width": 50}}),
    "vit lanczos": (processor("ViT"), {"resample": 1, "size": {"height": 37, "width": 30}}),
    "videomae": (processor("VideoMAE"), {"size": {"shortest_edge": 30}, "crop_size": 27}),
}
TYPES = {"clip small": "clip", "clip padded": "clip", "vit lanczos": "vit"}


def of_folder(name, folder):
    """A network's folder with a processor of that setting, and the processor."""
    cls, fields = SETTINGS[name]
    type_ = TYPES.get(name, name)
    config = {"model_type": type_, **tiny.OPTIONS[type_]}
    if type_ in ("clip", "siglip"):
        config = {"model_type": type_, "vision_config": tiny.OPTIONS[type_]}
    (folder / "config.json").write_text(json.dumps(config))
    made = cls(**fields)
    made.save_pretrained(folder)
    return Network("transformers", str(folder), "none"), made


@pytest.mark.parametrize("name", SETTINGS)
def test_images_are_those_of_the_processor(name, tmp_path):
    network, made = of_folder(name, tmp_path)
    shows, film = network.input(), name == "videomae"
    assert type(shows.preprocessing) is Fitted
    assert isinstance(shows, Clips if film else Pictures)
    plain = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
    for image in images():
        asked = [[image]] if film else image
        pixels = shows.preprocessing.pixels(image)
        found = np.asarray(made(asked, **plain)["pixel_values"]).reshape(3, *pixels.shape[:2])
        np.testing.assert_array_equal(pixels, found.transpose(1, 2, 0))
        own = torch.from_numpy(np.asarray(made(asked, return_tensors="np")["pixel_values"]))
        items = torch.from_numpy(pixels)[(None,) * (2 if film else 1)]
        close(shows(items), own.float(), 1e-6)


def test_clips_of_vjepa_are_those_of_its_video_processor(tmp_path):
    network = tiny.network("vjepa2", size=None)
    shows = network.input()
    assert isinstance(shows.preprocessing, Called)
    assert (shows.order, shows.frames) == ("frames", Frames.parse(4))
    made = transformers.VJEPA2VideoProcessor()
    frames = [noise(40, 61, seed) for seed in range(3)]
    pixels = np.stack([shows.preprocessing.pixels(f) for f in frames])
    clip = [np.array(f).transpose(2, 0, 1) for f in frames]
    own = made(videos=[clip], do_sample_frames=False, return_tensors="pt")["pixel_values_videos"]
    close(shows(torch.from_numpy(pixels[None])), own, 1e-6)
    sized = tiny.network("vjepa2", size=32).input()
    assert type(sized.preprocessing) is Fitted
    assert "VJEPA2" in str(shows.identity()) and shows.identity() != sized.identity()


def test_images_of_sam_are_those_of_its_processor(tmp_path):
    fields = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    made = processor("Sam")(**fields)
    made.save_pretrained(tmp_path)
    config = {"model_type": "sam", "vision_config": tiny.OPTIONS["sam"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shows = Network("transformers", str(tmp_path), "none").input()
    assert isinstance(shows, Cornered)
    for k, image in enumerate(images()):
        image.save(tmp_path / f"{k}.png")
        items = shows.read(Shown("a", str(tmp_path / f"{k}.png")))
        own = np.asarray(made(image, return_tensors="np")["pixel_values"])
        close(shows(torch.from_numpy(items)), torch.from_numpy(own).float(), 1e-6)
    assert shows(shows.blank()).shape == (1, 3, 64, 64)
    assert shows.identity()["longer edge"] == 64


def test_sam_sees_1024_by_default():
    assert tiny.network("sam", size=None).input().blank().shape == (1, 1024, 1024, 4)
    assert type(tiny.network("sam").input()) is Pictures


def test_a_processor_with_steps_of_its_own_is_called():
    network = tiny.network("vit", options=tiny.OPTIONS["vit"] | {})
    convnext = Network("transformers", "convnext", "none", options={"depths": [1] * 4})
    preprocessing = convnext.preprocessing()
    assert isinstance(preprocessing, Called)
    own = processor("ConvNext")()
    for image in images()[:3]:
        expected = own(image, do_rescale=False, do_normalize=False)["pixel_values"][0]
        found = preprocessing.pixels(image)
        np.testing.assert_array_equal(found, np.rint(expected).transpose(1, 2, 0).astype(np.uint8))
    dark = dataclasses.replace(convnext, mean=(0, 0, 0)).preprocessing()
    assert dark.identity() != preprocessing.identity() != network.preprocessing().identity()


def test_a_processor_with_steps_of_another_kind_is_left_to_itself(tmp_path):
    network = Network("transformers", "dinov3_vit", "none")
    shows, own = network.input(), transformers.DINOv3ViTImageProcessor()
    assert isinstance(shows, Whole)
    for k, image in enumerate(images()[:3]):
        image.save(tmp_path / f"{k}.png")
        items = torch.from_numpy(shows.read(Shown("a", str(tmp_path / f"{k}.png"))))
        close(shows(items), own(image, return_tensors="pt")["pixel_values"], 1e-6)
    assert shows(shows.blank()).shape == (1, 3, 224, 224)
    assert type(dataclasses.replace(network, size=64).input()) is Pictures
    with pytest.raises(RecipeError, match=r"mean: DINOv3.* state size as well"):
        dataclasses.replace(network, mean=(0, 0, 0)).input()
    with pytest.raises(RecipeError, match=r"Vivit(Video|Image)Processor"):
        Network("transformers", "vivit", "none").input()


def test_the_number_of_frames_is_the_networks(tmp_path):
    videomae = tiny.network("videomae")
    assert videomae.input().frames == Frames.parse(4)
    with pytest.raises(RecipeError, match="clips of 4 frames, not 8: use frames = 4"):
        videomae.input(Frames.parse(8))
    vjepa = tiny.network("vjepa2")
    assert vjepa.input(Frames.parse(8)).identity() != vjepa.input().identity()
    assert given(videomae.input(), shown(tmp_path)).shape == (2, 4, 3, 32, 32)


def test_stated_fields_stand_above_the_processor():
    plain = tiny.network("dinov2", size=None)
    changes = (
        {"size": 28},
        {"size": 32, "crop": 28},
        {"mean": (0, 0, 0)},
        {"interpolation": "box"},
    )
    keys = {str(dataclasses.replace(plain, **c).identity()) for c in ({}, *changes)}
    assert len(keys) == 5
