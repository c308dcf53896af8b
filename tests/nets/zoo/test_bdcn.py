"""BDCN: the network written out in functions, bilinear interpolation, and the VGG inside of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import DataError, RecipeError
from striate.nets.repair import repair
from striate.nets.taps import Taps, shapes
from striate.nets.weights import load_weights
from striate.nets.zoo.bdcn import BDCN, MEAN, STD, Cascade, bilinear_kernel

from .checkpoints import (
    assert_each_once,
    assert_same_alone_and_together,
    count,
    empty,
    noise,
    numbered,
    seeded,
)

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def authors_shapes():
    found, channels = {}, 3

    def add(name, *shape):
        found[f"{name}.weight"] = shape
        found[f"{name}.bias"] = shape[:1]

    for stage, (width, convolutions) in enumerate(STAGES, 1):
        for k in range(1, convolutions + 1):
            at = f"{stage}_{k}"
            add(f"features.conv{at}", width, channels, 3, 3)
            add(f"msblock{at}.conv", 32, width, 3, 3)
            for branch in (1, 2, 3):
                add(f"msblock{at}.conv{branch}", 32, 32, 3, 3)
            add(f"conv{at}_down", 21, 32, 1, 1)
            channels = width
        add(f"score_dsn{stage}", 1, 21, 1, 1)
        add(f"score_dsn{stage}_1", 1, 21, 1, 1)
    for name, edge in (("2", 4), ("4", 8), ("8", 16), ("8_5", 16)):
        found[f"upsample_{name}.weight"] = (1, 1, edge, edge)
    add("fuse", 1, 10, 1, 1)
    return found


@pytest.fixture(scope="module")
def net():
    return seeded(BDCN)


def written_out(state, images):
    """The network from its equations, stage by stage, for images with blue first."""

    def conv(x, name, dilation=1):
        weight = state[f"{name}.weight"]
        pad = dilation * (weight.shape[-1] // 2)
        return functional.conv2d(x, weight, state[f"{name}.bias"], padding=pad, dilation=dilation)

    height, width = images.shape[2:]
    x, shallow, deep = images, [], []
    for stage, (_, convolutions) in enumerate(STAGES, 1):
        total = 0
        for k in range(1, convolutions + 1):
            at = f"{stage}_{k}"
            x = torch.relu(conv(x, f"features.conv{at}", 2 if stage == 5 else 1))
            o = torch.relu(conv(x, f"msblock{at}.conv"))
            scales = [torch.relu(conv(o, f"msblock{at}.conv{b}", 4 * b)) for b in (1, 2, 3)]
            total = total + conv(o + scales[0] + scales[1] + scales[2], f"conv{at}_down")
        for side, found in (("", shallow), ("_1", deep)):
            score = conv(total, f"score_dsn{stage}{side}")
            if stage > 1:
                name, stride, cut = (("2", 2, 1), ("4", 4, 2), ("8", 8, 4), ("8_5", 8, 0))[
                    stage - 2
                ]
                kernel = state[f"upsample_{name}.weight"]
                score = functional.conv_transpose2d(score, kernel, stride=stride)
                score = score[:, :, cut : cut + height, cut : cut + width]
            found.append(score)
        if stage < 4:
            x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        elif stage == 4:
            x = functional.max_pool2d(x, 2, 1)
    maps = [sum(shallow[: k + 1]) for k in range(5)] + [sum(deep[k:]) for k in range(5)]
    return maps, conv(torch.cat(maps, 1), "fuse")


@pytest.mark.parametrize("size", [(32, 48), (9, 31), (33, 26)])
def test_as_written_out(net, size):
    images = 50 * noise(2, 3, *size)
    taps = Taps(net, ["cascade", "fuse", "output"], lambda output, _: output)
    found = taps(images)
    maps, fused = written_out(net.state_dict(), images.flip(1))
    close = {"rtol": 1e-4, "atol": 1e-4 * float(fused.abs().max())}
    torch.testing.assert_close(found["cascade"], torch.cat(maps, 1), **close)
    torch.testing.assert_close(found["fuse"], fused, **close)
    assert torch.equal(found["fuse"], found["output"])


def test_blue_first_is_the_images_turned_round(net):
    other = BDCN(order="bgr").eval()
    other.load_state_dict(net.state_dict())
    images = noise(1, 3, 16, 20)
    with torch.no_grad():
        assert torch.equal(net(images), other(images.flip(1)))
        assert not torch.allclose(net(images), other(images))


def test_preprocessing_is_a_mean_of_levels():
    """The authors subtract 104.00699 (blue), 116.66877, 122.67892 from levels 0 … 255."""
    levels = torch.tensor([122.67892, 116.66877, 104.00699])
    shown = (levels / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(shown, torch.zeros(3), rtol=0, atol=1e-3)
    assert pytest.approx(1) == (1 / 255) / STD[0]


@settings(max_examples=10, deadline=None)
@given(st.integers(9, 140), st.integers(9, 140))
def test_output_has_the_images_size(height, width):
    with torch.device("meta"):
        assert MADE[0](torch.zeros(2, 3, height, width)).shape == (2, 1, height, width)


with torch.device("meta"):
    MADE = [BDCN().eval()]


def test_shapes_inside():
    with torch.device("meta"):
        found = shapes(MADE[0], torch.zeros(1, 3, 128, 97))
    assert found["features.conv1_2"] == (64, 128, 97)
    assert found["features.conv3_3"] == (256, 32, 25)
    assert found["features.conv4_3"] == (512, 16, 13)
    assert found["features.conv5_3"] == (512, 15, 12)
    assert found["msblock5_3"] == (32, 15, 12)
    assert found["cascade"] == (10, 128, 97)
    assert found["fuse"] == (1, 128, 97)


def test_parameters():
    vgg = width_before = 0
    for width, convolutions in STAGES:
        for _ in range(convolutions):
            vgg += 9 * (width_before or 3) * width + width
            width_before = width
    blocks = sum(n * (9 * w * 32 + 32 + 3 * (9 * 32 * 32 + 32)) for w, n in STAGES)
    sides = 13 * (32 * 21 + 21) + 10 * (21 + 1)
    assert count(MADE[0]) == vgg + blocks + sides + 16 + 64 + 256 + 256 + 11 == 16_302_120


def test_the_trunk_is_vgg16_up_to_its_fourth_maximum(net):
    repair()
    from torchvision.models import vgg16

    with torch.device("meta"):
        vgg = vgg16().features
    convolutions = [p for p in vgg if isinstance(p, torch.nn.Conv2d)]
    own = [p for p in net.features.children() if isinstance(p, torch.nn.Conv2d)]
    assert [p.weight.shape for p in own] == [p.weight.shape for p in convolutions]
    vgg = vgg[:23].to_empty(device="cpu")
    for theirs, ours in zip([p for p in vgg if hasattr(p, "weight")], own, strict=False):
        theirs.load_state_dict(ours.state_dict())
    images = noise(1, 3, 40, 24)
    with torch.no_grad():
        torch.testing.assert_close(net.features(images)["conv4_3"], vgg(images))


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_transposed_convolution_interpolates(stride):
    maps = noise(1, 1, 6, 5)
    kernel = bilinear_kernel(stride)[None, None]
    found = functional.conv_transpose2d(maps, kernel, stride=stride)
    cut = stride // 2
    found = found[..., cut : cut + 6 * stride, cut : cut + 5 * stride]
    expected = functional.interpolate(maps, scale_factor=stride, mode="bilinear")
    inside = slice(cut, -cut)
    torch.testing.assert_close(found[..., inside, inside], expected[..., inside, inside])


def test_upsampling_starts_as_interpolation(net):
    for name, stride in (("2", 2), ("4", 4), ("8", 8), ("8_5", 8)):
        kernel = net.get_submodule(f"upsample_{name}").weight[0, 0]
        assert torch.equal(kernel, bilinear_kernel(stride))
        torch.testing.assert_close(kernel.sum(), torch.tensor(float(stride**2)))


def test_cascade_by_sums():
    s, d = noise(2, 5, 3, 4), noise(2, 5, 3, 4, seed=2)
    found = Cascade()(s, d)
    for k in range(5):
        torch.testing.assert_close(found[:, k], s[:, : k + 1].sum(1))
        torch.testing.assert_close(found[:, 5 + k], d[:, k:].sum(1))


def test_batches(net):
    with torch.no_grad():
        assert_same_alone_and_together(net, noise(3, 3, 32, 25))


def test_file_of_the_authors(tmp_path):
    state = numbered(authors_shapes())
    torch.save(state, tmp_path / "bdcn_pretrained_on_bsds500.pth")
    made = empty(BDCN)
    load_weights(made, tmp_path / "bdcn_pretrained_on_bsds500.pth")
    assert_each_once(made, state)


def test_errors():
    with pytest.raises(DataError, match=r"9 × 9 pixels or more.*\(1, 3, 8, 32\)"):
        MADE[0](torch.zeros(1, 3, 8, 32))
    with pytest.raises(DataError, match=r"\(n, 3, height, width\)"):
        MADE[0](torch.zeros(1, 1, 32, 32))
    with pytest.raises(RecipeError, match=r"'grb'"):
        BDCN(order="grb")
