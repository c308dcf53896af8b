"""Where the work happens: device, batch, threads, memory, store; nothing here changes a number."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("STRIATE_STORE") or Path(base) / "striate")


@dataclass(frozen=True)
class Machine:
    """What this computer lends to a run. None of it is part of any key.

    Parameters
    ----------
    device
        ``"auto"`` (a GPU when torch sees one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    batch
        Stimuli per forward pass.
    threads
        Threads of numerical libraries.
    memory
        Bytes that a solver may use for temporaries.
    store
        Folder of extracted features and finished tasks.
    scheduler
        Address of a Dask scheduler that runs the tasks (``tcp://host:8786``); empty: here. All
        its workers must see `store` and the data under the same paths.
    quiet
        No progress bars.

    """

    device: str = "auto"
    batch: int = 16
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    memory: int = 2 << 30
    store: Path = field(default_factory=_cache)
    scheduler: str = ""
    quiet: bool = False

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Apply `function` to independent tasks, here or on Dask workers, in order."""
        if not self.scheduler:
            yield from map(function, items)
            return
        from distributed import Client

        with Client(self.scheduler) as client:
            futures = client.map(function, list(items), pure=False)
            for future in futures:
                yield future.result()

    def torch_device(self) -> Any:
        """The torch device behind `device`."""
        import torch

        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed memory for reuse; whether it could be asked.

    Large activations are otherwise returned to the system and faulted in again at every layer,
    which costs a convolutional network up to half of its speed on a CPU. The process then holds
    on to its peak memory. Call it once at the start of a program, or not at all.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    threshold, trim = -3, -1
    return bool(mallopt(threshold, 1 << 30)) and bool(mallopt(trim, (1 << 31) - 1))


_HERE: ContextVar[Machine | None] = ContextVar("machine", default=None)


def here() -> Machine:
    """The machine that the current run uses; a default one outside of runs."""
    return _HERE.get() or Machine()


@contextmanager
def using(machine: Machine) -> Iterator[Machine]:
    """Make `machine` the one that `here()` answers, and hold numerical libraries to its threads."""
    from threadpoolctl import threadpool_limits

    token = _HERE.set(machine)
    try:
        with threadpool_limits(machine.threads):
            yield machine
    finally:
        _HERE.reset(token)


def track(
    items: Iterable[T], total: int, label: str, size: Callable[[T], int] = lambda _: 1
) -> Iterator[T]:
    """Pass `items` on while showing progress with an estimate of the time left.

    Silent when the machine is `quiet` or output is no terminal. `size` tells how much of `total`
    one item is.
    """
    if here().quiet or not os.isatty(2):
        yield from items
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total)
        for item in items:
            yield item
            bar.advance(task, size(item))
