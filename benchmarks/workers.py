"""How fast two local workers fill one store, against two processes that know nothing of each other.

    STRIATE_REAL_DATA=/path python benchmarks/workers.py [--rounds 5] [--images 1200]

Each of the two bare processes extracts one half of the images into a store of its own, with one
thread. The workers are those of ``--scheduler processes:2``, which a scheduler hands shards of one
table. Both write checked stores. Times are whole, from nothing to the last row, with starting the
processes and importing; and from the moment that all processes are ready. The two take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """
dataset = {{ use = "folder", path = "{data}" }}
split = {{ use = "kfold", folds = 2 }}
[features.net]
use = "torchvision"
model = "squeezenet1_0"
weights = "none"
size = 224
nodes = ["features.9"]
pool = "mean:6"
[[member]]
name = "ridge"
features = ["net.*"]
encoder = {{ use = "ridge", alphas = [1.0] }}
"""


def table_of(data: Path, store: Path, machine):
    from striate.machine import using
    from striate.recipe import load_recipe
    from striate.run.plan import Plan

    file = data / "recipe.toml"
    file.write_text(RECIPE.format(data=data))
    with using(machine):
        return Plan(load_recipe(str(file)))


def half(data: Path, store: Path, which: int) -> None:
    """One bare process: every second piece of the table."""
    began = time.time()
    from striate.machine import Machine, keep_freed_memory, using
    from striate.store import StoredSpace, fill

    keep_freed_memory()
    machine = Machine(batch=16, threads=1, device="cpu", quiet=True, store=store)
    plan = table_of(data, store, machine)
    with using(machine):
        space = next(s for s in plan.spaces.values() if isinstance(s, StoredSpace))
        pieces = space.table.pieces()[which::2]
        ready = time.time()
        fill({space.table: pieces})
    print(json.dumps({"began": began, "ready": ready, "ended": time.time()}))


def bare(data: Path, folder: Path) -> dict[str, float]:
    began = time.time()
    running = [
        subprocess.Popen(
            [
                sys.executable,
                __file__,
                "--half",
                str(k),
                "--data",
                str(data),
                "--store",
                str(folder / str(k)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for k in range(2)
    ]
    told = [json.loads(p.communicate()[0].splitlines()[-1]) for p in running]
    ended = max(t["ended"] for t in told)
    return {"whole": ended - began, "ready": ended - max(t["ready"] for t in told)}


def workers(data: Path, folder: Path) -> dict[str, float]:
    run = [sys.executable, __file__, "--workers", "--data", str(data), "--store", str(folder / "w")]
    began = time.time()
    told = json.loads(
        subprocess.run(run, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )
    return {"whole": told["ended"] - began, "ready": told["ended"] - told["ready"]}


def together(data: Path, store: Path) -> None:
    from striate.machine import Machine, using
    from striate.run.filling import fill_for

    machine = Machine(
        batch=16, threads=2, device="cpu", quiet=True, store=store, scheduler="processes:2"
    )
    plan = table_of(data, store, machine)
    with using(machine):
        # A few other images first, until both workers have imported and built everything.
        small = table_of(data / "warm", store, machine)
        fill_for(small, small.wanted(), {})
        ready = time.time()
        fill_for(plan, plan.wanted(), {})
        print(json.dumps({"ready": ready, "ended": time.time()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--half", type=int, default=-1)
    parser.add_argument("--workers", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.half >= 0:
        half(options.data, options.store, options.half)
        return
    if options.workers:
        together(options.data, options.store)
        return
    import numpy as np
    import torch

    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        for folder in (data, data / "warm"):
            (folder / "images").mkdir(parents=True)
        root = Path(os.environ["STRIATE_REAL_DATA"]) / "v4/201025"
        found = sorted(root.rglob("*.jpg"))
        files, few = found[: options.images], found[-150:]
        for k, file in enumerate(few):
            (data / "warm" / "images" / f"im{k}.jpg").symlink_to(file)
        responses = np.random.default_rng(1).standard_normal((len(few), 3))
        np.save(data / "warm" / "responses.npy", responses)
        for k, file in enumerate(files):
            (data / "images" / f"im{k}.jpg").symlink_to(file)
        np.save(data / "responses.npy", np.random.default_rng(0).standard_normal((len(files), 3)))
        rounds = []
        for number in range(options.rounds):
            folder = Path(place) / f"round{number}"
            folder.mkdir()
            rounds.append((bare(data, folder), workers(data, folder)))
            print(f"round {number + 1}: {rounds[-1]}", file=sys.stderr, flush=True)
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch"
        f" {torch.__version__}; {len(files)} images, {options.rounds} rounds\n"
    )
    print("| | two bare processes, s | two workers, s | rate of the workers |")
    print("|---|---|---|---|")
    for kind, name in (("whole", "from nothing"), ("ready", "once all are ready")):
        times = [[r[k][kind] for r in rounds] for k in range(2)]
        ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
        middle = [statistics.median(t) for t in times]
        print(f"| {name} | {middle[0]:.1f} | {middle[1]:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
