"""Networks of open_clip: the image or the text tower of a contrastive pair."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional

from striate import registry
from striate.errors import FileError, RecipeError, unknown
from striate.media import Frames
from striate.nets.inputs import Input
from striate.nets.inputs.pictures import Pictures
from striate.nets.inputs.texts import Texts
from striate.nets.libraries import needed, unlogged
from striate.nets.libraries.fitting import Fitted, stated_over
from striate.nets.loading import Library, Network
from striate.nets.repair import repair
from striate.nets.weights import line_of

TOWERS = ("image", "text")
NORMALIZE = "normalize"
"""The option of ours among those of open_clip: embeddings of length 1."""
CONFIGURED = ("embed_dim", "quick_gelu", "text_cfg", "vision_cfg")
FORCED = ("custom_text", "context_length", "image_size", "patch_dropout", "preprocess_cfg")
OPTIONS = (NORMALIZE, *CONFIGURED, "force_quick_gelu", *(f"force_{name}" for name in FORCED))


class OpenClip(Library):
    """Models by the name of their architecture, weights by tag; nothing is read from a hub id."""

    def build(self, network: Network, pretrained: bool) -> nn.Module:
        """Both towers, as open_clip makes them."""
        config(network)
        options = {k: v for k, v in network.options.items() if k != NORMALIZE}
        with unlogged():
            built: nn.Module = _open_clip().create_model(
                network.model,
                pretrained=network.weights if pretrained else None,
                pretrained_text=False,
                **options,
            )
        return built

    def part(self, network: Network, module: nn.Module) -> nn.Module:
        """The one tower that is asked for."""
        tower = ImageTower if tower_of(network) == "image" else TextTower
        return tower(module, bool(network.options.get(NORMALIZE, False)))

    def weights(self, network: Network) -> str:
        """Architecture and tag, which open_clip never gives to other weights."""
        config(network)
        return f"open_clip:{network.model}:{network.weights}"

    def input(self, network: Network, frames: Frames | None) -> Input:
        """Images by the configuration of the weights, or texts by the model's tokenizer."""
        known = config(network)
        if tower_of(network) == "text":
            return _texts(network)
        default = _preprocessing(network, known)
        return Pictures(stated_over(default, network.stated), frames or Frames())

    def identity(self, network: Network) -> dict[str, Any]:
        """Tower, and which GELU is computed: the quick one differs from what it approximates."""
        return {
            "tower": tower_of(network),
            "quick_gelu": bool(config(network).get("quick_gelu", False)),
            "config": registry.key_of(config(network)),
        }

    def names(self) -> tuple[str, ...]:
        """Every architecture."""
        return tuple(_open_clip().list_models())


class ImageTower(nn.Module):
    """Images → embeddings; every part of open_clip's tower is under ``visual``."""

    def __init__(self, model: nn.Module, normalize: bool) -> None:
        super().__init__()
        self.visual, self.normalize = model.visual, normalize
        self.embedding = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """As ``encode_image`` of open_clip."""
        found: Tensor = self.embedding(_length_one(self.visual(images), self.normalize))  # type: ignore[operator]
        return found


class TextTower(nn.Module):
    """Tokens → embeddings; every part of open_clip's tower is under ``text``."""

    def __init__(self, model: nn.Module, normalize: bool) -> None:
        super().__init__()
        self.whole = not hasattr(model, "text")  # the first kind of CLIP is its own text tower
        self.text: Any = model if self.whole else model.text
        if self.whole:
            del model.visual
        self.normalize = normalize
        self.embedding = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """As ``encode_text`` of open_clip."""
        output = self.text.encode_text(tokens) if self.whole else self.text(tokens)
        found: Tensor = self.embedding(_length_one(output, self.normalize))
        return found


def tower_of(network: Network) -> str:
    """``image`` unless stated."""
    tower = network.tower or "image"
    if tower not in TOWERS:
        raise RecipeError(unknown(f"tower of {network.model}", tower, TOWERS))
    return tower


def config(network: Network) -> dict[str, Any]:
    """The configuration of the architecture, with the activation that will be computed.

    Raises
    ------
    RecipeError
        When there is no such architecture or tag, or the tag was trained with another GELU.

    """
    library = _open_clip()
    if network.model not in library.list_models():
        raise RecipeError(unknown("open_clip model", network.model, library.list_models()))
    for option in network.options:
        if option not in OPTIONS:
            raise RecipeError(unknown("option", option, OPTIONS, f"open_clip {network.model}"))
    found: dict[str, Any] = library.get_model_config(network.model)
    if network.options.get("force_quick_gelu"):
        found["quick_gelu"] = True
    found |= {k: v for k, v in network.options.items() if k in CONFIGURED}
    quick = bool(found.get("quick_gelu", False))
    if network.pretrained and "quick_gelu" not in network.options:
        _check_gelu(network, quick)
    return found | {"quick_gelu": quick}


