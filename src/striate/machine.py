"""Where the work happens: device, batch, threads, memory, store; nothing here changes a number."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from striate.errors import RecipeError, StriateError
from striate.workers import Workers

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
        Stimuli per forward pass; 0: networks find a good number by trying.
    threads
        Threads of numerical libraries, in all.
    memory
        Bytes that a solver may use for temporaries.
    store
        Folder of extracted features and finished tasks.
    scheduler
        Who extracts and fits. Empty: this process. ``"processes:4"``: so many processes of this
        computer, which share `threads`; a script that asks for them must start its work under
        ``if __name__ == "__main__"``. ``"tcp://host:8786"``: the workers of that Dask scheduler.
        ``"slurm:FILE.toml"``, or the table in such a file: workers in so many ``jobs``, asked for
        with the other entries (``queue``, ``cores``, ``memory``, ``walltime``, ``account``, or
        anything else that `dask_jobqueue.SLURMCluster` takes). All workers must see `store` and
        the data under the same paths.
    quiet
        No progress bars.

    Raises
    ------
    RecipeError
        When `batch` is negative, `memory` not positive, or `scheduler` is none of these.

    """

    device: str = "auto"
    batch: int = 16
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    memory: int = 2 << 30
    store: Path = field(default_factory=_cache)
    scheduler: str | Mapping[str, Any] = ""
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.batch < 0:
            raise RecipeError(f"batch {self.batch} must be 1 or more, or 0 to find it by trying")
        if self.memory < 1:
            raise RecipeError(f"memory of {self.memory} bytes must be positive")
        if isinstance(self.scheduler, Mapping) or not self.scheduler:
            return
        kind, _, rest = self.scheduler.partition(":")
        if not rest or (kind == "processes" and (not rest.isdecimal() or int(rest) < 1)):
            raise RecipeError(
                f"scheduler {self.scheduler!r}: write processes:N, tcp://host:port or"
                " slurm:FILE.toml, or leave it empty to work here"
            )

    @property
    def block(self) -> int:
        """Stimuli whose features are stored together; a batch where none is found by trying."""
        return self.batch or 16

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Apply `function` to independent tasks, here or on Dask workers, in order.

        A task whose worker dies is done again by another one. Inside of `using` all calls share
        the same workers, which live until its end.

        Raises
        ------
        StriateError
            When a task fails, or workers that try it keep dying.

        """
        if not self.scheduler:
            yield from map(function, items)
            return
        with self._workers() as crew:
            yield from crew.map(function, list(items))

    def workers(self) -> int:
        """How many Dask workers there will be; they are started where that is not known."""
        with self._workers() as crew:
            return crew.size()

    def lent(self) -> Machine:
        """What each worker has of this machine: its share of the threads, and no workers."""
        with self._workers() as crew:
            return replace(self, scheduler="", quiet=True, threads=crew.threads())

    def job_script(self) -> str:
        """The script by which workers are asked for; empty where no queue is asked."""
        with self._workers() as crew:
            return crew.job_script()

    @contextmanager
    def _workers(self) -> Iterator[Workers]:
        """The workers of the run that goes on, or others for as long as this takes."""
        crew = _WORKERS.get()
        if crew is not None and crew.scheduler == self.scheduler:
            yield crew
            return
        with closing(Workers(self.scheduler, self.threads)) as own:
            yield own

    def has_gpu(self) -> bool:
        """Whether `device` is a GPU that counts in double precision."""
        if self.device == "auto" and sys.platform.startswith("linux"):
            # Without its driver torch would find none, and takes a second to be asked.
            if not any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")):
                return False
        elif self.device == "cpu":
            return False
        return bool(self.torch_device().type == "cuda")

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
_WORKERS: ContextVar[Workers | None] = ContextVar("workers", default=None)


def here() -> Machine:
    """The machine that the current run uses; a default one outside of runs."""
    return _HERE.get() or Machine()


@contextmanager
def using(machine: Machine) -> Iterator[Machine]:
    """Make `machine` the one that `here()` answers, and hold numerical libraries to its threads.

    Its workers, if it has any, start when they are first needed and live until the end.
    """
    from threadpoolctl import threadpool_limits

    crew = Workers(machine.scheduler, machine.threads)
    token, before = _HERE.set(machine), _WORKERS.set(crew)
    try:
        with threadpool_limits(machine.threads), closing(crew):
            yield machine
    finally:
        _WORKERS.reset(before)
        _HERE.reset(token)


def best_batch(
    measure: Callable[[int], float], candidates: Sequence[int] = (4, 8, 16, 32, 64, 128)
) -> int:
    """The batch size with the least time per stimulus; of nearly equal ones the smallest.

    Sizes are tried in order until one is slower than the best before it by a tenth, or does not
    fit into memory. Where not even the first fits, smaller ones are tried.

    Parameters
    ----------
    measure
        Seconds per stimulus of a batch of this size.
    candidates
        Sizes to try, in ascending order.

    Raises
    ------
    StriateError
        When not even a single stimulus fits into memory.

    >>> best_batch(lambda n: 1 / n + n / 1000)
    32

    """
    found: dict[int, float] = {}
    for size in candidates:
        try:
            found[size] = measure(size)
        except (MemoryError, RuntimeError) as error:
            if not _no_memory(error):
                raise
            if found:
                break
            if size <= 1:
                raise StriateError(
                    "not even one stimulus fits into memory: take a smaller network or input, or"
                    " another device"
                ) from error
            return best_batch(measure, (size // 2,))
        if found[size] > 1.1 * min(found.values()):
            break
    return min(n for n, seconds in found.items() if seconds <= 1.03 * min(found.values()))


def _no_memory(error: Exception) -> bool:
    told = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or "outofmemory" in told or "out of memory" in told


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
