"""Networks of a local repository with a `hubconf.py`, which is the user's own code and is run."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from striate import registry
from striate.errors import FileError, RecipeError, unknown
from striate.media import Frames, file_digest
from striate.nets.inputs import Input
from striate.nets.inputs.pictures import Pictures
from striate.nets.loading import Library, Network
from striate.nets.preprocessing import resolve
from striate.nets.weights import SUFFIXES, file_identity, line_of

CONF = "hubconf.py"


class Hub(Library):
    """``path/to/repository:entry``: a function of its `hubconf.py` that makes a network.

    The repository is on this computer and its code is trusted as a plug-in is: nothing is
    downloaded but what the entry itself fetches for weights ``default``. An entry that takes
    ``pretrained`` is told whether its own weights are meant.
    """

    def build(self, network: Network, pretrained: bool) -> nn.Module:
        """What the entry makes of the options."""
        self.weights(network)
        folder, name = _split(network.model)
        options = dict(network.options)
        with _importable(folder):
            entry = _entry(folder, name)
            if "pretrained" in inspect.signature(entry).parameters:
                options.setdefault("pretrained", pretrained)
            module = entry(**options)
        if not isinstance(module, nn.Module):
            raise RecipeError(f"{network.model!r} makes {type(module).__name__}, no torch module")
        return module

    def weights(self, network: Network) -> str:
        """Digests of the files of weights in the repository; its code is in the identity."""
        if network.pretrained and network.weights != "default":
            raise RecipeError(
                f"weights {network.weights!r} of {network.model!r}: an entry of a repository has"
                " 'default', its own, or takes 'none' or a file"
            )
        folder, _ = _split(network.model)
        files = sorted(f for f in folder.rglob("*") if f.name.endswith(SUFFIXES) and f.is_file())
        return "hub:" + registry.key_of([[_told(f, folder), file_identity(f)] for f in files])

    def input(self, network: Network, frames: Frames | None) -> Input:
        """Images, 224 × 224 and normalised as for ImageNet unless stated."""
        return Pictures(resolve({}, network.stated), frames or Frames())

    def identity(self, network: Network) -> dict[str, Any]:
        """The entry without its folder, and one digest of all Python files of the repository."""
        folder, name = _split(network.model)
        files = sorted(folder.rglob("*.py"))
        return {
            "model": name,
            "source": registry.key_of([[_told(f, folder), file_digest(f)] for f in files]),
        }


def _split(model: str) -> tuple[Path, str]:
    """Folder of the repository and name of the entry."""
    place, _, name = model.rpartition(":")
    if not place or not name:
        raise RecipeError(f"model {model!r} of hub: write path/to/repository:entry")
    folder = Path(place).expanduser().resolve()
    if not (folder / CONF).is_file():
        raise FileError(f"{place}: no repository with {CONF}; check the path, or clone it there")
    return folder, name


def _entry(folder: Path, name: str) -> Callable[..., Any]:
    try:
        conf = importlib.import_module(CONF.removesuffix(".py"))
    except Exception as error:  # code of others fails in any way
        raise RecipeError(
            f"{folder / CONF} does not import ({type(error).__name__}: {line_of(error)}); correct"
            " it, or install what it needs"
        ) from error
    entries = {n: e for n, e in vars(conf).items() if callable(e) and not n.startswith("_")}
    if name not in entries:
        raise RecipeError(unknown("entry", name, entries, str(folder / CONF)))
    found: Callable[..., Any] = entries[name]
    return found


def _told(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The repository's modules by their bare names, for as long as the network is built.

    They are forgotten before and behind, for another repository may have the same names, and the
    files may have changed.
    """
    _forget(folder)
    importlib.invalidate_caches()
    # Compiled files are told apart by whole seconds, too coarse for someone who edits.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = before
        _forget(folder)


def _forget(folder: Path) -> None:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(folder):
            del sys.modules[name]
