"""ResNet3D: shapes of the stages, parameters by formula, and the 2-D network inside of it."""

import pytest
import torch

from striate.errors import DataError
from striate.nets.repair import repair
from striate.nets.taps import Taps, shapes
from striate.nets.weights import load_weights, read_weights
from striate.nets.zoo.resnet3d import ResNet3D, rename

from .checkpoints import (
    assert_each_once,
    assert_same_alone_and_together,
    count,
    empty,
    noise,
    norm,
    numbered,
    seeded,
)

DEPTHS, WIDTHS = (3, 4, 6, 3), (64, 128, 256, 512)


def authors_shapes(classes=292):
    """Names and shapes in the project's files."""
    found = {"conv1.weight": (64, 3, 7, 7, 7)} | norm("bn1", 64)
    channels = 64
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True), 1):
        for block in range(depth):
            at = f"layer{stage}.{block}"
            rows = ((width, channels, 1), (width, width, 3), (4 * width, width, 1))
            for k, (out, into, side) in enumerate(rows, 1):
                found[f"{at}.conv{k}.weight"] = (out, into, side, side, side)
                found |= norm(f"{at}.bn{k}", out)
            if block == 0:
                found[f"{at}.downsample.0.weight"] = (4 * width, channels, 1, 1, 1)
                found |= norm(f"{at}.downsample.1", 4 * width)
            channels = 4 * width
    return found | {"last_linear.weight": (classes, 2048), "last_linear.bias": (classes,)}


def test_stages_of_the_published_clip():
    with torch.device("meta"):
        found = shapes(ResNet3D().eval(), torch.zeros(1, 3, 16, 288, 288))
    assert found["layer1"] == (256, 8, 72, 72)
    assert found["layer2"] == (512, 4, 36, 36)
    assert found["layer3"] == (1024, 2, 18, 18)
    assert found["layer4"] == (2048, 1, 9, 9)
    assert found["last_linear"] == found["output"] == (292,)


@pytest.mark.parametrize("classes", [292, 305])
def test_parameters(classes):
    with torch.device("meta"):
        found = count(ResNet3D(classes))
    # a bottleneck of width w on c channels: w c + 27 w² + 4 w², two numbers per normalised channel
    expected = 64 * 3 * 7**3 + 2 * 64
    channels = 64
    for depth, w in zip(DEPTHS, WIDTHS, strict=True):
        expected += 4 * w * channels + 8 * w  # projection
        for _ in range(depth):
            expected += w * channels + 31 * w * w + 2 * (w + w + 4 * w)
            channels = 4 * w
    assert found == expected + (2048 + 1) * classes
    if classes == 292:
        assert found == 46_797_284


def test_a_still_clip_is_the_image():
    """Kernels that are nothing but their middle frame make it torchvision's ResNet-50."""
    repair()
    from torchvision.models import resnet50

    flat = seeded(lambda: resnet50(num_classes=7))
    deep = empty(lambda: ResNet3D(7))
    state = {}
    for name, tensor in flat.state_dict().items():
        own = deep.state_dict()[name.replace("fc.", "last_linear.")]
        if own.ndim == 5:
            inflated = torch.zeros_like(own)
            inflated[:, :, own.shape[2] // 2] = tensor
            tensor = inflated
        state[name] = tensor
    deep.load_state_dict(rename(state))
    images = noise(2, 3, 47, 64)
    clips = images[:, :, None].expand(-1, -1, 5, -1, -1)
    with torch.no_grad():
        expected = flat(images)
        found = deep(clips)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_an_inflated_mean_kernel_is_the_image_away_from_the_ends():
    """With w(t) = w / 7 in every frame, 7 like frames give what one image gives."""
    net = seeded(lambda: ResNet3D(2, (1,), 4))
    kernel = net.conv1.weight.mean(dim=2)
    net.conv1.weight.copy_(kernel[:, :, None].expand_as(net.conv1.weight) / 7)
    image = noise(1, 3, 20, 21)
    clip = image[:, :, None].expand(-1, -1, 9, -1, -1)
    found = Taps(net, ["conv1"], lambda output, _: output)(clip)["conv1"]
    expected = torch.nn.functional.conv2d(image, kernel, stride=2, padding=3)
    for frame in (3, 4, 5):
        torch.testing.assert_close(found[:, :, frame], expected)
    assert not torch.allclose(found[:, :, 0], expected)


def test_batches_and_odd_sizes():
    net = seeded(lambda: ResNet3D(5, (1, 2, 1), 8))
    assert_same_alone_and_together(net, noise(3, 3, 7, 33, 29))
    assert net(noise(1, 3, 1, 8, 8)).shape == (1, 5)


@pytest.mark.parametrize("head", ["last_linear", "fc"])
def test_files_of_the_authors(tmp_path, head):
    state = numbered(authors_shapes())
    named = {f"module.{k.replace('last_linear', head)}": v for k, v in state.items()}
    torch.save({"epoch": 3, "state_dict": named}, tmp_path / "moments.pth.tar")
    net = empty(ResNet3D)
    if head == "last_linear":
        load_weights(net, tmp_path / "moments.pth.tar")
    else:
        net.load_state_dict(rename(read_weights(tmp_path / "moments.pth.tar")))
    assert_each_once(net, state)


def test_other_channels_are_refused():
    with pytest.raises(DataError, match=r"\(n, 3, frames, height, width\).*\(1, 2, 4, 8, 8\)"):
        ResNet3D(2, (1,), 4)(torch.zeros(1, 2, 4, 8, 8))
