"""Networks of striate's own: all are built and answer, and are filled from the authors' files."""

import dataclasses
import json

import pytest
import torch
from tests.nets.zoo import test_i3d, test_resnet3d
from tests.nets.zoo.checkpoints import assert_each_once, norm, numbered

from striate.errors import FileError, RecipeError
from striate.media import Frames
from striate.nets import libraries
from striate.nets.flow import LucasKanade
from striate.nets.inputs.clips import Clips
from striate.nets.inputs.flows import Flows
from striate.nets.inputs.patches import Patches
from striate.nets.inputs.pictures import Pictures
from striate.nets.libraries import zoo
from striate.nets.libraries.zoo import ENTRIES, with_flow
from striate.nets.loading import Network
from striate.nets.taps import shapes
from striate.registry import key_of

OUTPUTS = {  # shape of what the network is shown, shape of what it answers, nodes among others
    "bdcn": ((3, 128, 128), (1, 128, 128), ("features.conv5_3", "fuse")),
    "cornet_s": ((3, 224, 224), (1000,), ("V1", "V2", "V4", "IT", "decoder.avgpool")),
    "cornet_z": ((3, 224, 224), (1000,), ("V1", "V2", "V4", "IT", "decoder.avgpool")),
    "i3d_flow": ((2, 64, 224, 224), (400,), ("Mixed_3b", "Mixed_5c", "pooled")),
    "i3d_rgb": ((3, 64, 224, 224), (400,), ("Mixed_3b", "Mixed_5c", "pooled")),
    "nasnet_mobile": ((3, 224, 224), (1000,), ("conv0", "cell_stem_0")),
    "resnet3d50": ((3, 16, 288, 288), (292,), ("layer1", "layer4")),
    "vggish": ((96, 64), (128,), ("features.15", "embeddings.4")),
    "vonealexnet": ((3, 224, 224), (1000,), ("vone_block", "bottleneck", "model.features.2")),
    "voneresnet50": ((3, 224, 224), (1000,), ("vone_block", "bottleneck", "model.layer4")),
}


def network(model, weights="none", **fields):
    return Network("zoo", model, weights, **fields)


def test_every_network_is_looked_at_here():
    assert set(OUTPUTS) == set(ENTRIES) == set(libraries.find("zoo").names())


@pytest.mark.parametrize("model", ENTRIES)
def test_every_network_answers_to_what_it_is_shown(model):
    shown, answer, nodes = OUTPUTS[model]
    with torch.device("meta"):  # shapes alone, in no time
        module = network(model).build()
        found = shapes(module, torch.empty(1, *shown))
    assert not module.training
    assert found["output"] == answer
    assert set(nodes) <= set(found)


@pytest.mark.parametrize("model", ENTRIES)
def test_every_network_is_shown_what_it_wants(model):
    shows = network(model).input()
    kinds = {"clips": Clips, "flows": Flows, "patches": Patches, "pictures": Pictures}
    assert type(shows) is kinds[ENTRIES[model].shown]
    if model != "i3d_flow":  # its flow of 64 pairs takes a while; below it has two
        assert tuple(shows(shows.blank()).shape[1:]) == OUTPUTS[model][0]
    json.dumps(network(model).identity())


def test_the_flow_network_is_shown_one_field_less_than_frames():
    shows = network("i3d_flow").input(Frames(3))
    found = shows(shows.blank())
    assert found.shape == (1, 2, 2, 224, 224)
    assert torch.allclose(
        found, torch.tensor(1 / 255), atol=1e-6
    )  # no motion, as I3D's grey images had it
    assert network("i3d_flow").input().frames == Frames(65, 22.0)


def test_preprocessing_may_be_stated():
    stated = network("cornet_s", size=64, mean=(0.5, 0.5, 0.5)).preprocessing()
    assert (stated.resize, stated.crop, stated.mean) == ((64, 64), None, (0.5, 0.5, 0.5))
    assert network("i3d_flow", size=64).input().preprocessing.resize == (64, 64)
    with pytest.raises(RecipeError, match="'vggish' of zoo is shown sound, not images"):
        network("vggish").preprocessing()
    assert network("vggish", seconds=3).input() == Patches(3)
    bdcn = network("bdcn").preprocessing()
    # What the authors take off is in units of 0 … 255.
    assert [round(255 * m, 3) for m in bdcn.mean] == [122.679, 116.669, 104.007]


def test_what_means_nothing_to_a_network_is_refused():
    with pytest.raises(
        RecipeError, match="seconds = 3 means nothing to 'bdcn', which is shown pic"
    ):
        network("bdcn", seconds=3).identity()
    with pytest.raises(RecipeError, match=r"size = 64 means nothing to 'vggish'.*shown patches"):
        network("vggish", size=64).input()


def test_random_weights_follow_the_seed():
    one, same, other = (network("cornet_z", seed=s).build().state_dict() for s in (0, 0, 1))
    assert all(torch.equal(v, same[k]) for k, v in one.items())
    assert not torch.equal(one["V1.conv.weight"], other["V1.conv.weight"])


