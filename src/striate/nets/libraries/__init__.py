"""Where networks come from: one library, one file, found by name when it is asked for."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from striate.errors import RecipeError, unknown

LIBRARIES = {
    "hub": "striate.nets.libraries.hub:Hub",
    "module": "striate.nets.libraries.module:Modules",
    "open_clip": "striate.nets.libraries.open_clip:OpenClip",
    "timm": "striate.nets.libraries.timm:Timm",
    "torchvision": "striate.nets.libraries.torchvision:Torchvision",
    "transformers": "striate.nets.libraries.transformers:Transformers",
    "zoo": "striate.nets.libraries.zoo:Zoo",
}


def find(name: str) -> Any:
    """The library of that name, a `striate.nets.loading.Library`.

    Raises
    ------
    RecipeError
        When there is none, or it is not installed.

    """
    if name not in LIBRARIES:
        raise RecipeError(unknown("library of networks", name, LIBRARIES))
    module, _, cls = LIBRARIES[name].partition(":")
    return getattr(importlib.import_module(module), cls)()


def needed(library: str, package: str, error: ImportError) -> RecipeError:
    """The error that says what to install for a library."""
    return RecipeError(
        f"extractor {library!r} needs {package}, which is not installed ({error}): pip install"
        " 'striate[models]'"
    )


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep a library that writes to the root logger from setting one up and printing."""
    silent = logging.NullHandler()
    logging.getLogger().addHandler(silent)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(silent)
