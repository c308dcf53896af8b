"""Networks by name and by file; weights that fit, do not fit, or would run code."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from striate.errors import FileError, RecipeError
from striate.nets.loading import Network
from striate.nets.repair import repair
from striate.nets.weights import load_weights, read_weights

from .toys import seeded

TOY = "tests.nets.toys:Toy"


def saved(state, path):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.fixture
def toy_file(tmp_path):
    path = tmp_path / "toys.py"
    path.write_text(
        "from torch import nn\n\n\nclass Small(nn.Sequential):\n"
        "    def __init__(self, width=4):\n"
        "        super().__init__(nn.Conv2d(3, width, 3), nn.ReLU(inplace=True))\n"
    )
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
def test_weights_of_a_file(tmp_path, suffix, prefix):
    state = {prefix + k: v for k, v in seeded().state_dict().items()}
    path = saved(state, tmp_path / f"w{suffix}")
    other = type(seeded())()
    load_weights(other, path)
    torch.testing.assert_close(other.state_dict(), seeded().state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_nested_checkpoints(tmp_path, key):
    path = saved({key: seeded().state_dict(), "epoch": 3}, tmp_path / "c.pth")
    other = type(seeded())()
    load_weights(other, path)
    torch.testing.assert_close(other.conv.weight, seeded().conv.weight, rtol=0, atol=0)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    torch.save({"w": torch.zeros(2), "evil": Evil()}, "evil.pth", pickle_protocol=protocol)
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Evil(), protocol))
    for name in ("evil.pth", "bare.pth"):
        with pytest.raises(FileError, match=rf"{name}: .*would run code when opened, so it was"):
            read_weights(name)
    assert not (tmp_path / "executed").exists()


def test_weights_that_do_not_fit(tmp_path):
    state = seeded().state_dict()
    state["head.weight"] = torch.zeros(2)
    del state["unused.bias"]
    state["conv.weight"] = torch.zeros(8, 3, 3, 3)
    path = saved(state, tmp_path / "w.safetensors")
    with pytest.raises(FileError) as error:
        load_weights(seeded(), path, "Toy")
    for part in ("does not fit Toy", "lacks unused.bias", "besides head.weight", "(8, 3, 3, 3)"):
        assert part in str(error.value)


def test_damaged_missing_and_empty_files(tmp_path):
    for name in ("a.pth", "a.safetensors"):
        (tmp_path / name).write_bytes(b"\x80junk" * 9)
        with pytest.raises(FileError, match=name.replace(".", r"\.")):
            read_weights(tmp_path / name)
    with pytest.raises(FileError, match="no such file of weights"):
        read_weights(tmp_path / "none.pth")
    saved({"epoch": 3}, tmp_path / "e.pth")
    with pytest.raises(FileError, match="holds no named tensors"):
        read_weights(tmp_path / "e.pth")


def test_random_weights_follow_the_seed_and_leave_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, c = (Network("module", TOY, "none", seed=s).build() for s in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(a.conv.weight, b.conv.weight)
    assert not torch.equal(a.conv.weight, c.conv.weight)
    assert not a.training
    assert not a.conv.weight.requires_grad


def test_a_module_of_a_file(toy_file):
    network = Network("module", f"{toy_file}:Small", "none", options={"width": 6})
    assert network.build()[0].out_channels == 6
    before = network.identity()
    assert before["preprocessing"]["resize"] == [224, 224]
    assert str(toy_file) not in str(before)
    toy_file.write_text(toy_file.read_text() + "\n# edited\n")
    assert network.identity()["source"] != before["source"]
    with pytest.raises(RecipeError, match="cannot be built with options"):
        Network("module", f"{toy_file}:Small", "none", options={"depth": 6}).build()
    with pytest.raises(RecipeError, match="takes a file or 'none'"):
        Network("module", f"{toy_file}:Small", "default").build()


def test_what_is_no_module(tmp_path):
    (tmp_path / "plain.py").write_text("class Plain:\n    pass\n")
    with pytest.raises(RecipeError, match="makes Plain, no torch module"):
        Network("module", f"{tmp_path / 'plain.py'}:Plain", "none").build()


def test_repair_is_harmless_twice():
    assert repair() == repair()
    import torchvision

    assert torchvision.models.squeezenet1_0 is not None


def test_torchvision_preprocessing_is_that_of_the_weights():
    one = Network("torchvision", "resnet50", "IMAGENET1K_V1").preprocessing()
    two = Network("torchvision", "resnet50", "IMAGENET1K_V2").preprocessing()
    assert (one.resize, two.resize) == (256, 232)
    assert one.crop == two.crop == (224, 224)
    assert Network("torchvision", "resnet50", "none").preprocessing() == two
    stated = Network("torchvision", "resnet50", "none", size=96, mean=(0, 0, 0)).preprocessing()
    assert (stated.resize, stated.crop, stated.mean) == ((96, 96), None, (0, 0, 0))


def test_timm_preprocessing_is_that_of_the_weights():
    pytest.importorskip("timm")
    vit = Network("timm", "vit_tiny_patch16_224", "none").preprocessing()
    assert (vit.resize, vit.crop, vit.interpolation) == (248, (224, 224), "bicubic")
    assert vit.mean == (0.5, 0.5, 0.5)
    tagged = Network("timm", "resnet18", "a1_in1k").identity()
    assert tagged["weights"] == "timm:resnet18.a1_in1k"


def test_unknown_names():
    with pytest.raises(RecipeError, match=r"unknown torchvision model 'alexnett'.*'alexnet'"):
        Network("torchvision", "alexnett", "none").identity()
    with pytest.raises(RecipeError, match=r"unknown weights of alexnet 'V3'.*IMAGENET1K_V1"):
        Network("torchvision", "alexnet", "V3").identity()
    with pytest.raises(RecipeError, match="no network for single images or clips"):
        Network("torchvision", "fcn_resnet50", "none").preprocessing()
    pytest.importorskip("timm")
    with pytest.raises(RecipeError, match=r"unknown timm model 'resnet18\.none'"):
        Network("timm", "resnet18.none", "none").identity()


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(FileError, match=r"'default' of torchvision 'squeezenet1_1'.*no route"):
        Network("torchvision", "squeezenet1_1").build()


@pytest.mark.parametrize(
    "library, model, options",
    [
        ("torchvision", "alexnet", {}),
        ("torchvision", "squeezenet1_1", {"num_classes": 7}),
        ("timm", "resnet18", {}),
        ("timm", "vit_tiny_patch16_224", {"img_size": 64}),
    ],
)
def test_random_networks_of_libraries(library, model, options):
    if library == "timm":
        pytest.importorskip("timm")
    network = Network(library, model, "none", size=64, options=options)
    module = network.build()
    assert isinstance(module, nn.Module)
    with torch.inference_mode():
        assert module(torch.zeros(1, 3, 64, 64)).shape == (1, options.get("num_classes", 1000))
