"""Contenders take turns, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

Times = list[tuple[float, float]]
"""Of every round: seconds, and processor seconds."""


def rounds(
    contenders: Mapping[str, Callable[[], Any]],
    repeats: int,
    answers: dict[str, Any] | None = None,
) -> dict[str, Times]:
    """Run every contender `repeats` times, in turns; `answers` keeps the last answer of each."""
    times: dict[str, Times] = {name: [] for name in contenders}
    for turn in range(repeats):
        for name, run in contenders.items():
            start, busy = time.perf_counter(), time.process_time()
            answer = run()
            times[name].append((time.perf_counter() - start, time.process_time() - busy))
            if answers is not None:
                answers[name] = answer
            print(f"{turn + 1}/{repeats} {name}: {times[name][-1][0]:.3g} s", file=sys.stderr)
    return times


def median(times: Times) -> float:
    """Return the median of the seconds."""
    return statistics.median(seconds for seconds, _ in times)


def busy(times: Times) -> float:
    """Return the least processor time: on one thread it hardly depends on the load."""
    return min(seconds for _, seconds in times)


def best(times: Mapping[str, Times], names: Sequence[str]) -> str:
    """Return which of `names` has the least median."""
    return min(names, key=lambda name: median(times[name]))


def table(head: Sequence[Any], lines: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table; numbers get three digits.

    >>> print(table(["what", "s"], [["sum", 0.12345]]))
    | what | s |
    |---|---|
    | sum | 0.123 |
    """
    rows = [head, ["---"] * len(head), *lines]
    cells = [[f"{c:.3g}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    text = ["| " + " | ".join(row) + " |" for row in cells]
    text[1] = "|" + "---|" * len(head)
    return "\n".join(text)


def processor() -> str:
    """Return the name of the processor and the number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def machine_line(*packages: str) -> str:
    """Return what the numbers depend on: processor, load, Python and versions of packages."""
    load = f"; load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    named = ", ".join(f"{name} {version(name)}" for name in ("striate", "numpy", *packages))
    return f"{processor()}{load}; Python {platform.python_version()}, {named}"


def product_rate(size: int = 2048, threads: int | None = None, dtype: str = "float32") -> float:
    """Return operations per second of a matrix product, the best of ten, on `threads`."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    a = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
    out, least = np.empty_like(a), float("inf")
    with threadpool_limits(threads):
        for _ in range(10):
            start = time.perf_counter()
            np.matmul(a, a, out=out)
            least = min(least, time.perf_counter() - start)
    return 2.0 * size**3 / least
