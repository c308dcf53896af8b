"""One pass over stimuli: decode on all threads, compute in batches, pool over frames, hand on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from itertools import groupby, islice
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from striate.data import Shown
from striate.errors import DataError, RecipeError, unknown
from striate.machine import here

TIMES = ("mean", "max", "keep")
"""What becomes of the frames of a film, or of the windows of a sound."""
TURN = 4
"""Batches that are decoded before any is computed."""

Reading = Callable[[Shown], np.ndarray]
Computing = Callable[[Tensor], Mapping[str, Tensor]]
T = TypeVar("T")


def check_time(time: str) -> None:
    """Refuse an unknown way to pool over frames."""
    if time not in TIMES:
        raise RecipeError(unknown("pooling over time", time, TIMES))


def one_pass(
    shown: Sequence[Shown],
    read: Reading,
    compute: Computing,
    time: str = "mean",
    count: Callable[[Shown], int] | None = None,
    cost: int = 1,
    finish: Callable[[Tensor], Tensor] | None = None,
    size: int | None = None,
) -> Iterator[dict[str, Shaped[np.ndarray, "stimulus ..."]]]:
    """Features of all stimuli in batches, in order.

    Which stimuli make a batch follows from those before, `count`, `cost` and the machine's batch
    size alone, so that an interrupted pass goes on with the same batches.

    Parameters
    ----------
    shown
        The stimuli.
    read
        Stimulus → its items (item, …), such as frames; called on all threads.
    compute
        Items on the device, as many as fit in a batch → space → outputs (item, …).
    time
        What becomes of the items of one stimulus: their ``mean``, their ``max``, or ``keep`` (an
        axis of its own in front of the features).
    count
        Items of a stimulus, as far as that is known; 1 where not stated.
    cost
        Images that an item counts as.
    finish
        Applied to the features of a batch of stimuli before they leave the device.
    size
        Images of a batch; not stated: as the machine says.

    Yields
    ------
    dict
        Space → array (stimulus, …).

    Raises
    ------
    DataError
        When stimuli have no items, or different numbers of them and `time` is ``keep``.

    """
    machine = here()
    device = machine.torch_device()
    size = machine.block if size is None else size
    chunk = max(1, size // cost)
    groups = _groups(shown, [cost * (count(s) if count else 1) for s in shown], size)
    for group, arrays in zip(groups, in_turns(groups, read, machine.threads, device), strict=True):
        ids = [s.id for s in group]
        empty = [i for i, a in zip(ids, arrays, strict=True) if not len(a)]
        if empty:
            raise DataError(f"nothing can be read of stimulus {empty[0]!r}; leave it out")
        with computing(device, machine.threads):
            outputs: dict[str, list[Tensor]] = {}
            for batch in _batches(arrays, chunk):
                for name, output in compute(torch.from_numpy(batch).to(device)).items():
                    outputs.setdefault(name, []).append(output)
            lengths = [len(a) for a in arrays]
            done = {n: over_time(o, lengths, time, ids) for n, o in outputs.items()}
            if finish is not None:
                done = {n: finish(value) for n, value in done.items()}
            found = {n: value.cpu().numpy() for n, value in done.items()}
        yield found


def over_time(
    outputs: Sequence[Tensor], counts: Sequence[int], time: str, ids: Sequence[str]
) -> Shaped[Tensor, "stimulus ..."]:
    """Outputs (item, …) in one or more pieces, pooled over the items of each stimulus."""
    if len({o.shape[1:] for o in outputs}) > 1:
        shapes = sorted({tuple(o.shape[1:]) for o in outputs})
        raise DataError(
            f"stimuli {ids[0]!r} to {ids[-1]!r} give features of different shapes"
            f" {shapes[0]} and {shapes[-1]}: state a fixed length (frames = 16, or seconds = 3 of"
            " sounds), or pool over it"
        )
    joined = outputs[0] if len(outputs) == 1 else torch.cat(list(outputs))
    if time == "keep":
        if len(set(counts)) > 1:
            raise DataError(
                f"stimuli {ids[0]!r} to {ids[-1]!r} have between {min(counts)} and {max(counts)}"
                ' frames, which make no array: pool over them (time = "mean") or state a fixed'
                " number (frames = 16)"
            )
        return joined.unflatten(0, (len(counts), counts[0]))
    if max(counts) == 1:
        return joined
    return torch.stack([reduced(p, time) for p in joined.split(list(counts))])


def reduced(frames: Shaped[Tensor, "frame *feature"], time: str) -> Shaped[Tensor, "..."]:
    """The mean or maximum over the frames, or all of them."""
    if time == "keep":
        return frames
    return frames.amax(0) if time == "max" else frames.float().mean(0)


def in_turns(
    groups: Sequence[Sequence[Shown]], read: Reading, workers: int, device: torch.device
) -> Iterator[list[np.ndarray]]:
    """What is read of the stimuli, group by group.

    On a CPU all threads decode a few batches and then all compute; decoding ahead would fight the
    network for cores, and threads of the network spin for a while before they let go of one. A GPU
    leaves the cores idle, so decoding runs ahead of it. Pieces of one film that follow each other
    are read by one thread, which decodes on where another would have to seek.
    """

    def read_all(share: Sequence[Shown]) -> list[np.ndarray]:
        return [read(s) for s in share]

    workers = max(1, workers)
    with ThreadPoolExecutor(workers) as pool:
        left = iter(groups)
        waiting: deque[list[Future[list[np.ndarray]]]] = deque()

        def submit(count: int) -> None:
            for group in islice(left, count):
                shares = _shares(group, workers)
                waiting.append([pool.submit(read_all, share) for share in shares])

        try:
            submit(TURN)
            while waiting:
                if device.type == "cpu":
                    wait([f for futures in waiting for f in futures])
                yield [array for f in waiting.popleft() for array in f.result()]
                if device.type != "cpu" or not waiting:
                    submit(1 if waiting else TURN)
        finally:
            for future in (f for futures in waiting for f in futures):
                future.cancel()


def _shares(group: Sequence[Shown], workers: int) -> list[Sequence[Shown]]:
    """A group in as many parts as there are workers; pieces of the same film stay together."""
    if len({s.file for s in group}) == 1 and group[0].onset is not None:
        return [group]
    size = -(-len(group) // workers)
    return [group[k : k + size] for k in range(0, len(group), size)]


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


def _groups(shown: Sequence[Shown], costs: Sequence[int], size: int) -> list[list[Shown]]:
    """Stimuli that make a batch: as many as `size` images, and one at least."""
    groups: list[list[Shown]] = []
    full = size
    for one, cost in zip(shown, costs, strict=True):
        if full + cost > size:
            groups.append([])
            full = 0
        groups[-1].append(one)
        full += cost
    return groups


def _batches(arrays: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Items of several stimuli in batches of one shape, at most `size` each."""
    for _, alike in groupby(arrays, lambda a: (a.shape[1:], a.dtype)):
        group = list(alike)
        joined = group[0] if len(group) == 1 else np.concatenate(group)
        for start in range(0, len(joined), size):
            yield joined[start : start + size]
