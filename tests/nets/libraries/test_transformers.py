"""Networks of transformers: nodes as the library's own pass has them, folders, hubs and seeds."""

import dataclasses
import json
import warnings

import pytest
import torch

from striate.errors import FileError, RecipeError
from striate.nets import libraries
from striate.nets.loading import Network

from . import tiny
from .seen import close, tapped

transformers = pytest.importorskip("transformers")


def inputs_of(network):
    """Noise in the form that the network is given."""
    shows = network.input()
    items = torch.cat([shows.blank()] * 2)
    if items.dtype == torch.uint8:
        items = torch.randint(0, 255, items.shape, dtype=torch.uint8)
    return shows(items if shows.kind == "text" else items + torch.rand(items.shape).to(items.dtype))


def hidden(network, inputs):
    """All hidden states and the last, by the library's own class."""
    if network.model == "vjepa2":
        config = transformers.VJEPA2Config(**network.options)
        torch.manual_seed(network.seed)
        model = transformers.VJEPA2Model(config).eval()
        more = {"skip_predictor": True}
    else:
        model, more = network.build(), {}
    with torch.inference_mode():
        return model(**{model.main_input_name: inputs}, **more, output_hidden_states=True)


NODES = {
    "dinov2": "encoder.layer.1",
    "clip": "encoder.layers.1",
    "siglip": "encoder.layers.1",
    "vit": "layers.1",
    "sam": "vision_encoder.layers.1",
    "videomae": "encoder.layer.1",
    "audio-spectrogram-transformer": "layers.1",
    "wav2vec2": "encoder.layers.0",
    "whisper": "layers.0",
    "vjepa2": "layer.0",
}


@pytest.mark.parametrize("name", NODES)
def test_nodes_are_the_librarys_hidden_states(name):
    network = tiny.network(name)
    inputs = inputs_of(network)
    found, own = tapped(network, (NODES[name], "output"), inputs), hidden(network, inputs)
    close(found["output"], own.last_hidden_state)
    layer = int(NODES[name][-1]) + 1
    close(found[NODES[name]], own.hidden_states[layer])


def test_sam_gives_a_map_of_256_channels():
    options = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16}
    network = tiny.network("sam", size=None, options=options | {"global_attn_indexes": []})
    shows = network.input()
    found = tapped(network, ("output",), shows(shows.blank()))["output"]
    assert found.shape == (1, 256, 64, 64)


@pytest.mark.parametrize("name", ["dinov2", "whisper"])
def test_the_same_seed_gives_the_same_weights(name):
    one, two, other = (tiny.network(name, seed=s).build().state_dict() for s in (1, 1, 2))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


@pytest.fixture
def folder(tmp_path):
    """A network of clip in a folder, with its processor."""
    vision, text = tiny.OPTIONS["clip"], {**tiny.BODY, "vocab_size": 20}
    config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=8)
    torch.manual_seed(0)
    place = tmp_path / "clip"
    transformers.CLIPModel(config).save_pretrained(place)
    sizes = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPImageProcessorPil(**sizes).save_pretrained(place)
    tiny.tokenizer(place)
    return place


def test_both_towers_of_a_folder(folder):
    whole = transformers.CLIPModel.from_pretrained(folder).eval()
    image = Network("transformers", str(folder))
    assert image.preprocessing().identity()["resize"] == 36
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        close(
            tapped(image, ("output:pooler_output",), pixels)["output:pooler_output"],
            whole.vision_model(pixels).pooler_output,
        )
        text = Network("transformers", str(folder), tower="text", length=6)
        inputs = text.input()(text.input().blank())
        close(
            tapped(text, ("output",), inputs)["output"],
            whole.text_model(**inputs).last_hidden_state,
        )
    assert image.identity() != text.identity()


