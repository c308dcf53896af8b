"""Weights of a network: read from files without running code, and told by digest."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.errors import FileError, some
from striate.media import file_digest

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".pth.tar")
PREFIXES = ("module", "model", "_orig_mod", "network", "encoder", "backbone")
"""What training code and other libraries put in front of the names of all tensors."""


def is_file(weights: str) -> bool:
    """Whether `weights` names a file rather than a tag of a library."""
    return weights.endswith(SUFFIXES) or "/" in weights or "\\" in weights


def file_identity(file: str | Path) -> str:
    """Digest of a file of weights, computed once as long as the file stays as it is."""
    path = Path(file)
    if not path.is_file():
        raise FileError(
            f"{file}: no such file of weights; give a path that ends in {', '.join(SUFFIXES)}, or"
            " 'default', or 'none'"
        )
    state = path.stat()
    return "blake2b:" + _digest(str(path.resolve()), state.st_mtime_ns, state.st_size)


def load_weights(
    module: nn.Module,
    file: str | Path,
    name: str = "the network",
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> None:
    """Fill the module with the tensors of a file.

    A dictionary under ``state_dict`` or ``model`` is unpacked, and a prefix that all names share
    (``module.``, ``model.``) is taken off. Where names are then still not those of the module,
    `rename` is asked for them.

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
        if heads or head not in PREFIXES:
            break
        tensors = {k.partition(".")[2]: v for k, v in tensors.items()}
    if rename is not None and not own.keys() >= tensors.keys():
        try:
            tensors = rename(tensors)
        except FileError as error:
            raise FileError(f"{file}: {error}") from error
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
            f"{file}: cannot be read as weights ({line_of(error)}); copy or download it again"
        ) from error
    for key in ("state_dict", "model", "model_state_dict", "net", "teacher"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor) for v in content.values()):
        raise FileError(f"{file}: holds no named tensors; save a state_dict()")
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}


def line_of(error: Exception) -> str:
    """The first line of an error, short."""
    return (str(error).strip().splitlines() or [""])[0][:200]


@lru_cache(maxsize=64)
def _digest(path: str, modified: int, size: int) -> str:
    return file_digest(path)
