"""A network by name from a library or a file of the user's, with weights that run no code."""

from __future__ import annotations

import json
import math
import pickle
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate import registry
from striate.errors import FileError, RecipeError, some, unknown
from striate.media import file_digest
from striate.nets.preprocessing import Preprocessing, Size, resolve
from striate.nets.repair import repair

LIBRARIES = ("module", "timm", "torchvision")
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Network:
    """Which network, which weights, and what its images look like; nothing is built yet.

    Parameters
    ----------
    library
        ``torchvision``, ``timm`` or ``module``.
    model
        Its name in the library; for ``module``, ``package.module:Class`` or ``./file.py:Class``.
    weights
        ``none`` (random, by `seed`), ``default``, a tag of the library (``IMAGENET1K_V1``,
        ``a1_in1k``), or a file (``.safetensors``, ``.pth``, ``.pt``, ``.bin``).
    size, crop, interpolation, mean, std
        Stated preprocessing; what is not stated is that of the weights, or the library's default
        for the architecture. See `striate.nets.preprocessing.resolve`.
    options
        Arguments of the network's constructor.

    """

    library: str
    model: str
    weights: str = "default"
    seed: int = 0
    size: Size = None
    crop: int | None = None
    interpolation: str | None = None
    mean: tuple[float | int, ...] | None = None
    std: tuple[float | int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def preprocessing(self) -> Preprocessing:
        """What is done to an image before the network sees it."""
        stated = {n: getattr(self, n) for n in ("size", "crop", "interpolation", "mean", "std")}
        return resolve(_default_preprocessing(self), stated)

    def identity(self) -> dict[str, Any]:
        """What decides the network's numbers, JSON-able: digests in place of files."""
        file, _, name = self.model.rpartition(":")
        model = name if file.endswith(".py") else self.model
        made: dict[str, Any] = {"library": self.library, "model": model}
        made |= {"options": json.loads(json.dumps(dict(self.options), default=str))}
        made |= {"weights": weights_identity(self)}
        if self.weights == "none":
            made["seed"] = self.seed
        if self.library == "module":
            made["source"] = _source(self.model)
        return made | {"preprocessing": self.preprocessing().identity()}

    def build(self) -> nn.Module:
        """The network in evaluation mode, on the CPU, in channels-last memory.

        Raises
        ------
        RecipeError
            When there is no such model or weights.
        FileError
            When weights cannot be had or do not fit.

        """
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(self.seed)
            module = _construct(self)
        if is_file(self.weights):
            load_weights(module, self.weights, self.model)
        return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def is_file(weights: str) -> bool:
    """Whether `weights` names a file rather than a tag of a library."""
    return weights.endswith(WEIGHT_SUFFIXES) or "/" in weights or "\\" in weights


def weights_identity(network: Network) -> str:
    """What stands for the weights in a key: a digest, a library's tag, or ``none``.

    The names of torchvision's files hold a part of their SHA-256.
    """
    weights = network.weights
    if weights == "none":
        return weights
    if is_file(weights):
        path = Path(weights)
        if not path.is_file():
            raise FileError(
                f"{weights}: no such file of weights; give a path that ends in"
                f" {', '.join(WEIGHT_SUFFIXES)}, or 'default', or 'none'"
            )
        state = path.stat()
        return "blake2b:" + _digest(str(path.resolve()), state.st_mtime_ns, state.st_size)
    if network.library == "torchvision":
        url = str(_torchvision_weights(network).url)
        return "torchvision:" + url.rpartition("/")[2]
    if network.library == "timm":
        return "timm:" + _timm_name(network)
    raise RecipeError(
        f"weights {weights!r} of {network.model!r}: a module of your own takes a file or 'none'"
    )


def load_weights(module: nn.Module, file: str | Path, name: str = "the network") -> None:
    """Fill the module with the tensors of a file.

    A dictionary under ``state_dict`` or ``model`` is unpacked, and a prefix that all names share
    (``module.``, ``model.``) is taken off.

    Raises
    ------
    FileError
        When the file is missing, damaged, would run code (nothing is executed), or its tensors
        do not fit the module in name or shape.

    """
    tensors = read_weights(file)
    own = module.state_dict()
    while tensors and not any(k in own for k in tensors):
        heads = {k.partition(".")[0] for k in tensors}
        head = heads.pop()
        if heads or head not in ("module", "model", "_orig_mod", "network", "encoder", "backbone"):
            break
        tensors = {k.partition(".")[2]: v for k, v in tensors.items()}
    missing = [k for k in own if k not in tensors and not k.endswith("num_batches_tracked")]
    extra = [k for k in tensors if k not in own]
    shaped = [
        f"{k} {tuple(tensors[k].shape)} for {tuple(v.shape)}"
        for k, v in own.items()
        if k in tensors and tensors[k].shape != v.shape
    ]
    faults = {"it lacks": missing, "it has besides": extra, "shapes differ in": shaped}
    if any(faults.values()):
        told = "; ".join(f"{what} {some(names)}" for what, names in faults.items() if names)
        raise FileError(
            f"{file}: does not fit {name}: {told}; take the weights of this very model, or set its"
            " options (such as num_classes)"
        )
    module.load_state_dict(tensors, strict=False)


def read_weights(file: str | Path) -> dict[str, Tensor]:
    """Name → tensor in a file of weights, without executing anything that it holds."""
    path = Path(file)
    if not path.is_file():
        raise FileError(f"{file}: no such file of weights; check the path")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise FileError(f"{file}: is no readable safetensors file ({error})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what fails is told below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{file}: holds more than tensors and would run code when opened, so it was not; save"
            " its state_dict() as .safetensors where you trust it"
        ) from error
    except Exception as error:  # damaged archives fail in zip, pickle or torch
        raise FileError(
            f"{file}: cannot be read as weights ({_line(error)}); copy or download it again"
        ) from error
    for key in ("state_dict", "model", "model_state_dict", "net", "teacher"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor) for v in content.values()):
        raise FileError(f"{file}: holds no named tensors; save a state_dict()")
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}


