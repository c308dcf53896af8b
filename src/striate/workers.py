"""Processes that share the work of a run: of this computer, of a Dask scheduler, or of a queue."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

from striate.errors import FileError, RecipeError, StriateError, unknown

T = TypeVar("T")
R = TypeVar("R")

KEPT_MEMORY = {
    "MALLOC_ARENA_MAX": 1,
    "MALLOC_MMAP_THRESHOLD_": 1 << 30,
    "MALLOC_TRIM_THRESHOLD_": (1 << 31) - 1,
}
"""What has glibc keep freed memory for reuse, whichever thread has freed it."""

RETRIES = 2
"""How often a task that failed for no fault of the user's is tried again."""


class Workers:
    """Workers that start when they are first needed and are gone after `close`.

    Parameters
    ----------
    scheduler
        See `striate.machine.Machine`.
    threads
        Threads of numerical libraries that processes of this computer share.

    """

    def __init__(self, scheduler: str | Mapping[str, Any], threads: int) -> None:
        self.scheduler, self._threads = scheduler, threads
        self._open = ExitStack()
        self._client: Any = None

    def size(self) -> int:
        """How many workers there are, or will be when a queue has let all of them in."""
        if not self.scheduler:
            return 1
        if self._processes():
            return self._processes()
        if self._queued():
            table = self._table()
            return int(table["jobs"]) * int(table["processes"])
        return max(1, len(self.client().nthreads()))

    def threads(self) -> int:
        """Threads of numerical libraries that each worker may use."""
        if self._queued():
            table = self._table()
            return max(1, int(table["cores"]) // int(table["processes"]))
        return max(1, self._threads // (self._processes() or 1))

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Results in order; a task whose worker died is done by another one.

        Raises
        ------
        StriateError
            The first one that a task raised, or when workers keep dying over one task.

        """
        client = self.client()
        from distributed import KilledWorker

        jobs = [(function, i) for i in items]
        futures = client.map(_told, jobs, pure=False, retries=RETRIES)
        try:
            for future in futures:
                try:
                    result = future.result()
                except KilledWorker as error:
                    raise StriateError(
                        f"workers died again and again over one task ({error}): give them more"
                        " memory, or work with a smaller batch"
                    ) from error
                if isinstance(result, StriateError):
                    raise result
                yield result
        finally:
            if self._client is not None:
                self._client.cancel(futures)

    def job_script(self) -> str:
        """The script that asks a queue for one job of workers; empty where none is asked."""
        if not self._queued():
            return ""
        with self._queue() as cluster:
            return str(cluster.job_script())

    def client(self) -> Any:
        """The Dask client, connected and with its workers on their way."""
        if self._client is None:
            _need("distributed")
            from distributed import Client

            place = self.scheduler
            if self._processes():
                place = self._open.enter_context(self._local())
            elif self._queued():
                place = self._open.enter_context(self._queue())
                place.scale(jobs=int(self._table()["jobs"]))
            try:
                self._client = self._open.enter_context(Client(place))
            except OSError as error:
                raise RecipeError(
                    f"no Dask scheduler answers at {self.scheduler!r} ({error}); start one, or"
                    " correct the address"
                ) from error
        return self._client

    def close(self) -> None:
        """Let the workers go."""
        self._client = None
        self._open.close()

    def _processes(self) -> int:
        kind, _, count = str(self.scheduler).partition(":")
        return int(count) if kind == "processes" else 0

    def _queued(self) -> bool:
        return isinstance(self.scheduler, Mapping) or self.scheduler.startswith("slurm:")

    def _local(self) -> Any:
        import dask
        from distributed import LocalCluster

        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        env = dict.fromkeys(names, str(self.threads()))
        # Tasks run in a thread, which glibc gives an arena of its own that hands large activations
        # back to the system at every layer; see `striate.machine.keep_freed_memory`.
        with dask.config.set({"distributed.nanny.pre-spawn-environ": env | KEPT_MEMORY}):
            return LocalCluster(
                n_workers=self._processes(),
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                # Maps of files count as memory, so a limit would end healthy workers.
                memory_limit=0,
                env=env,
                silence_logs=40,
            )

    def _queue(self) -> Any:
        _need("dask_jobqueue")
        from dask_jobqueue import SLURMCluster
        from dask_jobqueue.core import Job, JobQueueCluster
        from dask_jobqueue.slurm import SLURMJob

        table = self._table()
        makers = (SLURMJob, Job, JobQueueCluster)
        valid = {"jobs"}.union(*(signature(m.__init__).parameters for m in makers)) - {"self"}
        for name in table:
            if name not in valid:
                raise RecipeError(unknown("entry", name, valid, self._where()))
        del table["jobs"]
        # One task at a time in each process; the cores are for its numerical libraries.
        table = {"job_cpu": table["cores"]} | table | {"cores": table["processes"]}
        try:
            return SLURMCluster(**table)
        except (TypeError, ValueError) as error:
            raise RecipeError(
                f"{self._where()} does not describe workers of a SLURM queue: {error}"
            ) from error

    def _table(self) -> dict[str, Any]:
        """What is asked of the queue, with what must be known filled in."""
        table = self.scheduler
        if isinstance(table, str):
            file = Path(table.removeprefix("slurm:"))
            try:
                table = tomllib.loads(file.read_text("utf-8"))
            except OSError as error:
                raise FileError(
                    f"scheduler {self.scheduler!r}: {file} cannot be read ({error.strerror}); name"
                    " a .toml file that tells queue, cores, memory, walltime and jobs"
                ) from error
            except tomllib.TOMLDecodeError as error:
                raise FileError(f"{file} is no valid TOML: {error}") from error
        found: dict[str, Any] = {"jobs": 1, "processes": 1, "python": sys.executable} | dict(table)
        for name in ("cores", "memory"):
            if name not in found:
                raise RecipeError(f"{self._where()} does not say how much of {name!r} a job needs")
        for name in ("jobs", "processes", "cores"):
            if not isinstance(found[name], int) or found[name] < 1:
                raise RecipeError(f"{self._where()}: {name} = {found[name]!r} must be 1 or more")
        return found

    def _where(self) -> str:
        whole = isinstance(self.scheduler, Mapping)
        return "the scheduler's table" if whole else f"scheduler {self.scheduler!r}"


def _told(job: tuple[Callable[[T], R], T]) -> R | StriateError:
    """The result, or the user's mistake, which trying again would not mend."""
    function, item = job
    try:
        return function(item)
    except StriateError as error:
        return error


def _need(package: str) -> None:
    try:
        import_module(package)
    except ImportError as error:
        raise RecipeError(
            f"workers need the package {package!r}: install striate[cluster]"
        ) from error