def test_a_folder_is_told_by_what_it_holds(folder, tmp_path):
    network = Network("transformers", str(folder))
    before = network.identity()
    assert str(tmp_path) not in json.dumps(before)
    moved = folder.rename(tmp_path / "elsewhere")
    network = Network("transformers", str(moved))
    assert network.identity() == before
    steps = json.loads((moved / "preprocessor_config.json").read_text())
    (moved / "preprocessor_config.json").write_text(json.dumps(steps | {"image_mean": [0, 0, 0]}))
    assert network.identity()["preprocessing"] != before["preprocessing"]
    torch.manual_seed(1)
    transformers.CLIPModel.from_pretrained(moved).save_pretrained(tmp_path / "same")
    same = Network("transformers", str(tmp_path / "same")).identity()
    assert same["weights"] == before["weights"]
    config = transformers.CLIPModel.from_pretrained(moved).config
    transformers.CLIPModel(config).save_pretrained(moved)
    assert network.identity()["weights"] != before["weights"]


def test_a_folder_with_random_weights_and_with_a_file(folder):
    random = Network("transformers", str(folder), "none", seed=3)
    file = Network("transformers", str(folder), str(folder / "model.safetensors"))
    with pytest.raises(FileError, match="does not fit"):
        file.build()  # both towers are in it
    assert random.identity()["weights"] == "none"
    own = random.build()
    from safetensors.torch import save_file

    state = {k: v.contiguous() + 1 for k, v in own.state_dict().items()}
    save_file(state, folder.parent / "w.safetensors")
    filled = Network("transformers", str(folder), str(folder.parent / "w.safetensors")).build()
    close(filled.post_layernorm.weight, own.post_layernorm.weight + 1)


def test_weights_that_lack_a_part_are_refused(tmp_path):
    config = transformers.BertConfig(**tiny.OPTIONS["bert"])
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "bert")
    tiny.tokenizer(tmp_path / "bert")
    bert = Network("transformers", str(tmp_path / "bert"))
    with pytest.raises(FileError, match=r"lack pooler.*add_pooling_layer = false"):
        bert.build()
    without = dataclasses.replace(bert, options={"add_pooling_layer": False})
    assert without.build().pooler is None
    assert without.identity()["config"] != bert.identity()["config"]


def test_weights_that_would_run_code_are_not_read(folder):
    state = transformers.CLIPModel.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    for ask in (lambda n: n.identity(), lambda n: n.build()):
        with pytest.raises(FileError, match=r"holds no \.safetensors"):
            ask(Network("transformers", str(folder)))


def test_a_hub_is_told_by_its_commit(folder, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "cache" / "models--lab--net"
    (cache / "snapshots").mkdir(parents=True)
    folder.rename(cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    (cache / "refs" / "v2").write_text(commit)
    for module in ("huggingface_hub.constants", "huggingface_hub.file_download.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(tmp_path / "cache"))
    main, tagged = (Network("transformers", "lab/net", w) for w in ("default", "v2"))
    assert main.identity()["weights"] == f"transformers:lab/net@{commit}"
    assert tagged.identity() == main.identity()
    assert main.build().config.hidden_size == 16
    with pytest.raises(FileError, match=r"'lab/other' of a hub is not on this computer"):
        Network("transformers", "lab/other").identity()


def test_what_is_not_there(tmp_path):
    with pytest.raises(RecipeError, match=r"unknown transformers model 'dinov'.*'dinov2'"):
        Network("transformers", "dinov", "none").identity()
    with pytest.raises(RecipeError, match="is a type without weights"):
        Network("transformers", "dinov2").identity()
    with pytest.raises(FileError, match=r"no folder with config\.json"):
        Network("transformers", str(tmp_path)).identity()
    with pytest.raises(RecipeError, match="unknown tower of sam 'text'"):
        tiny.network("sam", tower="text").identity()
    with pytest.raises(RecipeError, match="no code of a hub is run"):
        tiny.network("vit", options={"trust_remote_code": True}).identity()
    with pytest.raises(RecipeError, match="cannot be built with options"):
        tiny.network("vit", options={"depth": 3}).build()
    with pytest.raises(RecipeError, match="'vit' cannot have options"):
        tiny.network("vit", options={"hidden_size": "wide"}).identity()
    assert "dinov2" in libraries.find("transformers").names()


def test_nothing_is_warned_of_or_printed(folder, capsys):
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny.network("audio-spectrogram-transformer").input()
        Network("transformers", str(folder)).build()
    assert capsys.readouterr() == ("", "")
