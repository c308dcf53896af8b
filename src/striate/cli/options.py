"""Options that several verbs share, and the machine that they amount to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Fields to set: key=value, by dotted paths.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder of runs.")]
StoreFolder = Annotated[
    Path | None, typer.Option("--store", help="Folder of features and finished tasks.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Batch = Annotated[int, typer.Option(help="Stimuli per forward pass; 0: found by trying.")]
Threads = Annotated[int, typer.Option(help="Threads of numerical libraries; 0: all.")]
Memory = Annotated[
    float, typer.Option(help="GiB that a solver may take beside its data; 0: 2 GiB.")
]
Scheduler = Annotated[
    str,
    typer.Option(help="Who works: processes:N, slurm:FILE.toml or tcp://host:port of Dask."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]


def machine_of(
    store: Path | None,
    device: str,
    batch: int,
    threads: int,
    scheduler: str,
    quiet: bool,
    memory: float = 0,
) -> Any:
    """The machine that options of a verb describe."""
    from striate.machine import Machine, keep_freed_memory

    keep_freed_memory()
    given: dict[str, Any] = {"device": device, "batch": batch, "scheduler": scheduler}
    given |= {"quiet": quiet}
    given |= {"store": store} if store else {}
    given |= {"threads": threads} if threads else {}
    given |= {"memory": int(memory * (1 << 30))} if memory else {}
    return Machine(**given)
