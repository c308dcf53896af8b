"""Images through a network, batch by batch: decode on all threads, one pass, pool, keep."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from striate.errors import DataError, RecipeError, some, unknown
from striate.machine import here
from striate.media import open_image
from striate.nets.loading import Network
from striate.nets.pooling import Pool
from striate.nets.preprocessing import Preprocessing
from striate.nets.taps import Taps, expand, is_glob, shapes

DTYPES = {"float16": torch.float16, "float32": torch.float32}
"""Types of stored features."""

_IDLE: dict[str, nn.Module] = {}
"""The network that was used last, unless a pass is using it."""

_NODES: dict[str, dict[str, tuple[int, ...]]] = {}
"""Nodes and shapes of networks that were asked for them."""


def features(
    network: Network, nodes: Sequence[str], pool: Pool, dtype: str, files: Sequence[str]
) -> Iterator[dict[str, np.ndarray]]:
    """Pooled outputs of the nodes for each image, in batches of the machine's size, in order.

    Yields
    ------
    dict
        Node → array (stimulus, …) of type `dtype`.

    """
    machine = here()
    device = machine.torch_device()
    preprocessing = network.preprocessing()

    def read(output: Tensor, node: str) -> Tensor:
        return pool(output.float(), node).to(DTYPES[dtype])

    with _borrowed(network) as module:
        module.to(device)
        taps = Taps(module, nodes, read)
        size = max(1, machine.batch)
        for pixels in decoded(files, preprocessing, size, machine.threads, device):
            with computing(device, machine.threads):
                outputs = taps(_normalise(pixels, preprocessing, device))
                batch = {node: value.cpu().numpy() for node, value in outputs.items()}
            yield batch


def check_kept(pool: str | Mapping[str, Any], dtype: str) -> None:
    """Refuse an unknown pool or stored type before anything is built."""
    Pool.parse(pool)
    if dtype not in DTYPES:
        raise RecipeError(unknown("dtype of stored features", dtype, DTYPES))


def nodes_of(network: Network) -> dict[str, tuple[int, ...]]:
    """Nodes that answer → shape of their output per image, in forward order."""
    key = _key(network)
    if key not in _NODES:
        with _borrowed(network) as module:
            blank = torch.zeros(1, 3, *network.preprocessing().shape)
            _NODES[key] = shapes(module.to("cpu"), blank)
    return _NODES[key]


def node_names(network: Network, nodes: Sequence[str]) -> tuple[str, ...]:
    """The nodes, with patterns expanded; only a pattern makes the network be built."""
    if not nodes:
        raise RecipeError(f"{network.model!r} is asked for no nodes: name some in `nodes`")
    if not any(is_glob(n) for n in nodes):
        return tuple(dict.fromkeys(nodes))
    return expand(nodes, nodes_of(network), network.model)


def decoded(
    files: Sequence[str],
    preprocessing: Preprocessing,
    size: int,
    workers: int,
    device: torch.device,
) -> Iterator[UInt8[np.ndarray, "stimulus height width 3"]]:
    """Resized images in batches.

    On a CPU all threads decode a few batches and then all compute; decoding ahead would fight the
    network for cores, and threads of the network spin for a while before they let go of one. A GPU
    leaves the cores idle, so decoding runs ahead of it.
    """
    turn = 4

    def load(file: str) -> UInt8[np.ndarray, "height width 3"]:
        return preprocessing.pixels(open_image(file))

    with ThreadPoolExecutor(max(1, workers)) as pool:
        starts = iter(range(0, len(files), size))
        waiting: deque[list[Future[np.ndarray]]] = deque()

        def submit(count: int) -> None:
            for start in islice(starts, count):
                waiting.append([pool.submit(load, f) for f in files[start : start + size]])

        try:
            submit(turn)
            while waiting:
                if device.type == "cpu":
                    wait([f for futures in waiting for f in futures])
                yield np.stack([f.result() for f in waiting.popleft()])
                if device.type != "cpu" or not waiting:
                    submit(1 if waiting else turn)
        finally:
            for future in (f for futures in waiting for f in futures):
                future.cancel()


def files_of(ids: Iterable[str], files: Iterable[object]) -> list[str]:
    """Files of stimuli, all present.

    Raises
    ------
    DataError
        When a stimulus has no file.

    """
    pairs = [(i, str(f)) for i, f in zip(ids, files, strict=True)]
    missing = [i for i, f in pairs if not f]
    if missing:
        raise DataError(f"no image file for stimulus {some(missing)}; add it, or drop the stimulus")
    return [f for _, f in pairs]


def _normalise(
    pixels: UInt8[np.ndarray, "stimulus height width 3"],
    preprocessing: Preprocessing,
    device: torch.device,
) -> Float32[Tensor, "stimulus 3 height width"]:
    images = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2)  # channels last, no copy
    mean, std = (
        torch.tensor(v, device=device, dtype=torch.float32).view(1, 3, 1, 1)
        for v in (preprocessing.mean, preprocessing.std)
    )
    # (x / 255 - mean) / std, in two passes over memory instead of four.
    return torch.sub(images, 255 * mean).mul_(1 / (255 * std))


def _key(network: Network) -> str:
    return json.dumps(network.identity(), sort_keys=True)


@contextmanager
def _borrowed(network: Network) -> Iterator[nn.Module]:
    """The built network, for one user at a time; the last one is kept for the next."""
    key = _key(network)
    module = _IDLE.pop(key, None)
    if module is None:
        _IDLE.clear()
        module = network.build()
    try:
        yield module
    finally:
        _IDLE.clear()
        _IDLE[key] = module


@contextmanager
def computing(device: torch.device, workers: int) -> Iterator[None]:
    """Compute without gradients, on so many threads, in full float32 precision on a GPU too."""
    before = torch.get_num_threads()
    change = workers >= 1 and workers != before
    if change:
        torch.set_num_threads(workers)
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    try:
        with torch.inference_mode(), exact if device.type == "cuda" else nullcontext():
            yield
    finally:
        if change:
            torch.set_num_threads(before)
