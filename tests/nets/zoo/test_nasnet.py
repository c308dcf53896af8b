"""NASNet-A: eighteen taps, the published number of parameters, and timm's larger network."""

import pytest
import torch
from torch.nn import functional

from striate.errors import DataError, RecipeError
from striate.nets.repair import repair
from striate.nets.taps import Taps, shapes
from striate.nets.weights import load_weights
from striate.nets.zoo.nasnet import Cell, NASNetA

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

F = 44
CELLS = {  # channels of the cell before, of the one before that, filters, kind
    "cell_stem_0": (32, 32, F // 4, "first"),
    "cell_stem_1": (F, 32, F // 2, "reduction halve"),
    "cell_0": (2 * F, F, F, "halve"),
    "cell_1": (6 * F, 2 * F, F, ""),
    "cell_2": (6 * F, 6 * F, F, ""),
    "cell_3": (6 * F, 6 * F, F, ""),
    "reduction_cell_0": (6 * F, 6 * F, 2 * F, "reduction"),
    "cell_6": (8 * F, 6 * F, 2 * F, "halve"),
    "cell_7": (12 * F, 8 * F, 2 * F, ""),
    "cell_8": (12 * F, 12 * F, 2 * F, ""),
    "cell_9": (12 * F, 12 * F, 2 * F, ""),
    "reduction_cell_1": (12 * F, 12 * F, 4 * F, "reduction"),
    "cell_12": (16 * F, 12 * F, 4 * F, "halve"),
    "cell_13": (24 * F, 16 * F, 4 * F, ""),
    "cell_14": (24 * F, 24 * F, 4 * F, ""),
    "cell_15": (24 * F, 24 * F, 4 * F, ""),
}


def authors_shapes():
    """Names and shapes of nasnetamobile-7e03cead.pth."""
    found = {"conv0.conv.weight": (32, 3, 3, 3)} | norm("conv0.bn", 32)

    def separable(name, channels, out, kernel):
        for k, into in ((1, channels), (2, out)):
            at = f"{name}.separable_{k}"
            found[f"{at}.depthwise_conv2d.weight"] = (into, 1, kernel, kernel)
            found[f"{at}.pointwise_conv2d.weight"] = (out, into, 1, 1)
            found.update(norm(f"{name}.bn_sep_{k}", out))

    def squeeze(name, channels, out):
        found[f"{name}.conv.weight"] = (out, channels, 1, 1)
        found.update(norm(f"{name}.bn", out))

    for cell, (channels, previous, f, kind) in CELLS.items():
        squeeze(f"{cell}.conv_1x1", channels, f)
        if "halve" in kind:
            for path in (1, 2):
                found[f"{cell}.path_{path}.conv.weight"] = (f // 2, previous, 1, 1)
            found |= norm(f"{cell}.final_path_bn", f)
        elif kind != "first":
            squeeze(f"{cell}.conv_prev_1x1", previous, f)
        g = previous if kind == "first" else f
        if kind == "first" or "reduction" in kind:
            parts = (("0_left", f, 5), ("0_right", g, 7), ("1_right", g, 7), ("2_right", g, 5))
        else:
            parts = (("0_left", f, 5), ("0_right", f, 3), ("1_left", f, 5), ("1_right", f, 3))
        for at, into, kernel in (*parts, ("4_left", f, 3)):
            separable(f"{cell}.comb_iter_{at}", into, f, kernel)
    return found | {"last_linear.weight": (1000, 1056), "last_linear.bias": (1000,)}


def test_the_eighteen_taps():
    with torch.device("meta"):
        net = NASNetA().eval()
        found = shapes(net, torch.zeros(1, 3, 224, 224))
    assert net.taps == ("conv0", *CELLS, "last_linear")
    assert len(net.taps) == 18
    sides = [111, 56, *[28] * 5, *[14] * 5, *[7] * 5]
    channels = [32, 44, 88, *[264] * 4, 352, *[528] * 4, 704, *[1056] * 4]
    expected = [(c, s, s) for c, s in zip(channels, sides, strict=True)]
    assert [found[t] for t in net.taps] == [*expected, (1000,)]
    assert found["features"] == (1056, 1, 1)


def test_parameters():
    """As keras.applications counts NASNetMobile: 5,326,716, of which 36,738 are statistics."""
    with torch.device("meta"):
        net = NASNetA()
    table = {k: torch.Size(v).numel() for k, v in authors_shapes().items()}
    statistics = sum(n for k, n in table.items() if "running" in k)
    assert statistics == 36_738
    assert count(net) == sum(table.values()) - statistics == 5_326_716 - 36_738 == 5_289_978


def test_the_larger_network_of_timm():
    """From 67 pixels all maps are odd in size, so that timm's even borders are "SAME" ones."""
    repair()
    from timm.models.nasnet import NASNetALarge

    theirs = seeded(lambda: NASNetALarge(7, stem_size=8, num_features=192, pad_type=""))
    net = empty(lambda: NASNetA(7, 192, 8, 6, skip=True))
    net.load_state_dict(theirs.state_dict())
    images = noise(2, 3, 67, 67)
    nodes = [n for n in net.taps if "cell" in n]
    assert len(nodes) == 2 + 3 * 6 + 2
    with torch.no_grad():
        expected = Taps(theirs, [*nodes, "output"], lambda output, _: output)(images)
        found = Taps(net, [*nodes, "output"], lambda output, _: output)(images)
    assert found["output"].std(dim=0).max() > 0
    for node, tensor in expected.items():
        close = {"rtol": 1e-4, "atol": 1e-4 * float(tensor.abs().max())}
        torch.testing.assert_close(found[node], tensor, **close)


def test_halving_looks_at_even_and_at_odd_pixels():
    cell = seeded(lambda: Cell(4, 4, 4, halve=True))
    before = noise(1, 4, 7, 6)
    found = cell._previous(before)
    seen = before.relu()
    even = seen[:, :, ::2, ::2]
    odd = torch.zeros_like(even)
    for i in range(4):
        for j in range(3):
            if 2 * i + 1 < 7 and 2 * j + 1 < 6:
                odd[:, :, i, j] = seen[:, :, 2 * i + 1, 2 * j + 1]
    paths = [cell.path_1.conv(even), cell.path_2.conv(odd)]
    torch.testing.assert_close(found, cell.final_path_bn(torch.cat(paths, 1)))


@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_a_reduction_cell_by_its_equations(size):
    cell = seeded(lambda: Cell(5, 6, 4, reduction=True))
    now, before = noise(2, 5, *size), noise(2, 6, *size, seed=2)
    h, g = cell.conv_1x1(now), cell.conv_prev_1x1(before)
    odd = [n % 2 for n in size]
    # a window of 3 at stride 2 begins at the first cell of an even axis, one before that of an odd
    low = functional.pad(h, (odd[1], 1, odd[0], 1), value=-torch.inf)
    top = functional.max_pool2d(low, 3, 2)
    sums = functional.avg_pool2d(functional.pad(h, (odd[1], 1, odd[0], 1)), 3, 2)
    ones = functional.pad(torch.ones_like(h), (odd[1], 1, odd[0], 1))
    mean = sums / functional.avg_pool2d(ones, 3, 2)
    u = cell.comb_iter_0_left(h) + cell.comb_iter_0_right(g)
    v = top + cell.comb_iter_1_right(g)
    w = mean + cell.comb_iter_2_right(g)
    a = functional.avg_pool2d(u, 3, 1, 1, count_include_pad=False)
    expected = torch.cat([v, w, a + v, cell.comb_iter_4_left(u) + top], 1)
    found = cell(now, before)
    torch.testing.assert_close(found, expected)
    assert found.shape[2:] == tuple(-(-n // 2) for n in size)


def test_batches_and_odd_sizes():
    net = seeded(lambda: NASNetA(5, 96, 4, 1))
    assert_same_alone_and_together(net, noise(3, 3, 45, 38))
    assert net(noise(1, 3, 3, 3)).shape == (1, 5)


def test_file_of_the_authors(tmp_path):
    state = numbered(authors_shapes())
    torch.save(state, tmp_path / "nasnetamobile-7e03cead.pth")
    net = empty(NASNetA)
    load_weights(net, tmp_path / "nasnetamobile-7e03cead.pth")
    assert_each_once(net, state)


def test_errors():
    with pytest.raises(RecipeError, match=r"penultimate = 100.*multiple of 96"):
        NASNetA(penultimate=100)
    with pytest.raises(RecipeError, match=r"cells = 7.*1 to 6 cells"):
        NASNetA(cells=7)
    with torch.device("meta"):
        net = NASNetA(5, 96, 4, 1)
    with pytest.raises(DataError, match=r"3 × 3 pixels or more.*\(1, 3, 2, 9\)"):
        net(torch.zeros(1, 3, 2, 9))
