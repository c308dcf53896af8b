"""I3D: shapes of the stages, parameters by formula, and GoogLeNet inside of it."""

import pytest
import torch

from striate.errors import DataError, FileError
from striate.nets.repair import repair
from striate.nets.taps import Taps, shapes
from striate.nets.weights import load_weights, read_weights
from striate.nets.zoo.i3d import I3D, TAPS, rename

from .checkpoints import (
    COUNTER,
    assert_each_once,
    assert_same_alone_and_together,
    count,
    empty,
    noise,
    norm,
    numbered,
    seeded,
)

BLOCKS = {  # Szegedy et al. 2015, table 1: 1×1, 3×3 reduced, 3×3, second 3×3 reduced, it, pool
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}


def rows(channels):
    """(name in pytorch-i3d, name in kinetics_i3d_pytorch, out, in, edge) of all convolutions."""
    yield "Conv3d_1a_7x7", "conv3d_1a_7x7", 64, channels, 7
    yield "Conv3d_2b_1x1", "conv3d_2b_1x1", 64, 64, 1
    yield "Conv3d_2c_3x3", "conv3d_2c_3x3", 192, 64, 3
    for block, (c, w0, w1, w2, w3, w4, w5) in BLOCKS.items():
        parts = (
            ("b0", "branch_0", w0, c, 1),
            ("b1a", "branch_1.0", w1, c, 1),
            ("b1b", "branch_1.1", w2, w1, 3),
            ("b2a", "branch_2.0", w3, c, 1),
            ("b2b", "branch_2.1", w4, w3, 3),
            ("b3b", "branch_3.1", w5, c, 1),
        )
        for ours, theirs, out, into, edge in parts:
            yield f"Mixed_{block}.{ours}", f"mixed_{block}.{theirs}", out, into, edge


def authors_shapes(channels, which):
    found = {}
    for row in rows(channels):
        out, into, edge = row[2:]
        found[f"{row[which]}.conv3d.weight"] = (out, into, edge, edge, edge)
        found |= norm(f"{row[which]}.{('bn', 'batch3d')[which]}", out)
    head = ("logits", "conv3d_0c_1x1")[which]
    found[f"{head}.conv3d.weight"] = (400, 1024, 1, 1, 1)
    return found | {f"{head}.conv3d.bias": (400,)}


def test_stages_of_the_published_clip():
    with torch.device("meta"):
        found = shapes(I3D(in_channels=2).eval(), torch.zeros(1, 2, 64, 224, 224))
    assert found["Conv3d_1a_7x7"] == (64, 32, 112, 112)
    assert [found[t] for t in TAPS] == [
        (192, 32, 28, 28),
        (480, 16, 14, 14),
        (832, 8, 7, 7),
        (1024, 8, 7, 7),
        (1024,),
    ]
    assert found["avg_pool"] == (1024, 7, 1, 1)
    assert found["logits"] == found["output"] == (400,)
    assert [n for n in found if n.startswith("Mixed") and "." not in n] == [
        f"Mixed_{b}" for b in BLOCKS
    ]


