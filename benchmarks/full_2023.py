"""Seconds and memory of the 2023 challenge at its full size: to be opened, and to be fitted.

    python benchmarks/full_2023.py [--folder PLACE] [--threads 2] [--keep]

A made-up tree of all eight subjects is written; responses take no place on disk but those of
subject 1, which are linear in 1,000 random features. Each subject is opened by a process of its
own, and all of them by one: seconds and memory are beside what the imports take. Then a recipe fits
one ridge per hemisphere of subject 1, holding out the last tenth, and predicts the hidden test; its
memory is the largest that the whole process ever had, memory-mapped pages included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

RECIPE = """
dataset = {{ use = "algonauts2023", path = "{data}", subjects = ["subj01"] }}
near_duplicates = "ignore"
scores = ["pearson"]
[features]
early = {{ use = "array", path = "{data}/features_early.npy", ids = "{data}/ids.csv" }}
late = {{ use = "array", path = "{data}/features_late.npy", ids = "{data}/ids.csv" }}
[[member]]
name = "ridge"
features = ["early", "late"]
per = ["subject", "hemisphere"]
steps = ["zscore"]
encoder = {{ use = "ridge", alphas = [1e1, 1e2, 1e3, 1e4, 1e5] }}
"""
MIB = 1 << 20


def resident() -> float:
    """MiB of this process that lie in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


class Watch(threading.Thread):
    """The most MiB of a process's own, without files that are mapped, looked at now and then."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0
        self.start()

    def run(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            own = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.most = max(self.most, own / 1024)
            time.sleep(0.1)


def peak() -> float:
    """MiB of this process at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(data: Path) -> None:
    from striate.datasets.algonauts2023 import twin

    twin.write(data, "full", values=("subj01",), columns=(500, 500))


def open_them(data: Path, subjects: list[str]) -> None:
    import numpy as np

    from striate.data import label_responses
    from striate.datasets.algonauts2023 import Algonauts2023

    # The first labelled array of a process imports much, whatever it holds.
    label_responses(np.zeros((3, 1)), ["a", "b", "c"])
    before, began, busy = resident(), time.perf_counter(), time.process_time()
    blocks = Algonauts2023(data).responses()
    shapes = [blocks[s].shape for s in subjects]
    seconds = time.perf_counter() - began
    found = {"s": seconds, "cpu": time.process_time() - busy, "mib": resident() - before}
    print(json.dumps(found | {"shape": shapes[0]}))


def fit(data: Path, threads: int) -> None:
    from striate.machine import Machine
    from striate.recipe import load_recipe
    from striate.run import run_recipe

    file = data / "recipe.toml"
    file.write_text(RECIPE.format(data=data))
    before, watch, began = peak(), Watch(), time.perf_counter()
    machine = Machine(threads=threads, device="cpu", quiet=True, store=data / "store")
    report = run_recipe(load_recipe(str(file)), data / "runs", machine)
    found = {"s": time.perf_counter() - began, "cpu": time.process_time()}
    found |= {"mib": peak(), "own": watch.most, "imports": before}
    official = report.summary["scores"]["official"]["value"]
    median = report.summary["scores"]["pearson"]["normalised"]["median"]
    print(json.dumps(found | {"official": official, "share": median}))


def child(*arguments: str, threads: int = 1) -> dict:
    env = os.environ | {n: str(threads) for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, *arguments], env=env, check=True, capture_output=True, text=True
    )
    lines = done.stdout.strip().splitlines()
    return (json.loads(lines[-1]) if lines else {}) | {"whole": time.perf_counter() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the tree is written, or was before")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", action="store_true", help="leave the tree where it is")
    parser.add_argument("--part", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        kind, *rest = options.part
        if kind == "write":
            write(options.folder)
        elif kind == "open":
            open_them(options.folder, rest)
        else:
            fit(options.folder, int(rest[0]))
        return
    place = options.folder or Path(tempfile.mkdtemp(prefix="full2023"))
    data, here = place / "tree", ["--folder", str(place / "tree"), "--part"]
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python"
        f" {platform.python_version()}, {options.threads} threads\n"
    )
    try:
        if not (data / "truth.csv").is_file():
            shutil.rmtree(data, ignore_errors=True)
            print(f"written in {child(*here, 'write', threads=options.threads)['whole']:.0f} s\n")
        print("| opened | rows × vertices | seconds | processor seconds | MiB |")
        print("|---|---|---|---|---|")
        subjects = [f"subj{k:02d}" for k in range(1, 9)]
        for named in (*[[s] for s in subjects], subjects):
            found = child(*here, "open", *named)
            name = named[0] if len(named) == 1 else "all eight"
            size = " × ".join(f"{n:,}" for n in found["shape"]) if len(named) == 1 else ""
            spent = f"{found['s']:.2f} | {found['cpu']:.2f}"
            print(f"| {name} | {size} | {spent} | {found['mib']:.0f} |", flush=True)
        found = child(*here, "fit", str(options.threads), threads=options.threads)
        print(
            f"\nOne ridge per hemisphere of subj01 on 1,000 features: {found['s']:.0f} s"
            f" ({found['cpu']:.0f} s of the processor), at most {found['mib']:.0f} MiB"
            f" with mapped files, {found['own']:.0f} without ({found['imports']:.0f} of them"
            " imports);"
            f" official score {found['official']:.2f} %,"
            f" median share of the ceiling {found['share']:.3f}"
        )
    finally:
        if not options.keep and not options.folder:
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