def _construct(network: Network) -> nn.Module:
    """The network with random or library weights; a file of weights is loaded later."""
    options = dict(network.options)
    library = not (network.weights == "none" or is_file(network.weights))
    if network.library == "module":
        weights_identity(network)  # refuses tags
        cls: Any = registry.find("network", network.model)
        module = _call(network, lambda: cls(**options))
        if not isinstance(module, nn.Module):
            raise RecipeError(f"{network.model!r} makes {type(module).__name__}, no torch module")
        return module
    repair()
    if network.library == "timm":
        import timm

        name = _timm_name(network)
        build = lambda: timm.create_model(name, pretrained=library, **options)  # noqa: E731
    else:
        import torchvision.models as zoo

        weights = _torchvision_weights(network) if library else None
        _check_torchvision(network.model)
        build = lambda: zoo.get_model(network.model, weights=weights, **options)  # noqa: E731
    return _download(network, build) if library else _call(network, build)


def _call(network: Network, build: Any) -> Any:
    try:
        return build()
    except TypeError as error:
        raise RecipeError(
            f"{network.model!r} cannot be built with options {dict(network.options)}: {error}"
        ) from error


def _download(network: Network, build: Any) -> nn.Module:
    try:
        return _call(network, build)  # type: ignore[no-any-return]
    except RecipeError:
        raise
    except Exception as error:  # each library fails in its own way without a network
        raise FileError(
            f"weights {network.weights!r} of {network.library} {network.model!r} are not on this"
            f" computer and could not be downloaded ({type(error).__name__}: {_line(error)}); fetch"
            " them where there is a network and give their file as weights, or use weights = 'none'"
        ) from error


def _default_preprocessing(network: Network) -> dict[str, Any]:
    if network.library == "torchvision":
        preset = _torchvision_preset(network)
        resize = list(preset.resize_size)
        crop = preset.crop_size[0]
        return {
            "resize": resize[0] if len(resize) == 1 else tuple(resize),
            "crop": (crop, crop),
            "interpolation": preset.interpolation.value,
            "mean": tuple(preset.mean),
            "std": tuple(preset.std),
        }
    if network.library == "timm":
        return _timm_preprocessing(network)
    return {}


def _check_torchvision(model: str) -> None:
    import torchvision.models as zoo

    names = zoo.list_models()
    if model not in names:
        raise RecipeError(unknown("torchvision model", model, names))


def _torchvision_weights(network: Network) -> Any:
    repair()
    import torchvision.models as zoo

    _check_torchvision(network.model)
    choices = zoo.get_model_weights(network.model)
    tag = "DEFAULT" if network.weights == "default" else network.weights.rpartition(".")[2]
    if tag not in choices.__members__:
        valid = [*choices.__members__, "default", "none", "a file"]
        raise RecipeError(unknown(f"weights of {network.model}", network.weights, valid))
    return choices[tag]


def _torchvision_preset(network: Network) -> Any:
    repair()
    import torchvision.models as zoo

    library = not (network.weights == "none" or is_file(network.weights))
    if library:
        weights = _torchvision_weights(network)
    else:
        _check_torchvision(network.model)
        weights = zoo.get_model_weights(network.model)["DEFAULT"]
    preset = weights.transforms()
    if type(preset).__name__ != "ImageClassification":
        raise RecipeError(f"{network.model!r} of torchvision is no network for single images")
    return preset


def _timm_name(network: Network) -> str:
    tagged = network.weights not in ("default", "none") and not is_file(network.weights)
    return f"{network.model.partition('.')[0]}.{network.weights}" if tagged else network.model


def _timm_preprocessing(network: Network) -> dict[str, Any]:
    try:
        repair()
        import timm
        from timm.data import resolve_data_config
    except ImportError as error:
        raise RecipeError(
            "extractor 'timm' needs timm, which is not installed: pip install 'striate[models]'"
        ) from error
    name = _timm_name(network)
    try:
        known = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:  # the architecture is known, the tag is not
        base = name.partition(".")[0]
        valid = [base, *timm.list_pretrained(f"{base}.*")]
        raise RecipeError(unknown("timm model", name, valid)) from error
    if known is None:
        raise RecipeError(unknown("timm model", name, timm.list_models()))
    asked = {"img_size": v} if (v := network.options.get("img_size")) else {}
    config = resolve_data_config(asked, pretrained_cfg=known.to_dict())
    height, width = (int(v) for v in config["input_size"][-2:])
    fraction = float(config["crop_pct"])
    longer = math.floor(height / fraction), math.floor(width / fraction)
    if config["crop_mode"] == "squash":
        resize: int | tuple[int, int] = longer
    elif config["crop_mode"] == "center" and height == width:
        resize = longer[0]
    else:
        raise RecipeError(
            f"the preprocessing of timm {name!r} (crop mode {config['crop_mode']!r} at"
            f" {height}×{width}) is not known here: state size"
        )
    return {
        "resize": resize,
        "crop": (height, width),
        "interpolation": config["interpolation"],
        "mean": tuple(config["mean"]),
        "std": tuple(config["std"]),
    }


def _source(model: str) -> str:
    """Digest of the file that defines a network of the user's."""
    cls: Any = registry.find("network", model)
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return file_digest(file) if file else ""


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]


@lru_cache(maxsize=64)
def _digest(path: str, modified: int, size: int) -> str:
    return file_digest(path)