@pytest.mark.parametrize("size", [(1, 1, 1), (9, 193, 225), (23, 100, 31), (64, 256, 340)])
def test_stages_of_any_clip(size):
    with torch.device("meta"):
        found = shapes(MADE[0], torch.zeros(1, 3, *size))
    frames, height, width = size
    for tap, time, space in zip(TAPS[:4], (2, 4, 8, 8), (8, 16, 32, 32), strict=True):
        assert found[tap][1:] == (-(-frames // time), -(-height // space), -(-width // space))


with torch.device("meta"):
    MADE = [I3D().eval()]


@pytest.mark.parametrize(("channels", "known"), [(3, 12_697_264), (2, 12_675_312)])
def test_parameters(channels, known):
    with torch.device("meta"):
        found = count(I3D(in_channels=channels))
    convolutions = sum(out * into * edge**3 + 2 * out for *_, out, into, edge in rows(channels))
    assert found == convolutions + (1024 + 1) * 400 == known


def test_a_still_clip_is_the_image():
    """Kernels that are nothing but their middle frame make it torchvision's GoogLeNet.

    Torchvision pads alike at both ends, as "SAME" does for maps of odd size, and its maxima, which
    may stick out at the end, are "SAME" for even ones: 63 → 32 → 16 → 8 → 4 → 2.
    """
    repair()
    from torchvision.models import googlenet

    options = {"aux_logits": False, "transform_input": False, "init_weights": False}
    flat = seeded(lambda: googlenet(num_classes=400, **options))
    net = empty(I3D)
    letters = {f"{s}{b}": f"{s}{'abcde'['bcdef'.index(b)]}" for s, b in BLOCKS}
    stem = {"1a_7x7": "conv1", "2b_1x1": "conv2", "2c_3x3": "conv3"}
    branches = {"b0": "1", "b1a": "2.0", "b1b": "2.1", "b2a": "3.0", "b2b": "3.1", "b3b": "4.1"}
    source, state = flat.state_dict(), {}
    for name, tensor in net.state_dict().items():
        first, _, rest = name.partition(".")
        kind, _, at = first.partition("_")
        if kind == "logits":
            theirs = f"fc.{name.rpartition('.')[2]}"
        elif kind == "Conv3d":
            theirs = f"{stem[at]}.{rest}"
        else:
            branch, _, rest = rest.partition(".")
            theirs = f"inception{letters[at]}.branch{branches[branch]}.{rest}"
        found = source[theirs.replace("conv3d", "conv")]
        if tensor.ndim == 5:
            inflated = torch.zeros_like(tensor)
            inflated[:, :, tensor.shape[2] // 2] = found.reshape(tensor[:, :, 0].shape)
            found = inflated
        state[name] = found
    net.load_state_dict(state)
    images = noise(2, 3, 63, 63)
    with torch.no_grad():
        expected = flat(images)
        found = net(images[:, :, None].expand(-1, -1, 8, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_logits_are_the_mean_over_time_of_logits():
    net = seeded(lambda: I3D(6, 2))
    clips = noise(1, 2, 17, 200, 193)
    taps = Taps(net, ["Mixed_5c", "avg_pool", "pooled", "output"], lambda output, _: output)
    with torch.no_grad():
        found = taps(clips)
        maps = found["Mixed_5c"]
        assert maps.shape == (1, 1024, 3, 7, 7)
        slow = torch.stack([maps[:, :, t : t + 2].mean(dim=(2, 3, 4)) for t in (0, 1)], dim=2)
        torch.testing.assert_close(found["avg_pool"][..., 0, 0], slow)
        torch.testing.assert_close(found["pooled"], slow.mean(2))
        each = net.logits.conv3d(found["avg_pool"]).mean(2)[..., 0, 0]
        torch.testing.assert_close(found["output"], each)


def test_batches_and_odd_sizes():
    net = seeded(lambda: I3D(5))
    with torch.no_grad():
        assert_same_alone_and_together(net, noise(2, 3, 5, 33, 47))
        assert net(noise(1, 3, 1, 1, 1)).shape == (1, 5)


def test_epsilon_is_that_of_every_normalisation():
    with torch.device("meta"):
        nets = [I3D(), I3D(epsilon=1e-5)]
    found = [{p.eps for p in n.modules() if isinstance(p, torch.nn.BatchNorm3d)} for n in nets]
    assert found == [{1e-3}, {1e-5}]


def test_files_of_pytorch_i3d(tmp_path):
    state = numbered(authors_shapes(3, 0))
    torch.save(state, tmp_path / "rgb_imagenet.pt")
    net = empty(I3D)
    load_weights(net, tmp_path / "rgb_imagenet.pt")
    assert_each_once(net, state)
    assert rename(state).keys() == state.keys()


def test_files_of_video_features(tmp_path):
    state = numbered(authors_shapes(2, 1))
    torch.save(state, tmp_path / "i3d_flow.pt")
    net = empty(lambda: I3D(in_channels=2))
    net.load_state_dict(rename(read_weights(tmp_path / "i3d_flow.pt")))
    ours = dict(zip(authors_shapes(2, 0), state.values(), strict=True))
    assert_each_once(net, ours)
    counters = [f"{k.rpartition('.')[0]}.{COUNTER}" for k in state if k.endswith("running_var")]
    renamed = rename(dict.fromkeys(counters, torch.zeros(())))
    assert set(renamed) == {k for k in net.state_dict() if k.endswith(COUNTER)}


def test_streams_are_not_taken_for_each_other(tmp_path):
    torch.save(numbered(authors_shapes(2, 0)), tmp_path / "flow.pt")
    with pytest.raises(FileError, match=r"Conv3d_1a_7x7.conv3d.weight \(64, 2, 7, 7, 7\) for"):
        load_weights(empty(I3D), tmp_path / "flow.pt")
    with pytest.raises(DataError, match=r"\(n, 3, frames, height, width\).*in_channels"):
        MADE[0](torch.zeros(1, 2, 9, 32, 32))