def _check_gelu(network: Network, quick: bool) -> None:
    tagged = _tag(network)
    if bool(tagged.get("quick_gelu", False)) == quick:
        return
    names, other = _open_clip().list_models(), f"{network.model}-quickgelu"
    if quick and (plain := network.model.removesuffix("-quickgelu")) != network.model:
        step = f"use model = {plain!r}"
    elif quick:
        step = "leave force_quick_gelu out, or say options = {quick_gelu = true} if you know better"
    elif other in names:
        step = f"use model = {other!r}"
    else:
        step = "add options = {force_quick_gelu = true}"
    raise RecipeError(
        f"weights {network.weights!r} of open_clip {network.model!r} were trained"
        f" {'without' if quick else 'with'} quick GELU, which this network"
        f" {'would' if quick else 'would not'} compute: {step}"
    )


def _tag(network: Network) -> dict[str, Any]:
    library = _open_clip()
    found: dict[str, Any] = library.pretrained.get_pretrained_cfg(network.model, network.weights)
    if not found:
        tags = library.list_pretrained_tags_by_model(network.model)
        valid = [*tags, "none", "a file"]
        raise RecipeError(unknown(f"weights of {network.model}", network.weights, valid))
    return found


def _preprocessing(network: Network, known: dict[str, Any]) -> Fitted:
    steps = _tag(network) if network.pretrained else {}
    size = network.options.get("force_image_size") or known["vision_cfg"].get("image_size", 224)
    box = (size, size) if isinstance(size, int) else tuple(size)
    if len(box) == 1:
        box = box * 2
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    steps = steps | dict(network.options.get("force_preprocess_cfg") or {})
    mode = steps.get("resize_mode") or "shortest"
    filtered = "bilinear" if steps.get("interpolation") == "bilinear" else "bicubic"
    square = box[0] == box[1]
    fit = {"shortest": "plain" if square else "cover", "squash": "plain", "longest": "contain"}
    return Fitted(
        resize=box[0] if mode == "shortest" and square else box,
        crop=box,
        # open_clip takes its default filter where it covers a box that is no square.
        interpolation="bicubic" if mode == "shortest" and not square else filtered,
        mean=tuple(steps.get("mean") or OPENAI_DATASET_MEAN),
        std=tuple(steps.get("std") or OPENAI_DATASET_STD),
        fit=fit[mode],
        fill=int(steps.get("fill_color") or 0),
    )


def _texts(network: Network) -> Texts:
    known = config(network)["text_cfg"]
    context = network.options.get("force_context_length") or known.get("context_length", 77)
    if network.length not in (None, context):
        raise RecipeError(
            f"length {network.length}: texts of open_clip {network.model!r} have {context} tokens"
        )
    tokenizer, digest = _tokenizer(network.model, context)

    def encode(text: str) -> Int64[np.ndarray, "1 token"]:
        return np.asarray(tokenizer([text]).numpy(), dtype=np.int64)

    told = {"tokenizer": type(tokenizer).__name__, "digest": digest, "length": context}
    return Texts(encode, ("text",), told)


@lru_cache(maxsize=4)
def _tokenizer(model: str, context: int) -> tuple[Any, str]:
    """The model's tokenizer, and a digest of all its tokens."""
    try:
        with unlogged():
            tokenizer = _open_clip().get_tokenizer(model, context_length=context)
    except Exception as error:  # a hub that cannot be reached fails in many ways
        raise FileError(
            f"the tokenizer of open_clip {model!r} is not on this computer and could not be"
            f" downloaded ({line_of(error)}); fetch it where there is a network, or take a model"
            " with open_clip's own, such as 'ViT-B-32'"
        ) from error
    inner: Any = getattr(tokenizer, "tokenizer", None)
    words = inner.get_vocab() if hasattr(inner, "get_vocab") else getattr(tokenizer, "encoder", {})
    return tokenizer, registry.key_of(json.dumps(sorted(words.items())))


def _length_one(output: Any, normalize: bool) -> Tensor:
    embedding: Tensor = output[0] if isinstance(output, tuple) else output
    return functional.normalize(embedding, dim=-1) if normalize else embedding


def _open_clip() -> Any:
    try:
        repair()
        import open_clip
    except ImportError as error:
        raise needed("open_clip", "open_clip", error) from error
    return open_clip
