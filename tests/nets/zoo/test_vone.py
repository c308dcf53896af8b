"""Cells of a VOneBlock and the gratings that they must prefer."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.errors import FileError, RecipeError
from striate.nets.loading import load_weights
from striate.nets.taps import Taps, shapes
from striate.nets.zoo.vone import Gabors, VOneBlock, VOneNet, renamed

PER_DEGREE = 28.0


def planted(count=8, n=0.6, frequency=3.5):
    """Cells of many cycles at evenly spaced orientations, which a kernel of 25 pixels holds."""
    return Gabors(
        orientation=np.pi * np.arange(count) / count,
        frequency=np.full(count, frequency),
        n_x=np.full(count, n),
        n_y=np.full(count, n),
        phase=np.linspace(0, 5, count),
        colour=np.arange(count) % 3,
    )


def gratings(orientations, frequency, phases, size=49):
    """Gratings around the middle pixel, all colours alike; frequency in cycles per degree."""
    place = np.arange(size) - size // 2
    y, x = place[:, None], place[None, :]
    theta, phase = np.broadcast_arrays(orientations, phases)
    theta, phase = theta[:, None, None], phase[:, None, None]
    along = x * np.cos(theta) + y * np.sin(theta)
    wave = np.cos(2 * np.pi * frequency / PER_DEGREE * along + phase)
    return torch.tensor(wave, dtype=torch.float32)[:, None].expand(-1, 3, -1, -1)


def middle(responses):
    return responses[:, :, responses.shape[2] // 2, responses.shape[3] // 2]


def test_kernels_are_the_equation_written_out():
    cells = Gabors.sampled(7, seed=3)
    found = cells.kernels(PER_DEGREE)
    assert found.shape == (7, 3, 25, 25)
    for c in range(7):
        f = cells.frequency[c] / PER_DEGREE
        sx, sy = cells.n_x[c] / f, cells.n_y[c] / f
        cos, sin = np.cos(cells.orientation[c]), np.sin(cells.orientation[c])
        for y, x in [(0, 0), (-12, 5), (3, 12), (1, -1)]:
            across, along = x * cos + y * sin, y * cos - x * sin
            expected = np.exp(-0.5 * (across**2 / sx**2 + along**2 / sy**2)) / (2 * np.pi * sx * sy)
            expected *= np.cos(2 * np.pi * f * across + cells.phase[c])
            assert found[c, cells.colour[c], y + 12, x + 12] == pytest.approx(expected, abs=1e-7)
        others = [k for k in range(3) if k != cells.colour[c]]
        assert not found[c, others].any()


def test_a_simple_cell_prefers_its_own_orientation_and_frequency():
    cells = planted()
    block = VOneBlock(cells, len(cells), PER_DEGREE)
    for c, phase in enumerate(cells.phase):
        by_angle = middle(block(gratings(cells.orientation, 3.5, phase)))[:, c]
        assert int(by_angle.argmax()) == c
        assert float(by_angle[c]) == pytest.approx(0.5, abs=0.03)
        assert float(by_angle[(c + 4) % 8]) < 0.02
        own = cells.orientation[c : c + 1]
        rate = [float(middle(block(gratings(own, f, phase)))[0, c]) for f in (1.5, 3.5, 7.0)]
        assert max(rate) == rate[1]


def test_a_simple_cell_prefers_its_own_phase_and_is_never_negative():
    cells = planted()
    block = VOneBlock(cells, len(cells), PER_DEGREE)
    shifts = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    for c in range(len(cells)):
        own = np.full(8, cells.orientation[c])
        found = middle(block(gratings(own, 3.5, cells.phase[c] + shifts)))[:, c].numpy()
        np.testing.assert_allclose(found, 0.5 * np.cos(shifts).clip(0), atol=0.03)
        assert found.min() == 0


def test_a_complex_cell_does_not_see_phase():
    cells = planted()
    block = VOneBlock(cells, 0, PER_DEGREE)
    shifts = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for c in range(len(cells)):
        own = np.full(16, cells.orientation[c])
        found = middle(block(gratings(own, 3.5, shifts)))
        assert float(found[:, c].std() / found[:, c].mean()) < 0.02
        assert float(found[:, c].mean()) == pytest.approx(0.5 / np.sqrt(2), abs=0.02)
        assert int(found.mean(0).argmax()) == c


def test_sampled_cells_prefer_their_own_orientation():
    """Of the cells whose envelope fits the kernel, whatever their shape."""
    cells = Gabors.sampled(200, seed=0)
    sigma = np.maximum(cells.n_x, cells.n_y) / cells.frequency * PER_DEGREE
    fits = np.flatnonzero(sigma < 5)
    assert len(fits) > 60
    block = VOneBlock(cells, len(cells), PER_DEGREE)
    turns = np.pi * np.arange(-6, 6) / 12
    for c in fits:
        sounds = gratings(cells.orientation[c] + turns, cells.frequency[c], cells.phase[c], 25)
        found = middle(block(sounds))[:, c]
        assert abs(int(found.argmax()) - 6) <= 1


def test_simple_cells_come_first():
    cells = planted()
    images = gratings(cells.orientation, 3.5, 1.0)
    both = VOneBlock(cells, 5, PER_DEGREE, gain=2.0)(images)
    simple, energy = (VOneBlock(cells, n, PER_DEGREE)(images) for n in (8, 0))
    torch.testing.assert_close(both, 2 * torch.cat([simple[:, :5], energy[:, 5:]], dim=1))


def test_sampled_cells_are_as_v1_has_them():
    cells = Gabors.sampled(20000, seed=1)
    assert cells.frequency.min() >= 0.5 and cells.frequency.max() <= 8
    assert 2.3 < np.median(cells.frequency) < 3.1
    assert cells.orientation.min() >= 0 and cells.orientation.max() <= np.pi
    cardinal = np.mean(np.abs(np.cos(2 * cells.orientation)) > np.cos(np.pi / 4))
    assert cardinal == pytest.approx(0.5 + 0.2 / np.pi * 1, abs=0.01)
    assert np.corrcoef(np.log(cells.n_x), np.log(cells.n_y))[0, 1] > 0.5
    assert np.median(cells.n_y / cells.n_x) == pytest.approx(1.2, abs=0.05)
    assert np.abs(np.exp(1j * cells.phase).mean()) < 0.02
    assert np.bincount(cells.colour).min() > 6300


def test_the_seed_decides_the_bank():
    first, again, other = (Gabors.sampled(16, seed=s).kernels(28) for s in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize(
    ("trunk", "nodes"),
    [
        ("resnet50", {"model.layer1": (256, 56, 56), "model.layer4": (2048, 7, 7)}),
        ("alexnet", {"model.features.2": (64, 27, 27), "model.features.12": (256, 6, 6)}),
    ],
)
def test_shapes(trunk, nodes):
    with torch.device("meta"):
        network = VOneNet(trunk).eval()
        made = shapes(network, torch.zeros(1, 3, 224, 224))
    nodes |= {"vone_block": (512, 56, 56), "bottleneck": (64, 56, 56), "output": (1000,)}
    assert {n: made[n] for n in nodes} == nodes


def test_only_the_first_stage_gave_way():
    with torch.device("meta"):
        network = VOneNet()
    import torchvision.models as zoo

    with torch.device("meta"):
        whole = {f"model.{k}": v.shape for k, v in zoo.resnet50().state_dict().items()}
    gone = ("model.conv1.", "model.bn1.")
    kept = {k: s for k, s in whole.items() if not k.startswith(gone)}
    bank = {f"vone_block.{p}.weight": (512, 3, 25, 25) for p in ("in_phase", "quadrature")}
    expected = kept | bank | {"bottleneck.weight": (64, 512, 1, 1)}
    found = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert found == {k: tuple(s) for k, s in expected.items()}
    trained = sum(p.numel() for p in network.parameters())
    assert trained == 25_557_032 - 64 * 3 * 49 - 2 * 64 + 64 * 512


def small(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VOneNet(classes=3, seed=seed, simple=6, complex_cells=4, size=64)
    return network.eval().requires_grad_(False)


def test_features_are_the_same_twice_and_in_any_company():
    network = small()
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    taps = Taps(network, ["vone_block", "model.layer2", "output"], lambda output, node: output)
    together, again = taps(images), taps(images)
    for node, value in together.items():
        torch.testing.assert_close(again[node], value, rtol=0, atol=0)
    for i in range(3):
        for node, value in taps(images[i : i + 1]).items():
            torch.testing.assert_close(value[0], together[node][i], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together["output"], network(images))


def test_a_file_brings_its_own_bank(tmp_path):
    """Saved from another seed, wrapped and renamed as another implementation may have done."""
    source, network = small(seed=7), small()
    before = network.vone_block.in_phase.weight.clone()
    tensors = source.state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in tensors.items()}}, tmp_path / "own.pth")
    load_weights(network, tmp_path / "own.pth")
    assert not torch.allclose(network.vone_block.in_phase.weight, before)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, tensors[name], rtol=0, atol=0)
    names = {"vone_block.in_phase.weight": "bank.a", "vone_block.quadrature.weight": "bank.b"}
    names["bottleneck.weight"] = "mix.weight"
    foreign = {f"module.{names.get(k, k)}": v for k, v in tensors.items()}
    back = renamed(foreign, cells=10)
    assert list(back) == list(tensors)
    small().load_state_dict(back)
    bare = {k.replace("module.model.", "module."): v for k, v in foreign.items()}
    assert list(renamed(bare, cells=10)) == list(tensors)
    with pytest.raises(FileError, match=r"two Gabor banks of 10 filters.*no bank"):
        renamed({k: v for k, v in foreign.items() if "bank" not in k}, cells=10)


def test_the_bank_is_not_trained():
    block = small().vone_block
    assert not list(block.parameters())
    assert sorted(dict(block.named_buffers())) == ["in_phase.weight", "quadrature.weight"]
    assert not any(isinstance(m, nn.Dropout) for m in block.modules())


def test_what_cannot_be_is_refused():
    with pytest.raises(RecipeError, match=r"unknown trunk of VOneNet 'resnet5': did you mean"):
        VOneNet("resnet5")
    with pytest.raises(RecipeError, match="9 simple cells of 8 filters"):
        VOneBlock(planted(8), 9, PER_DEGREE)
