"""What feature extractors and tokenizers of transformers make of sound and text."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from striate import registry
from striate.errors import FileError, RecipeError
from striate.nets.inputs.sounds import Sounds
from striate.nets.inputs.texts import Texts
from striate.nets.libraries.sources import Source, loaded, stamp
from striate.nets.loading import Network
from striate.nets.weights import line_of

LONGEST = 512
"""Tokens of a text, where neither network nor recipe say less."""
LENGTHENED = ("Wav2Vec2FeatureExtractor",)
"""Extractors that fill up short windows themselves, and may tell where."""


def sounds(network: Network, source: Source, type_: str, argument: str) -> Sounds:
    """Windows of sound through the extractor of a folder, or of the type.

    Raises
    ------
    RecipeError
        When the stated windows are longer than the network hears at once, or the extractor does
        not make what the network's main `argument` is.

    """
    extractor = loaded(source, type_, sound=True)
    rate, kind = int(extractor.sampling_rate), type(extractor).__name__
    longest, seconds = _longest(extractor), network.seconds
    if longest is not None and seconds is not None and seconds > longest + 1e-9:
        raise RecipeError(
            f"seconds {seconds:g}: {network.model!r} hears at most {longest:g} s at once"
        )
    seconds = longest if seconds is None else float(seconds)
    # A network of fixed length fills up a short window in a way of its own.
    size = None if seconds is None or longest is not None else round(seconds * rate)
    filled: dict[str, Any] = {}
    if kind in LENGTHENED and size is not None:
        filled = {"padding": "max_length", "max_length": size}

    def made(pieces: list[np.ndarray]) -> dict[str, np.ndarray]:
        if size is not None and not filled:
            pieces = [np.pad(p, (0, size - len(p))) for p in pieces]
        found = extractor(pieces, sampling_rate=rate, return_tensors="np", **filled)
        return {n: np.asarray(found[n]) for n in extractor.model_input_names if n in found}

    silence = made([np.zeros(size or rate, dtype=np.float32)])
    if argument not in silence:
        raise RecipeError(
            f"{kind} makes {', '.join(silence)}, but {network.model!r} hears {argument}: name a"
            " folder with the preprocessor_config.json of this network"
        )
    # A mask over frames of a spectrogram says nothing where windows are filled up with silence.
    arguments = tuple(n for n, v in silence.items() if v.shape == silence[argument].shape)

    def analyse(pieces: list[np.ndarray]) -> Float32[np.ndarray, "window ..."]:
        arrays = [made(pieces)[n].astype(np.float32) for n in arguments]
        return arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=1)

    told = {k: v for k, v in extractor.to_dict().items() if k not in ("mel_filters", "window")}
    told["spectra"] = "own" if hasattr(extractor, "mel_filters") else "torchaudio"
    key = registry.key_of(json.dumps(told, sort_keys=True, default=str))
    return Sounds(rate, seconds, analyse, arguments, {"extractor": kind, "steps": key})


def texts(network: Network, source: Source, config: Any) -> Texts:
    """Texts through the tokenizer of a folder or hub.

    Raises
    ------
    RecipeError
        When there can be no tokenizer, or the stated length is beyond the network's.
    FileError
        When the folder holds none.

    """
    if not source.place:
        raise RecipeError(
            f"{network.model!r} is a type of network without words: give a folder that has a"
            " tokenizer as well, or a hub's owner/name"
        )
    most = int(getattr(config, "max_position_embeddings", None) or LONGEST)
    longest = min(most, LONGEST) if network.length is None else int(network.length)
    if not 1 <= longest <= most:
        raise RecipeError(f"length {longest}: {network.model!r} takes 1 to {most} tokens")
    tokenizer, digest = _tokenizer(source.place, source.revision, stamp(source))
    ends = tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id
    pad = next((i for i in ends if i is not None), 0)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else pad

    def encode(text: str) -> Int64[np.ndarray, "2 token"]:
        # What was said last matters most: a text too long loses its beginning.
        tokenizer.truncation_side = "left"
        ids = tokenizer(text, truncation=True, max_length=longest)["input_ids"] or [first]
        found = np.full((2, network.length or len(ids)), pad, dtype=np.int64)
        found[1] = 0
        found[0, : len(ids)], found[1, : len(ids)] = ids, 1
        return found

    told = {"tokenizer": digest, "longest": longest, "length": network.length, "pad": pad}
    return Texts(encode, ("input_ids", "attention_mask"), told)


def _longest(extractor: Any) -> float | None:
    """Seconds that the network hears at once; None where it takes any length."""
    if hasattr(extractor, "n_samples"):
        return float(extractor.n_samples / extractor.sampling_rate)
    if type(extractor).__name__ == "ASTFeatureExtractor":
        return float(extractor.max_length * 0.01)  # a spectrum every 10 ms
    return None


@lru_cache(maxsize=4)
def _tokenizer(place: str, revision: str | None, changed: int) -> tuple[Any, str]:
    """The tokenizer, and a digest of all that it does."""
    from transformers import AutoTokenizer

    step = "save_pretrained() of the tokenizer writes it there"
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision)
    except Exception as error:  # tokenizers fail in many ways when files are missing
        raise FileError(
            f"{place}: holds no tokenizer that can be read ({line_of(error)}); {step}"
        ) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise FileError(f"{place}: holds no tokenizer that knows any word; {step}")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend else json.dumps(sorted(tokenizer.get_vocab().items()))
    return tokenizer, registry.key_of(words)