@pytest.mark.parametrize("model", ENTRIES)
def test_weights_are_asked_for_by_the_name_of_the_authors_file(model):
    asked = network(model, "default")
    for call in (asked.build, asked.identity):
        with pytest.raises(RecipeError) as error:
            call()
        assert ENTRIES[model].file in str(error.value)
        assert f"'default' of '{model}'" in str(error.value)


@pytest.mark.parametrize(("model", "channels"), [("i3d_rgb", 3), ("i3d_flow", 2)])
def test_both_authors_names_of_i3d_fill_it(tmp_path, model, channels):
    for which in (0, 1):
        state = numbered(test_i3d.authors_shapes(channels, which))
        torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / f"{which}.pt")
    ours, theirs = (network(model, str(tmp_path / f"{w}.pt")).build() for w in (0, 1))
    assert_each_once(ours, numbered(test_i3d.authors_shapes(channels, 0)))
    for name, tensor in ours.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_a_file_of_the_moments_project_fills_resnet3d(tmp_path):
    state = numbered(test_resnet3d.authors_shapes())
    named = {f"module.{k.replace('last_linear', 'fc')}": v for k, v in state.items()}
    file = tmp_path / "moments_segment16.pth.tar"
    torch.save({"epoch": 1, "state_dict": named}, file)
    filled = network("resnet3d50", str(file))
    assert_each_once(filled.build(), state)
    assert filled.identity()["weights"].startswith("blake2b:")
    assert str(tmp_path) not in json.dumps(filled.identity())


def test_cornet_is_filled_from_behind_module(tmp_path):
    state = numbered({f"{a}.conv.weight": s for a, s in CORNET_Z.items()} | CORNET_Z_REST)
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "z.pth")
    assert_each_once(network("cornet_z", str(tmp_path / "z.pth")).build(), state)


CORNET_Z = {
    "V1": (64, 3, 7, 7),
    "V2": (128, 64, 3, 3),
    "V4": (256, 128, 3, 3),
    "IT": (512, 256, 3, 3),
}
CORNET_Z_REST = {f"{a}.conv.bias": (s[0],) for a, s in CORNET_Z.items()}
CORNET_Z_REST |= {"decoder.linear.weight": (1000, 512), "decoder.linear.bias": (1000,)}


def test_a_voneresnet_of_another_implementation_and_its_own(tmp_path):
    """Foreign names are told by shape; a file with our names is taken as it is, in any order."""
    source = network("voneresnet50", seed=3, options={"seed": 7, "classes": 10}).build()
    tensors = source.state_dict()
    names = {"vone_block.in_phase.weight": "v.a", "vone_block.quadrature.weight": "v.b"}
    names["bottleneck.weight"] = "mix.weight"
    files = {
        "foreign": {f"module.{names.get(k, k)}": v for k, v in tensors.items()},
        "turned": dict(reversed(tensors.items())),
    }
    for name, state in files.items():
        torch.save({"state_dict": state}, tmp_path / f"{name}.pth")
        filled = network("voneresnet50", str(tmp_path / f"{name}.pth"), options={"classes": 10})
        for key, value in filled.build().state_dict().items():
            assert torch.equal(value, tensors[key]), (name, key)


def test_a_file_that_does_not_fit_is_told(tmp_path):
    torch.save(numbered(norm("bn", 3)), tmp_path / "w.pth")
    with pytest.raises(FileError, match=r"w\.pth: does not fit i3d_rgb: it lacks Conv3d_1a_7x7"):
        network("i3d_rgb", str(tmp_path / "w.pth")).build()
    with pytest.raises(FileError, match=r"w\.pth: weights of a VOneNet hold two Gabor banks"):
        network("vonealexnet", str(tmp_path / "w.pth")).build()


def test_the_key_tells_the_version_of_the_code(monkeypatch):
    before = key_of(network("cornet_z").identity())
    entry = dataclasses.replace(ENTRIES["cornet_z"], version=2)
    monkeypatch.setattr(zoo, "ENTRIES", {**ENTRIES, "cornet_z": entry})
    assert key_of(network("cornet_z").identity()) != before


def test_another_method_of_flow():
    shows = network("i3d_flow").input()
    other = with_flow(shows, LucasKanade(window=3))
    assert other == dataclasses.replace(shows, method=LucasKanade(window=3))
    with pytest.raises(RecipeError, match="for networks that are shown optical flow"):
        with_flow(network("i3d_rgb").input(), LucasKanade())


def test_names_that_are_not_there():
    with pytest.raises(RecipeError, match="unknown network of the zoo 'cornet_y': did you mean"):
        network("cornet_y").build()
    with pytest.raises(RecipeError, match=r"'cornet_z' of zoo cannot be built with options"):
        network("cornet_z", options={"clases": 3}).build()
