"""VGGish against its published sizes and front end, and its layers written out."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from striate.errors import DataError, FileError
from striate.nets.loading import load_weights
from striate.nets.taps import Taps, shapes
from striate.nets.zoo.vggish import RATE, VGGish, Whitening, patches, quantise

CONVOLUTIONS = {
    0: (1, 64),
    3: (64, 128),
    6: (128, 256),
    8: (256, 256),
    11: (256, 512),
    13: (512, 512),
}
LINEARS = {0: (12288, 4096), 2: (4096, 4096), 4: (4096, 128)}


def published():
    """Name → shape in the released file."""
    shape = {}
    for i, (inputs, outputs) in CONVOLUTIONS.items():
        shape |= {f"features.{i}.weight": (outputs, inputs, 3, 3), f"features.{i}.bias": (outputs,)}
    for i, (inputs, outputs) in LINEARS.items():
        shape |= {f"embeddings.{i}.weight": (outputs, inputs), f"embeddings.{i}.bias": (outputs,)}
    return shape


def noise(seconds, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE))


@pytest.fixture(scope="module")
def small():
    """All layers in their places, few channels: the real one takes a second to draw."""
    with torch.device("meta"):
        network = VGGish()
    random = torch.Generator().manual_seed(0)
    for part in network.modules():
        for name, value in list(part.named_parameters(recurse=False)):
            # every fan-in keeps the size of what passes through
            spread = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.1
            made = torch.empty(value.shape).normal_(0, spread, generator=random)
            setattr(part, name, torch.nn.Parameter(made, requires_grad=False))
    return network.eval()


def test_names_and_sizes_are_the_published_ones():
    with torch.device("meta"):
        network = VGGish()
        made = shapes(network, torch.zeros(1, 96, 64))
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == published()
    count = sum(i * o * 9 + o for i, o in CONVOLUTIONS.values())
    count += sum(i * o + o for i, o in LINEARS.values())
    assert count == sum(p.numel() for p in network.parameters()) == 72_141_184
    assert made["features.15"] == (512, 6, 4)
    assert made["features.4"] == (128, 48, 32)
    assert made["embeddings.4"] == made["output"] == (128,)


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.0, 1), (0.1, 1), (0.96, 1), (1.0, 1), (1.95, 2), (3.0, 3), (3.8, 3)]
)
def test_patches_of_a_sound(seconds, count):
    made = patches(noise(seconds))
    assert made.shape == (count, 96, 64)
    assert made.dtype == torch.float32
    assert made.is_contiguous()


def test_patches_are_log_mel_frames_in_order():
    sound = noise(2.1)
    made = patches(sound).flatten(0, 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)

    def mel(f):
        return 1127 * np.log(1 + f / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    for frame in (0, 95, 96, 191):
        spectrum = np.abs(np.fft.rfft(sound[frame * 160 : frame * 160 + 400] * window, 512))
        for band in (0, 30, 63):
            left, centre, right = edges[band : band + 3]
            place = mel(np.arange(257) * 16000 / 512)
            sides = (place - left) / (centre - left), (right - place) / (right - centre)
            expected = np.log(spectrum @ np.clip(np.minimum(*sides), 0, None) + 0.01)
            assert float(made[frame, band]) == pytest.approx(expected, abs=1e-5)


def test_short_sounds_end_in_silence_and_patches_begin_afresh():
    short = patches(noise(0.3))
    np.testing.assert_allclose(short[0, 40:].numpy(), np.log(0.01), rtol=1e-6)
    assert float(short[0, 20].mean()) > -2
    long = patches(noise(2.0))
    torch.testing.assert_close(patches(noise(2.0)[96 * 160 :])[0], long[1])
    single = torch.from_numpy(noise(1.0)).float()
    torch.testing.assert_close(patches(single), patches(single.numpy()))


def test_a_broken_sound_is_refused():
    with pytest.raises(DataError, match="not finite"):
        patches(np.array([0.0, np.nan]))
    with pytest.raises(DataError, match=r"torch.int16 and shape \(2, 9\): VGGish hears one"):
        patches(np.zeros((2, 9), np.int16))


def test_the_network_is_its_layers_written_out(small):
    inputs = patches(noise(2.0))
    tensors = small.state_dict()
    x = inputs[:, None]
    for i in CONVOLUTIONS:
        x = functional.conv2d(
            x, tensors[f"features.{i}.weight"], tensors[f"features.{i}.bias"], padding=1
        )
        x = x.clamp(min=0)
        if i not in (6, 11):
            x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))
    x = torch.stack([one.permute(1, 2, 0).reshape(-1) for one in x])  # time, band, channel
    for i in LINEARS:
        x = (x @ tensors[f"embeddings.{i}.weight"].T + tensors[f"embeddings.{i}.bias"]).clamp(min=0)
    with torch.inference_mode():
        found = small(inputs)
        alone = small(inputs[1:])
        nodes = ["features.15", "embeddings.4", "output"]
        taps = Taps(small, nodes, lambda output, node: output)(inputs)
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(alone, found[1:], rtol=1e-4, atol=1e-4)
    assert float(found.min()) == 0 < float(found.max())
    torch.testing.assert_close(taps["embeddings.4"].clamp(min=0), taps["output"])
    torch.testing.assert_close(taps["output"], found)


@pytest.mark.filterwarnings("ignore:.*which is a no-op:UserWarning")
def test_a_file_with_the_published_names_loads(tmp_path):
    """Sizes of the real file, without its 290 MB: on the meta device all that counts is names."""
    with torch.device("meta"):
        network = VGGish()
    tensors = {k: torch.zeros(()).expand(s) for k, s in published().items()}
    torch.save(tensors, tmp_path / "vggish.pth")
    load_weights(network, tmp_path / "vggish.pth")
    tensors["pproc.pca_means"] = tensors.pop("features.0.bias")
    torch.save(tensors, tmp_path / "other.pth")
    with pytest.raises(FileError, match=r"lacks features.0.bias; it has besides pproc.pca_means"):
        load_weights(network, tmp_path / "other.pth")


def test_whitening_and_eight_bits():
    random = np.random.default_rng(0)
    vectors, means = random.normal(size=(128, 128)), random.normal(size=(128, 1))
    embedding = random.normal(size=(3, 128)).astype(np.float32)
    whiten = Whitening(torch.from_numpy(vectors).float(), torch.from_numpy(means).float())
    expected = np.stack([vectors @ (e - means[:, 0]) for e in embedding])
    found = whiten(torch.from_numpy(embedding))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)
    bits = quantise(found).numpy()
    np.testing.assert_array_equal(bits, np.rint((np.clip(found.numpy(), -2, 2) + 2) * 63.75))
    assert set(np.unique(bits)) <= set(range(256))
    with pytest.raises(DataError, match=r"128 × 128 with 128 means, not \(64, 64\) with 64"):
        Whitening(torch.zeros(64, 64), torch.zeros(64, 1))
