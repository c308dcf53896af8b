"""Sound and words as transformers' own extractors and tokenizers give them."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from striate.data import Shown
from striate.errors import FileError, RecipeError
from striate.nets.loading import Network

from . import tiny
from .seen import close, tapped

transformers = pytest.importorskip("transformers")


def sound(folder, seconds, rate=16000):
    wave = np.sin(np.arange(round(seconds * rate)) / 9) * np.linspace(0, 0.9, round(seconds * rate))
    whole = (wave * 32767).astype(np.int16)
    wavfile.write(folder / "sound.wav", rate, whole)
    return Shown("a", str(folder / "sound.wav")), (whole / 32768).astype(np.float32)


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize(
    "name, extractor, windows",
    [
        ("audio-spectrogram-transformer", "AST", 2),
        ("whisper", "Whisper", 1),
    ],
)
def test_windows_are_those_of_the_extractor(name, extractor, windows, tmp_path):
    stimulus, wave = sound(tmp_path, 12)
    shows = tiny.network(name).input()
    found = shows.read(stimulus)
    assert len(found) == windows and found.dtype == np.float32
    own = getattr(transformers, f"{extractor}FeatureExtractor")()
    size = round(shows.seconds * 16000)
    pieces = [wave[s : s + size] for s in range(0, len(wave), size)]
    for piece, values in zip(pieces, found, strict=True):
        (expected,) = own(piece, sampling_rate=16000, return_tensors="np").values()
        np.testing.assert_allclose(values, expected[0], atol=1e-4)


def test_lengths_of_windows(tmp_path):
    assert tiny.network("audio-spectrogram-transformer").input().seconds == 10.24
    assert tiny.network("whisper").input().seconds == 30
    short = tiny.network("whisper", seconds=3)
    stimulus, _ = sound(tmp_path, 7)
    assert short.input().read(stimulus).shape == (3, 80, 3000)
    with pytest.raises(RecipeError, match="seconds 40: 'whisper' hears at most 30 s at once"):
        tiny.network("whisper", seconds=40).input()
    keys = {str(tiny.network("whisper", seconds=s).identity()) for s in (None, 3, 3.5)}
    assert len(keys) == 3


def test_a_whole_sound_of_any_length(tmp_path):
    stimulus, wave = sound(tmp_path, 1.7)
    network = tiny.network("wav2vec2")
    own = transformers.Wav2Vec2FeatureExtractor()(wave, sampling_rate=16000, return_tensors="pt")
    items = network.input().read(stimulus)
    close(torch.from_numpy(items), own["input_values"], 1e-4)
    fixed = dataclasses.replace(network, seconds=1)
    two = fixed.input().read(stimulus)
    assert two.shape == (2, 16000)
    filled = {"padding": "max_length", "max_length": 16000, "return_tensors": "np"}
    own = transformers.Wav2Vec2FeatureExtractor()(
        [wave[:16000], wave[16000:]], sampling_rate=16000, **filled
    )
    np.testing.assert_allclose(two, own["input_values"], atol=1e-4)
    assert tapped(network, ("output",), torch.from_numpy(items))["output"].shape == (1, 84, 16)


def test_arguments_go_by_name_where_there_are_several(tmp_path):
    folder = tmp_path / "net"
    tiny.network("wav2vec2").build().save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    extractor.save_pretrained(folder)
    shows = Network("transformers", str(folder), seconds=1).input()
    stimulus, _ = sound(tmp_path, 1.5)
    given = shows(torch.from_numpy(shows.read(stimulus)))
    assert set(given) == {"input_values", "attention_mask"}
    assert given["attention_mask"].sum(1).tolist() == [16000, 8000]


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_texts_are_those_of_the_tokenizer(name, tmp_path):
    folder = tmp_path / name
    network = tiny.network(name)
    network = dataclasses.replace(network, model=name)
    config = getattr(
        transformers, {"bert": "BertConfig", "gpt2": "GPT2Config"}.get(name, "LlamaConfig")
    )
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config(**tiny.OPTIONS[name])).save_pretrained(folder)
    tiny.tokenizer(folder, special=name == "bert")
    own = transformers.AutoModel.from_pretrained(folder).eval()
    words = transformers.AutoTokenizer.from_pretrained(folder)
    free = Network("transformers", str(folder))
    fixed = dataclasses.replace(free, length=12)
    for text in ("the striate cortex is early", "the", "is the " * 4):
        expected = words(text, return_tensors="pt", return_token_type_ids=False)
        shows = free.input()
        given = shows(torch.from_numpy(shows.read(Shown("a", "", text=text))))
        assert torch.equal(given["input_ids"], expected["input_ids"])
        with torch.inference_mode():
            states = own(**expected, output_hidden_states=True)
        close(tapped(free, ("output",), given)["output"], states.last_hidden_state)
        padded = fixed.input()
        items = torch.from_numpy(padded.read(Shown("a", "", text=text)))
        length = expected["input_ids"].shape[1]
        found = tapped(fixed, ("output",), padded(items))["output"]
        assert found.shape == (1, 12, 16)
        close(found[:, :length], states.last_hidden_state)
        assert padded.mask(items).sum() == length
    assert free.identity() != fixed.identity()


def test_an_empty_text_and_one_too_long(tmp_path):
    for name, special, empty in (("bert", True, [2, 3]), ("gpt2", False, [4])):
        folder = tmp_path / name
        transformers.AutoModel.from_config(
            transformers.CONFIG_MAPPING[name](**tiny.OPTIONS[name])
        ).save_pretrained(folder)
        tiny.tokenizer(folder, special)
        shows = Network("transformers", str(folder), length=5).input()
        found = shows.read(Shown("a", "", text=""))
        assert found[0, 0, : len(empty)].tolist() == empty
        assert found[0, 1].sum() == len(empty)
        found = shows.read(Shown("a", "", text="the " * 9 + "striate cortex"))[0, 0].tolist()
        assert found == ([2, 5, 6, 7, 3] if special else [5, 5, 5, 6, 7])


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(RecipeError, match="is a type of network without words"):
        tiny.network("bert").input()
    tiny_bert = transformers.BertModel(transformers.BertConfig(**tiny.OPTIONS["bert"]))
    tiny_bert.save_pretrained(tmp_path / "bert")
    with pytest.raises(FileError, match="holds no tokenizer"):
        Network("transformers", str(tmp_path / "bert")).input()
    tiny.tokenizer(tmp_path / "bert")
    with pytest.raises(RecipeError, match=r"length 99: \S+ takes 1 to 24 tokens"):
        Network("transformers", str(tmp_path / "bert"), length=99).input()
