"""Where networks of transformers are from: folders before types, and what comes with them."""

import json

import pytest

from striate.errors import FileError, RecipeError
from striate.nets.libraries.sources import Source, fields_of, loaded, silent, source_of, stamp
from striate.nets.loading import Network
from striate.nets.repair import repair

repair()
transformers = pytest.importorskip("transformers")


def asked(model):
    return source_of(Network("transformers", model, "none"))


def test_a_type_and_a_folder_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vit").mkdir()
    assert asked("vit") == Source("", type="vit")
    assert fields_of(asked("vit")) == {}
    (tmp_path / "vit/config.json").write_text('{"model_type": "vit", "hidden_size": 12}')
    assert asked("vit").local
    assert fields_of(asked("vit"))["hidden_size"] == 12


def test_what_is_no_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/net").mkdir(parents=True)
    for model in ("./net", "models/net", "/nowhere/at/all"):
        with pytest.raises(FileError, match=r"no folder with config\.json"):
            asked(model)
    with pytest.raises(FileError, match=r"'lab/net' of a hub is not on this computer"):
        asked("lab/net")
    with pytest.raises(RecipeError, match=r"did you mean 'whisper'"):
        asked("wisper")


def test_a_configuration_that_is_none(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FileError, match="is no configuration of a network"):
        fields_of(asked(str(tmp_path)))
    (tmp_path / "config.json").write_text('{"model_type": "of tomorrow"}')
    with pytest.raises(RecipeError, match=r"'of tomorrow', which this release .* install a newer"):
        Network("transformers", str(tmp_path), "none").identity()


def test_the_processor_of_a_folder_before_that_of_the_type(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    own = loaded(asked("vit"), "vit")
    assert type(own).__name__ == "ViTImageProcessorPil"
    assert loaded(asked(str(tmp_path)), "vit").size == own.size
    before = stamp(asked(str(tmp_path)))
    type(own)(size={"height": 40, "width": 40}).save_pretrained(tmp_path)
    assert stamp(asked(str(tmp_path))) > before
    assert loaded(asked(str(tmp_path)), "vit").size.height == 40
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["size"]["width"] == 40
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(FileError, match="what prepares stimuli for it cannot be read"):
        loaded(asked(str(tmp_path)), "vit")
    with pytest.raises(RecipeError, match="have no processor of their own: give a folder"):
        loaded(asked("bert"), "bert")


def test_a_processor_of_films(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vjepa2"}')
    transformers.VJEPA2VideoProcessor(crop_size=32).save_pretrained(tmp_path)
    found = loaded(asked(str(tmp_path)), "vjepa2")
    assert type(found).__name__ == "VJEPA2VideoProcessor"
    assert found.crop_size.height == 32


def test_silence_ends():
    from transformers.utils import logging

    before = logging.get_verbosity()
    with silent():
        assert logging.get_verbosity() == logging.CRITICAL
    assert logging.get_verbosity() == before
