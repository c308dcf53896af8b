"""How fast 1,200 images become stored features, against loops that only run the network.

    STRIATE_REAL_DATA=/path python benchmarks/extraction.py [--rounds 3] [--skip-memory]

OMP_NUM_THREADS sets the threads of all loops (default: all cores), BENCHMARK_IMAGES the number of
images (default: 1200).

Every measurement is a process of its own, and the kinds take turns, so that a busy machine is busy
for all of them. "Bare" loops find normalised images in memory and keep pooled features there;
"striate" reads and decodes the files, extracts, and writes a checked store. Importing, building the
network and a first batch are left out of all times. With one thread and busy neighbours, processor
time (`--processor`) is the better clock.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = {
    "bare, NCHW, batch 32": (32, False, False),
    "bare, channels last, batch 8, memory kept": (8, True, True),
    "bare, channels last, batch 16, memory kept": (16, True, True),
    "bare, channels last, batch 32, memory kept": (32, True, True),
}
FULL = "striate: files to store, batch 16, memory kept"
PLAIN = "striate: files to store, batch 16, without keeping memory"


def files() -> tuple[list[str], str]:
    """The images and the weights."""
    from striate.media import list_images

    root = Path(os.environ["STRIATE_REAL_DATA"])
    images = list_images(root / "v4/201025")[: int(os.environ.get("BENCHMARK_IMAGES", "1200"))]
    return images, str(root / "weights/squeezenet1_0.safetensors")


def threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def extractor(weights: str):
    from striate.extractors.torchvision import Torchvision

    return Torchvision("squeezenet1_0", ("features.9",), weights, pool="mean:6", size=224)


def bare(batch: int, channels_last: bool, keep: bool) -> dict:
    import numpy as np
    import torch

    from striate.machine import keep_freed_memory
    from striate.media import open_image

    if keep:
        keep_freed_memory()
    torch.set_num_threads(threads())
    images, weights = files()
    network = extractor(weights).network()
    module = network.build().features[:10].to(memory_format=torch.contiguous_format)
    form = network.preprocessing()
    pixels = np.stack([form.pixels(open_image(f)) for f in images])
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
    values.sub_(torch.tensor(form.mean).view(1, 3, 1, 1)).div_(
        torch.tensor(form.std).view(1, 3, 1, 1)
    )
    memory = torch.channels_last if channels_last else torch.contiguous_format
    module, values = module.to(memory_format=memory), values.contiguous(memory_format=memory)

    def forward(start: int):
        output = module(values[start : start + batch])
        return torch.nn.functional.adaptive_avg_pool2d(output, 6).numpy().copy()

    with torch.inference_mode():
        forward(0)
        begin, busy = time.perf_counter(), time.process_time()
        kept = [forward(start) for start in range(0, len(values), batch)]
        seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    return {"seconds": seconds, "busy": busy, "images": sum(map(len, kept))}


def full(repeats: int, keep: bool) -> dict:
    import pandas as pd

    from striate.data import Stimuli
    from striate.machine import Machine, keep_freed_memory, using
    from striate.media import digests
    from striate.store import stored_spaces

    if keep:
        keep_freed_memory()
    images, weights = files()
    many = images * repeats
    part = extractor(weights)
    with (
        tempfile.TemporaryDirectory() as folder,
        using(Machine(batch=16, threads=threads(), device="cpu", quiet=True)),
    ):
        for _ in part(Stimuli.from_files(images[:16])):
            pass
        begin, busy = time.perf_counter(), time.process_time()
        stimuli = Stimuli(pd.DataFrame({"file": many}, index=[f"i{k}" for k in range(len(many))]))
        stimuli = digests(stimuli)
        if repeats > 1:  # copies have one digest and would be extracted once
            stimuli = stimuli.with_column("digest", [f"d{k}" for k in range(len(many))])
        space = stored_spaces(Path(folder), "net", part, "0" * 32, stimuli)["net.features.9"]
        space.read(stimuli.ids[:1])
        seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "busy": busy, "images": len(many), "peak": peak}


def apart(kind: str, repeats: int = 1) -> dict:
    command = [sys.executable, __file__, "--one", kind, "--repeats", str(repeats)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--processor", action="store_true")
    parser.add_argument("--one", default="")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    if options.one:
        if options.one in BARE:
            print(json.dumps(bare(*BARE[options.one])))
        else:
            print(json.dumps(full(options.repeats, options.one == FULL)))
        return
    kinds = [*BARE, PLAIN, FULL]
    clock = "busy" if options.processor else "seconds"
    rounds = []
    for number in range(options.rounds):
        rounds.append({})
        for kind in kinds:
            found = apart(kind)
            rounds[-1][kind] = 1000 * found[clock] / found["images"]
            print(f"round {number + 1}: {kind}: {rounds[-1][kind]:.2f} ms", file=sys.stderr)
    report(kinds, rounds, "processor" if options.processor else "wall")
    if not options.skip_memory:
        small, large = apart(FULL)["peak"], apart(FULL, 10)["peak"]
        print(
            f"\nPeak memory: {small:.0f} MiB for 1,200 images, {large:.0f} MiB for 12,000:"
            f" {100 * (large / small - 1):+.1f} %"
        )


def report(kinds: list[str], rounds: list[dict[str, float]], clock: str) -> None:
    import statistics

    import torch

    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, {threads()} threads, Python"
        f" {platform.python_version()}, torch {torch.__version__}; squeezenet1_0 at 224,"
        f" features.9, mean 6 × 6; {len(rounds)} rounds, {clock} time\n"
    )
    print("| loop | ms per image, median (all) | images per second | of the best bare loop |")
    print("|---|---|---|---|")
    best = [min(r[k] for k in BARE) for r in rounds]
    for kind in kinds:
        times = [r[kind] for r in rounds]
        share = statistics.median(b / t for b, t in zip(best, times, strict=True))
        middle = statistics.median(times)
        every = ", ".join(f"{t:.2f}" for t in times)
        print(f"| {kind} | {middle:.2f} ({every}) | {1000 / middle:.0f} | {share:.2f} |")
    plain = statistics.median(r[next(iter(BARE))] / r[FULL] for r in rounds)
    print(f"\nstriate is {plain:.2f} times as fast as the plain NCHW loop of batch 32.")


if __name__ == "__main__":
    main()
