"""Networks of a local repository that torch's hub could load: your own code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from striate.nets.nodes import Nodes


@dataclass(frozen=True)
class Hub(Nodes):
    """A network by an entry of ``hubconf.py``; fields as in `striate.nets.nodes.Nodes`.

    `model` is ``path/to/repository:entry``. Its code is run, so take a repository that you trust;
    any change of its Python files is another network. `weights` is ``default`` (the entry's own),
    a file, or ``none``: as the entry makes them, under `seed`. `options` are the entry's
    arguments. Unless stated, images are resized to 224 × 224 and normalised as for ImageNet.
    """

    family: ClassVar[str] = "hub"
