"""Networks of transformers: images, clips, sound and text, from a hub, a folder or a seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate import registry
from striate.errors import FileError, RecipeError, some, unknown
from striate.media import Frames
from striate.nets.inputs import Input
from striate.nets.libraries import processors, sequences
from striate.nets.libraries.sources import Source, fields_of, library, silent, source_of
from striate.nets.loading import Library, Network
from striate.nets.weights import file_identity, line_of

TOWERS = {
    "clip": {
        "image": ("CLIPVisionModel", "vision_config"),
        "text": ("CLIPTextModel", "text_config"),
    },
    "sam": {"image": ("SamVisionModel", "vision_config")},
    "siglip": {
        "image": ("SiglipVisionModel", "vision_config"),
        "text": ("SiglipTextModel", "text_config"),
    },
}
"""Types of several networks in one: the class of each, and where its configuration is."""
PARTS = {"vjepa2": "encoder", "whisper": "encoder"}
"""Types of which only one part is shown stimuli."""
UNUSED = ("mask_token", "masked_spec_embed", "position_ids")
"""Ends of names of tensors that no forward pass without training has a use for."""
VOLATILE = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
"""Of a configuration; decides no number."""


class Transformers(Library):
    """``owner/name`` of a hub, a folder with ``config.json``, or a type such as ``dinov2``."""

    def build(self, network: Network, pretrained: bool) -> nn.Module:
        """The network, from safetensors alone or with random weights."""
        source, (config, cls, extra) = source_of(network), _made(network)
        if not pretrained:
            made: nn.Module = cls(config, **extra)
            return made
        _check_weights(network, source)
        with silent():
            model, told = cls.from_pretrained(
                source.place,
                config=config,
                revision=source.revision,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **extra,
            )
        lost = [k for k in told["missing_keys"] if not k.endswith(UNUSED)]
        lost += [str(k) for k in told["mismatched_keys"]]
        if lost:
            raise FileError(
                f"the weights of {network.model!r} lack {some(sorted(lost))} of {cls.__name__},"
                " which would be random: take weights of this very network, or leave the part out,"
                " such as by options = {add_pooling_layer = false}"
            )
        filled: nn.Module = model
        return filled

    def part(self, network: Network, module: nn.Module) -> nn.Module:
        """The encoder, of networks that also generate."""
        part = PARTS.get(_made(network)[0].model_type)
        return module.get_submodule(part) if part else module

    def weights(self, network: Network) -> str:
        """Digests of a folder's safetensors, or the commit of a hub."""
        source = source_of(network)
        _check_weights(network, source)
        if not source.local:
            return f"transformers:{source.place}@{source.revision}"
        files = sorted(Path(source.place).glob("*.safetensors"))
        return registry.key_of([[f.name, file_identity(f)] for f in files])

    def input(self, network: Network, frames: Frames | None) -> Input:
        """By the network's main argument, with the processor of its folder or of its type."""
        source, (config, cls, _) = source_of(network), _made(network)
        argument = cls.main_input_name
        if argument == "input_ids":
            if hasattr(config, "vision_config") or hasattr(config, "audio_config"):
                raise RecipeError(
                    f"{network.model!r} of type {config.model_type!r} is several networks in one;"
                    f" of those, {', '.join(TOWERS)} are known here"
                )
            return sequences.texts(network, source, config)
        if argument in ("input_values", "input_features"):
            return sequences.sounds(network, source, config.model_type, argument)
        if argument in ("pixel_values", "pixel_values_videos"):
            return processors.shown(network, source, config, frames)
        raise RecipeError(
            f"{network.model!r} of type {config.model_type!r} is shown {argument!r}, which is"
            " neither images, clips, sound nor text: take another network"
        )

    def identity(self, network: Network) -> dict[str, Any]:
        """Type and configuration; a folder's name decides nothing."""
        source, (config, cls, extra) = source_of(network), _made(network)
        told = {k: v for k, v in config.to_dict().items() if k not in VOLATILE}
        return {
            "model": config.model_type if source.local else network.model,
            "network": cls.__name__,
            "config": registry.key_of([json.dumps(told, sort_keys=True, default=str), extra]),
        }

    def names(self) -> tuple[str, ...]:
        """Every type that has a default configuration."""
        return tuple(sorted(library().CONFIG_MAPPING))


def _made(network: Network) -> tuple[Any, Any, dict[str, Any]]:
    """Configuration, class, and the options that are the class's and not the configuration's."""
    zoo, source = library(), source_of(network)
    fields = fields_of(source)
    kind = fields.get("model_type", source.type)
    if kind not in zoo.CONFIG_MAPPING:
        raise RecipeError(
            f"{network.model!r} is of type {kind!r}, which this release of transformers does not"
            " know: install a newer one"
        )
    schema, cls, tower = zoo.CONFIG_MAPPING[kind], None, network.tower or "image"
    if towers := TOWERS.get(kind):
        if tower not in towers:
            raise RecipeError(unknown(f"tower of {network.model}", tower, towers))
        name, place = towers[tower]
        with silent():
            schema, cls = type(getattr(schema(), place)), getattr(zoo, name)
        fields = dict(fields.get(place) or {})
    options = dict(network.options)
    for name in options:
        if name in ("trust_remote_code", "code_revision"):
            raise RecipeError(f"options.{name}: no code of a hub is run; take a network without")
    with silent():
        stated = {k: options.pop(k) for k in list(options) if k in schema().to_dict()}
        try:
            config = schema.from_dict({**fields, **stated})
        except Exception as error:  # configurations check themselves, each in its own way
            raise RecipeError(
                f"{network.model!r} of type {kind!r} cannot have options {stated}:"
                f" {line_of(error)}; correct them"
            ) from error
    return config, cls or _class_of(network, config), options


def _class_of(network: Network, config: Any) -> Any:
    mapping = library().AutoModel._model_mapping
    if type(config) not in mapping:
        raise RecipeError(
            f"{network.model!r}: transformers has no plain network of type {config.model_type!r}"
        )
    cls = mapping[type(config)]
    return cls[0] if isinstance(cls, tuple | list) else cls


def _check_weights(network: Network, source: Source) -> None:
    if not source.place:
        raise RecipeError(
            f"{network.model!r} is a type without weights: name a hub's owner/name or a folder,"
            " give a file as weights, or use weights = 'none'"
        )
    if source.local and network.weights != "default":
        raise RecipeError(
            unknown(f"weights of {network.model}", network.weights, ["default", "none", "a file"])
        )
    if source.local and not list(Path(source.place).glob("*.safetensors")):
        raise FileError(
            f"{source.place}: holds no .safetensors, and other weights may run code when opened;"
            " save_pretrained() of transformers writes them"
        )
