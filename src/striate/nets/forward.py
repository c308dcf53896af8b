"""Stimuli through a network: one pass, every node pooled where it is, what is asked for kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.data import Shown
from striate.errors import DataError, RecipeError, unknown
from striate.machine import best_batch, here
from striate.nets.fusing import fuse
from striate.nets.inputs import Input
from striate.nets.loading import Network
from striate.nets.passes import check_time, computing, one_pass
from striate.nets.pooling import Pool
from striate.nets.projection import Projection
from striate.nets.taps import Taps, expand, is_glob, shapes

DTYPES = ("float32", "float16")
"""Types of stored features."""
PRECISIONS = ("float32", "bfloat16", "float16")
"""Types that a forward pass may compute in, where torch knows how to."""

_IDLE: dict[str, nn.Module] = {}
"""The network that was used last, unless a pass is using it."""

_RUNS: dict[tuple[str, ...], dict[str, int]] = {}
"""How often parts of a network run until its last node, where a pass has shown it."""

_SIZES: dict[str, int] = {}
"""Batch sizes that were found by trying."""

_NODES: dict[str, dict[str, tuple[int, ...]]] = {}
"""Nodes and shapes of networks that were asked for them."""


@dataclass(frozen=True)
class Kept:
    """What is kept of the outputs of nodes.

    Parameters
    ----------
    pool
        Over positions; see `striate.nets.pooling.Pool`.
    time
        Over frames or windows: ``mean``, ``max`` or ``keep``.
    projection
        Columns of a random projection, behind both.
    precision
        Of the forward pass.

    """

    pool: Pool
    time: str = "mean"
    projection: Projection = field(default_factory=Projection)
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_time(self.time)
        if self.precision not in PRECISIONS:
            raise RecipeError(unknown("precision", self.precision, PRECISIONS))

    def reader(self, kind: str, square: bool = True) -> Callable[[Tensor, str], Tensor]:
        """What is read of a node while the pass is there: its output, pooled."""

        def read(output: Tensor, node: str) -> Tensor:
            blind = ("mean tokens", "mean", "max", "pyramid")
            if kind == "image" and not square and output.ndim == 3 and self.pool.kind in blind:
                raise DataError(
                    f"node {node!r} gives tokens of images that are not square, of which pool"
                    f" {self.pool.kind!r} can not tell the patches: take a square size, or pool"
                    " 'token' or 'flatten'"
                )
            if kind == "clip" and _channels_end(output.shape):
                output = output.movedim(-1, 1)
            found = self.pool(output.float(), node, kind == "image")
            if kind == "clip" and found.ndim >= 3 and output.ndim == 5 and self.time != "keep":
                # What is left of the frames behind strides in time: (clip, channel, frame, …).
                return found.amax(2) if self.time == "max" else found.mean(2)
            return found

        return read


def _channels_end(shape: torch.Size) -> bool:
    """Whether maps are (clip, frame, height, width, channel), as of shifted windows."""
    return len(shape) == 5 and shape[2] == shape[3] != shape[4]


def check_dtype(dtype: str) -> None:
    """Refuse an unknown type of stored features."""
    if dtype not in DTYPES:
        raise RecipeError(unknown("dtype of stored features", dtype, DTYPES))


def features(
    network: Network, shows: Input, nodes: Sequence[str], kept: Kept, shown: Sequence[Shown]
) -> Iterator[dict[str, np.ndarray]]:
    """Pooled outputs of the nodes for each stimulus, in batches of the machine's size, in order.

    Yields
    ------
    dict
        Node → array (stimulus, …), float32.

    """
    device = here().torch_device()
    # Intermediates of timm may be what a convolution gives before its norm.
    whole = any(n.startswith("intermediates") for n in nodes)
    with _borrowed(network, None if whole else nodes) as module:
        module.to(device)
        # How often a part runs may depend on what the network is shown.
        place = (_key(network), json.dumps(shows.identity(), sort_keys=True), *sorted(nodes))
        form = getattr(shows, "preprocessing", None)
        square = form is None or form.shape[0] == form.shape[1]
        taps = Taps(module, nodes, kept.reader(shows.kind, square), _RUNS.get(place))

        def compute(items: Tensor) -> dict[str, Tensor]:
            with _precision(device, kept.precision):
                return taps(shows(items))

        size = here().batch or _best_size(network, shows, compute, device)
        count, cost = shows.count, shows.cost
        for batch in one_pass(
            shown, shows.read, compute, kept.time, count, cost, kept.projection, size
        ):
            _RUNS[place] = taps.runs
            yield {node: batch[node] for node in nodes}


def _best_size(
    network: Network, shows: Input, compute: Callable[[Tensor], Any], device: torch.device
) -> int:
    """The fastest number of images in a batch, found by trying once per network and process."""
    key = f"{_key(network)} {shows.cost} {device}"
    if key not in _SIZES:

        def measure(size: int) -> float:
            items = shows.blank().repeat(
                max(1, size // shows.cost), *[1] * (shows.blank().ndim - 1)
            )
            spent = []
            for _ in range(3):
                began = perf_counter()
                with computing(device, here().threads):
                    outputs = compute(items.to(device))
                    next(iter(outputs.values())).flatten()[:1].cpu()  # waits for the device
                spent.append(perf_counter() - began)
            return min(spent) / len(items)

        _SIZES[key] = best_batch(measure)
    return _SIZES[key]


def nodes_of(network: Network, shows: Input) -> dict[str, tuple[int, ...]]:
    """Nodes that answer → shape of their output per item, in forward order."""
    key = _key(network) + json.dumps(shows.identity(), sort_keys=True)
    if key not in _NODES:
        # Every convolution counts as tapped: what is fused has other outputs inside.
        with _borrowed(network, None) as module, computing(torch.device("cpu"), here().threads):
            _NODES[key] = shapes(module.to("cpu"), shows(shows.blank()))
    return _NODES[key]


def node_names(network: Network, shows: Input, nodes: Sequence[str]) -> tuple[str, ...]:
    """The nodes, with patterns expanded; only a pattern makes the network be built."""
    if not nodes:
        raise RecipeError(f"{network.model!r} is asked for no nodes: name some in `nodes`")
    if not any(is_glob(n) for n in nodes):
        return tuple(dict.fromkeys(nodes))
    return expand(nodes, nodes_of(network, shows), network.model)


def _key(network: Network) -> str:
    return json.dumps(network.identity(), sort_keys=True)


def _precision(device: torch.device, precision: str) -> Any:
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


@contextmanager
def _borrowed(network: Network, tapped: Collection[str] | None) -> Iterator[nn.Module]:
    """The built network, for one user at a time; the last one is kept for the next.

    Norms are folded into convolutions that are not tapped; nothing is folded without `tapped`.
    """
    key = json.dumps([_key(network), None if tapped is None else sorted(tapped)])
    module = _IDLE.pop(key, None)
    if module is None:
        _IDLE.clear()
        module = network.build()
        if tapped is not None:
            fuse(module, [n.partition(":")[0] for n in tapped])
    try:
        yield module
    finally:
        _IDLE.clear()
        _IDLE[key] = module
