"""RAFT on random weights: shapes, padding, files of weights, identity."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import FileError, RecipeError
from striate.nets.raft import Raft, raft_flow


@pytest.fixture(scope="module")
def small():
    return Raft("raft_small", "none").build()


def frames(height, width):
    return torch.rand(2, 2, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_flow_has_the_shape_of_the_frames(small):
    with torch.inference_mode():
        flow = raft_flow(small, *frames(131, 90), updates=2)
    assert flow.shape == (2, 2, 131, 90)
    assert bool(flow.isfinite().all())


def test_frames_that_fit_are_given_as_they_are(small):
    first, second = frames(128, 136)
    with torch.inference_mode():
        expected = small(2 * first - 1, 2 * second - 1, num_flow_updates=2)[-1]
        torch.testing.assert_close(raft_flow(small, first, second, 2), expected)


def test_a_file_of_weights_makes_the_same_network(small, tmp_path):
    file = tmp_path / "raft.safetensors"
    save_file(small.state_dict(), file)
    again = Raft("raft_small", str(file), seed=5)
    state = again.build().state_dict()
    assert all(torch.equal(v, state[k]) for k, v in small.state_dict().items())
    assert again.identity()["weights"].startswith("blake2b:")
    with pytest.raises(FileError, match="does not fit raft_large"):
        Raft("raft_large", str(file)).build()
    with pytest.raises(FileError, match="no such file of weights"):
        Raft(weights="gone.pth").identity()


def test_what_decides_the_numbers_is_in_the_identity():
    assert Raft().identity() == {
        "model": "raft_large",
        "updates": 12,
        "weights": "torchvision:raft_large_C_T_SKHT_V2-ff5fadd5.pth",
    }
    random = Raft(weights="none")
    changes = ({"model": "raft_small"}, {"updates": 3}, {"seed": 1}, {"weights": "C_T_V1"})
    for change in changes:
        assert dataclasses.replace(random, **change).identity() != random.identity()


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def fails(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", fails)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fails)
    with pytest.raises(FileError, match=r"'default' of 'raft_small' .* no route .*give their file"):
        Raft("raft_small").build()


def test_impossible_rafts_are_refused():
    with pytest.raises(RecipeError, match="unknown RAFT 'raft_huge'"):
        Raft("raft_huge")
    with pytest.raises(RecipeError, match="0 updates"):
        Raft(updates=0)
    with pytest.raises(RecipeError, match="unknown weights of raft_small 'C_T_SKHT_V2'"):
        Raft("raft_small", "C_T_SKHT_V2").build()
