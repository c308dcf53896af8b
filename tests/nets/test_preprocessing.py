"""Resizing and cropping against Pillow by hand and against torchvision's own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.errors import RecipeError
from striate.nets.preprocessing import Preprocessing, resolve
from striate.nets.repair import repair

IMAGENET = {"resize": 256, "crop": (224, 224), "interpolation": "bilinear"}


def picture(width, height, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_stated_size_is_exact_whatever_the_aspect():
    form = resolve(IMAGENET, {"size": 24})
    image = picture(50, 31)
    by_hand = image.resize((24, 24), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(form.pixels(image), np.asarray(by_hand))
    tall = resolve(IMAGENET, {"size": (30, 20), "interpolation": "bicubic"})
    by_hand = image.resize((20, 30), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(tall.pixels(image), np.asarray(by_hand))


def test_size_and_crop_together_keep_the_aspect():
    form = resolve(IMAGENET, {"size": 30, "crop": 24})
    assert form.identity()["resize"] == 30
    by_hand = picture(60, 31).resize((58, 30), Image.Resampling.BILINEAR).crop((17, 3, 41, 27))
    np.testing.assert_array_equal(form.pixels(picture(60, 31)), np.asarray(by_hand))


def test_a_stated_crop_alone_changes_only_the_crop():
    assert resolve(IMAGENET, {"crop": 200}) == Preprocessing(256, (200, 200))


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(8, 90),
    height=st.integers(8, 90),
    resize=st.integers(8, 64),
    crop=st.integers(4, 80),
)
def test_resize_and_crop_are_torchvisions(width, height, resize, crop):
    repair()
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    preset = ImageClassification(
        crop_size=crop,
        resize_size=resize,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        interpolation=InterpolationMode.BICUBIC,
    )
    image = picture(width, height)
    form = Preprocessing(resize, (crop, crop), "bicubic")
    expected = (preset(image) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(form.pixels(image), expected)


@pytest.mark.parametrize(
    "stated, reason",
    [
        ({"interpolation": "linear"}, "unknown interpolation 'linear'"),
        ({"size": 0}, "edges are 1 or longer"),
        ({"mean": (0.5,)}, "three numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "must be positive"),
    ],
)
def test_impossible_values_are_refused(stated, reason):
    with pytest.raises(RecipeError, match=reason):
        resolve(IMAGENET, stated)
    with pytest.raises(RecipeError, match="state crop"):
        Preprocessing(resize=256)
