"""Towers of open_clip: embeddings, byte-exact images, tokens, and the two kinds of GELU."""

import dataclasses

import numpy as np
import pytest
import torch

from striate.data import Shown
from striate.errors import FileError, RecipeError
from striate.nets import libraries
from striate.nets.loading import Network

from .seen import close, given, images, shown, tapped

open_clip = pytest.importorskip("open_clip")

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
IMAGE = Network("open_clip", "ViT-B-32", "none", options=TINY, tower="image")
TEXT = dataclasses.replace(IMAGE, tower="text")
SIGLIP = "ViT-B-16-SigLIP"


def whole(network):
    """Both towers by open_clip's own function, with the weights that the seed gives."""
    with torch.random.fork_rng():
        torch.manual_seed(network.seed)
        options = {k: v for k, v in network.options.items() if k != "normalize"}
        return open_clip.create_model(network.model, **options).eval()


def test_nodes_of_the_image_tower(tmp_path):
    inputs = given(IMAGE.input(), shown(tmp_path))
    nodes = ("visual.transformer.resblocks.1", "embedding", "output")
    found, model = tapped(IMAGE, nodes, inputs), whole(IMAGE)
    with torch.inference_mode():
        close(found["embedding"], model.encode_image(inputs))
        close(found["output"], found["embedding"])
        inner = model.visual.forward_intermediates(
            inputs, indices=[1], output_fmt="NLC", output_extra_tokens=True
        )
    tokens = [inner["image_intermediates_prefix"][0], inner["image_intermediates"][0]]
    close(found[nodes[0]], torch.cat(tokens, dim=1))


def test_nodes_of_the_text_tower():
    told = ["a cat", "", "the striate cortex is " + "very " * 200 + "early"]
    inputs = given(TEXT.input(), [Shown(str(i), "", text=t) for i, t in enumerate(told)])
    assert torch.equal(inputs, open_clip.get_tokenizer("ViT-B-32")(told))
    nodes = ("text.transformer.resblocks.0", "embedding")
    found, model = tapped(TEXT, nodes, inputs), whole(TEXT)
    with torch.inference_mode():
        close(found["embedding"], model.encode_text(inputs))
        first = model.forward_intermediates(text=inputs, text_indices=[0])
    close(found[nodes[0]], first["text_intermediates"][0])


def test_a_tower_of_the_second_kind():
    custom = dataclasses.replace(TEXT, options=TINY | {"force_custom_text": True})
    inputs = given(custom.input(), [Shown("a", "", text="a cat")])
    with torch.inference_mode():
        expected = whole(custom).encode_text(inputs)
    found = tapped(custom, ("embedding", "text.ln_final"), inputs)
    close(found["embedding"], expected)
    assert found["text.ln_final"].shape == (1, 77, 16)


def test_embeddings_of_length_one(tmp_path):
    normal = dataclasses.replace(IMAGE, options=TINY | {"normalize": True})
    inputs = given(normal.input(), shown(tmp_path))
    found = tapped(normal, ("embedding",), inputs)["embedding"]
    with torch.inference_mode():
        close(found, whole(normal).encode_image(inputs, normalize=True))
    assert normal.identity() != IMAGE.identity()


@pytest.mark.parametrize("size", [32, (32, 48), (50, 30)])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation, fill", [("bicubic", 0), ("bilinear", 127)])
def test_images_are_those_of_open_clip_to_the_byte(size, mode, interpolation, fill):
    steps = {"resize_mode": mode, "interpolation": interpolation, "fill_color": fill}
    transform = open_clip.image_transform(size, is_train=False, **steps)
    transform.transforms.pop()  # the normalisation
    options = {"force_image_size": size, "force_preprocess_cfg": steps}
    preprocessing = Network("open_clip", "ViT-B-32", "none", options=options).preprocessing()
    for image in images():
        expected = (transform(image) * 255).round().byte().permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(preprocessing.pixels(image), expected)


@pytest.mark.parametrize("model", ["ViT-B-32", SIGLIP, "MobileCLIP-S1", "convnext_base"])
def test_every_tag_has_the_preprocessing_that_it_was_trained_with(model):
    for tag in open_clip.list_pretrained_tags_by_model(model):
        tagged = open_clip.pretrained.get_pretrained_cfg(model, tag)
        if tagged.get("quick_gelu"):
            continue
        config = open_clip.transform.PreprocessCfg(
            size=open_clip.get_model_config(model)["vision_cfg"]["image_size"],
            **{k: tagged[k] for k in ("mean", "std", "interpolation", "resize_mode")},
        )
        transform = open_clip.transform.image_transform_v2(config, is_train=False)
        shows = Network("open_clip", model, tag).input()
        image = images()[1]
        pixels = torch.from_numpy(shows.preprocessing.pixels(image))
        close(shows(pixels[None])[0], transform(image), 1e-6)


