"""Files of weights: told by their content, and the names that other code puts in front."""

import os

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import FileError
from striate.nets.weights import file_identity, is_file, line_of, load_weights, read_weights

from .toys import seeded


def test_a_digest_follows_the_content(tmp_path):
    one, two = tmp_path / "a.pth", tmp_path / "b.pth"
    for path in (one, two):
        path.write_bytes(b"same")
    assert file_identity(one) == file_identity(two)
    two.write_bytes(b"else")
    os.utime(two, ns=(1, 1))
    assert file_identity(one) != file_identity(two)
    assert file_identity(one).startswith("blake2b:")
    with pytest.raises(FileError, match=r"none\.pth: no such file of weights; give a path"):
        file_identity(tmp_path / "none.pth")


@pytest.mark.parametrize("weights", ["a.pth", "b/c", "d\\e", "w.safetensors"])
def test_what_is_a_file(weights):
    assert is_file(weights)


@pytest.mark.parametrize("weights", ["none", "default", "IMAGENET1K_V1", "laion2b_s34b_b79k"])
def test_what_is_a_tag(weights):
    assert not is_file(weights)


@pytest.mark.parametrize("prefix", ["module.", "model.", "encoder.", "_orig_mod.module."])
def test_names_in_front_are_taken_off(tmp_path, prefix):
    save_file({prefix + k: v for k, v in seeded().state_dict().items()}, tmp_path / "w.safetensors")
    other = type(seeded())()
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other.conv.weight, seeded().conv.weight)
    assert set(read_weights(tmp_path / "w.safetensors")) == {
        prefix + k for k in seeded().state_dict()
    }


def test_errors_in_a_line():
    assert line_of(ValueError("one\ntwo")) == "one"
    assert line_of(ValueError()) == ""
