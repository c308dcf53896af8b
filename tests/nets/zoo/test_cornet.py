"""CORnet against its published sizes, and its recurrence unrolled by hand."""

import pytest
import torch
from torch.nn import functional

from striate.errors import RecipeError
from striate.nets.loading import load_weights
from striate.nets.taps import Taps, shapes
from striate.nets.zoo.cornet import TIMES, AreaS, CORnetS, CORnetZ

WIDTHS = {"V1": (3, 64), "V2": (64, 128), "V4": (128, 256), "IT": (256, 512)}


def norm(name, width):
    kinds = {
        "weight": (width,),
        "bias": (width,),
        "running_mean": (width,),
        "running_var": (width,),
    }
    return {f"{name}.{k}": s for k, s in kinds.items()} | {f"{name}.num_batches_tracked": ()}


def published_s(classes=1000):
    """Name → shape in the authors' file of CORnet-S, `module.` taken off."""
    shape = {"V1.conv1.weight": (64, 3, 7, 7), "V1.conv2.weight": (64, 64, 3, 3)}
    shape |= norm("V1.norm1", 64) | norm("V1.norm2", 64)
    for area, times in TIMES.items():
        inputs, outputs = WIDTHS[area]
        wide = 4 * outputs
        shape |= {
            f"{area}.conv_input.weight": (outputs, inputs, 1, 1),
            f"{area}.skip.weight": (outputs, outputs, 1, 1),
            f"{area}.conv1.weight": (wide, outputs, 1, 1),
            f"{area}.conv2.weight": (wide, wide, 3, 3),
            f"{area}.conv3.weight": (outputs, wide, 1, 1),
        } | norm(f"{area}.norm_skip", outputs)
        for t in range(times):
            shape |= norm(f"{area}.norm1_{t}", wide) | norm(f"{area}.norm2_{t}", wide)
            shape |= norm(f"{area}.norm3_{t}", outputs)
    return shape | {"decoder.linear.weight": (classes, 512), "decoder.linear.bias": (classes,)}


def published_z(classes=1000):
    shape = {}
    for area, (inputs, outputs) in WIDTHS.items():
        kernel = 7 if area == "V1" else 3
        shape[f"{area}.conv.weight"] = (outputs, inputs, kernel, kernel)
        shape[f"{area}.conv.bias"] = (outputs,)
    return shape | {"decoder.linear.weight": (classes, 512), "decoder.linear.bias": (classes,)}


PUBLISHED = {CORnetS: published_s, CORnetZ: published_z}


def seeded(build):
    """Norms differ from each other and from doing nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build()
        for name, value in network.state_dict().items():
            if "norm" in name and value.ndim:
                spread = torch.rand_like(value)
                value.copy_(spread - 0.5 if name.endswith(("bias", "mean")) else spread + 0.5)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("build", "count"), [(CORnetS, 53_416_616), (CORnetZ, 2_071_656)], ids=["S", "Z"]
)
def test_names_and_sizes_are_the_published_ones(build, count):
    with torch.device("meta"):
        network = build()
        made = shapes(network.eval(), torch.zeros(1, 3, 224, 224))
    found = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert found == PUBLISHED[build]()
    trained = {k: v for k, v in found.items() if "running" not in k and "tracked" not in k}
    assert sum(int(torch.Size(s).numel()) for s in trained.values()) == count
    assert sum(p.numel() for p in network.parameters()) == count
    sizes = {"V1": (64, 56, 56), "V2": (128, 28, 28), "V4": (256, 14, 14), "IT": (512, 7, 7)}
    assert {area: made[area] for area in sizes} == sizes
    assert made["decoder.avgpool"] == (512, 1, 1)
    assert made["decoder"] == made["output"] == (1000,)
    assert list(made)[-1] == "output"


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_area_is_its_recurrence_unrolled(times):
    area = seeded(lambda: AreaS(3, 4, times))
    inputs = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(1))
    w = area.state_dict()

    def normed(x, name):
        def column(kind):
            return w[f"{name}.{kind}"][:, None, None]

        scaled = (x - column("running_mean")) / (column("running_var") + 1e-5).sqrt()
        return scaled * column("weight") + column("bias")

    def pointwise(x, name):
        return torch.einsum("nchw,oc->nohw", x, w[f"{name}.weight"][:, :, 0, 0])

    state = pointwise(inputs, "conv_input")
    for t in range(times):
        passed = normed(pointwise(state[:, :, ::2, ::2], "skip"), "norm_skip") if t == 0 else state
        x = normed(pointwise(state, "conv1"), f"norm1_{t}").relu()
        x = functional.conv2d(x, w["conv2.weight"], padding=1)
        x = normed(x[:, :, ::2, ::2] if t == 0 else x, f"norm2_{t}").relu()
        state = (normed(pointwise(x, "conv3"), f"norm3_{t}") + passed).relu()
    found = area(inputs)
    assert found.shape == (2, 4, 5, 4)
    torch.testing.assert_close(found, state, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(area(inputs), found, rtol=0, atol=0)  # no memory of the last pass


def test_nodes_that_run_again_are_read_at_their_last_run():
    network = seeded(lambda: CORnetS(5))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    nodes = ["V1", "V2", "V2.output", "V4", "V4.output", "V4.conv2", "V4.norm2_3", "IT", "decoder"]
    found = Taps(network, nodes, lambda output, node: output)(images)
    for area in ("V2", "V4"):
        torch.testing.assert_close(found[area], found[f"{area}.output"], rtol=0, atol=0)
    torch.testing.assert_close(network.V4.norm2_3(found["V4.conv2"]), found["V4.norm2_3"])
    torch.testing.assert_close(network.V4(found["V2"]), found["V4"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["decoder"], network(images))


def test_z_is_its_layers_written_out():
    network = seeded(lambda: CORnetZ(5))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    w, x = network.state_dict(), images
    for area in WIDTHS:
        stride, pad = (2, 3) if area == "V1" else (1, 1)
        x = functional.conv2d(x, w[f"{area}.conv.weight"], w[f"{area}.conv.bias"], stride, pad)
        x = functional.max_pool2d(x.relu(), 3, 2, 1)
    expected = x.mean((2, 3)) @ w["decoder.linear.weight"].T + w["decoder.linear.bias"]
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", [CORnetS, CORnetZ], ids=["S", "Z"])
def test_company_does_not_matter(build):
    network = seeded(lambda: build(5))
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    together = network(images)
    for i in range(3):
        torch.testing.assert_close(network(images[i : i + 1])[0], together[i], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network(images), together, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*which is a no-op:UserWarning")
def test_a_file_with_the_authors_names_loads(tmp_path):
    """CORnet-Z for real; the 200 MB of S by name on the meta device."""
    random = torch.Generator().manual_seed(0)
    tensors = {k: torch.randn(s, generator=random) for k, s in published_z(5).items()}
    file = tmp_path / "cornet_z.pth"
    torch.save({"epoch": 9, "state_dict": {f"module.{k}": v for k, v in tensors.items()}}, file)
    network = CORnetZ(5)
    load_weights(network, file)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, tensors[name], rtol=0, atol=0)
    named = {f"module.{k}": torch.zeros(()).expand(s) for k, s in published_s().items()}
    torch.save({"state_dict": named}, tmp_path / "cornet_s.pth")
    with torch.device("meta"):
        load_weights(CORnetS(), tmp_path / "cornet_s.pth")


def test_no_time_is_refused():
    with pytest.raises(RecipeError, match="runs 0 times: 1 or more"):
        AreaS(3, 4, 0)