@pytest.mark.parametrize(
    "model, weights, options, step",
    [
        ("ViT-B-32", "openai", {}, "use model = 'ViT-B-32-quickgelu'"),
        ("ViT-L-14", "dfn2b", {}, "use model = 'ViT-L-14-quickgelu'"),
        ("ViT-B-32-quickgelu", "laion2b_s34b_b79k", {}, "unknown weights"),
        ("ViT-B-32", "laion2b_s34b_b79k", {"force_quick_gelu": True}, "leave force_quick_gelu out"),
        ("roberta-ViT-B-32", "laion2b_s12b_b32k", {}, r"\{quick_gelu = true\}"),
    ],
)
def test_weights_of_the_other_gelu_are_refused(model, weights, options, step):
    with pytest.raises(RecipeError, match=step):
        Network("open_clip", model, weights, options=options).identity()


def test_the_right_gelu_is_taken_and_told():
    quick = Network("open_clip", "ViT-B-32-quickgelu", "openai").identity()
    forced = {"force_quick_gelu": True}
    same = Network("open_clip", "ViT-B-32", "openai", options=forced).identity()
    plain = Network("open_clip", "ViT-B-32", "laion2b_s34b_b79k").identity()
    assert quick["quick_gelu"] and same["quick_gelu"] and not plain["quick_gelu"]
    assert quick["weights"] == "open_clip:ViT-B-32-quickgelu:openai"
    stated = {"quick_gelu": True}
    told = Network("open_clip", "roberta-ViT-B-32", "laion2b_s12b_b32k", options=stated).identity()
    assert told["quick_gelu"]


def test_which_gelu_is_computed_is_seen(tmp_path):
    quick = dataclasses.replace(IMAGE, options=TINY | {"force_quick_gelu": True})
    inputs = given(IMAGE.input(), shown(tmp_path))
    one, two = (tapped(n, ("embedding",), inputs)["embedding"] for n in (IMAGE, quick))
    assert not torch.allclose(one, two, atol=1e-6)
    assert IMAGE.identity()["config"] != quick.identity()["config"]


def test_towers_sizes_and_fields_are_in_the_identity():
    changes = ({}, {"tower": "text"}, {"size": 64}, {"mean": (0, 0, 0)}, {"seed": 1})
    keys = {str(dataclasses.replace(IMAGE, **c).identity()) for c in changes}
    assert len(keys) == len(changes)
    assert TEXT.identity()["input"]["length"] == 77


def test_what_is_not_there(monkeypatch):
    with pytest.raises(RecipeError, match=r"unknown open_clip model 'ViT-B32'"):
        Network("open_clip", "ViT-B32", "none").identity()
    with pytest.raises(RecipeError, match=r"unknown weights of ViT-B-32 'default'.*laion2b"):
        Network("open_clip", "ViT-B-32").identity()
    with pytest.raises(RecipeError, match=r"unknown tower of ViT-B-32 'sound'"):
        dataclasses.replace(IMAGE, tower="sound").input()
    with pytest.raises(RecipeError, match=r"unknown option 'weights_only'"):
        dataclasses.replace(IMAGE, options={"weights_only": False}).identity()
    with pytest.raises(RecipeError, match=r"length 20: .* have 77 tokens"):
        dataclasses.replace(TEXT, length=20).input()
    with pytest.raises(FileError, match=r"tokenizer of open_clip 'roberta-ViT-B-32' is not on"):
        Network("open_clip", "roberta-ViT-B-32", "none", tower="text").input()
    with pytest.raises(RecipeError, match="is shown text, not images"):
        TEXT.preprocessing()
    assert "ViT-B-32" in libraries.find("open_clip").names()


def test_weights_that_cannot_be_downloaded():
    with pytest.raises(FileError, match=r"'laion2b_s34b_b79k' of open_clip .* are not on this"):
        Network("open_clip", "ViT-B-32", "laion2b_s34b_b79k").build()


def test_a_file_fills_both_towers(tmp_path):
    from safetensors.torch import save_file

    state = {
        k: v.clone() for k, v in whole(dataclasses.replace(IMAGE, seed=5)).state_dict().items()
    }
    save_file(state, tmp_path / "w.safetensors")
    filled = dataclasses.replace(IMAGE, weights=str(tmp_path / "w.safetensors"))
    inputs = given(filled.input(), shown(tmp_path))
    random = dataclasses.replace(IMAGE, seed=5)
    one, two = (tapped(n, ("embedding",), inputs)["embedding"] for n in (filled, random))
    close(one, two)
    assert filled.identity()["weights"].startswith("blake2b:")


def test_nothing_is_printed(capfd, monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    IMAGE.build()
    assert logging.getLogger().handlers == []
    assert capfd.readouterr() == ("", "")
