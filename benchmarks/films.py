"""How fast frames of short films are read, against PyAV by itself.

    python benchmarks/films.py [--rounds 5] [--clips 60]

Films of 3 s, 30 frames per second and 268 × 268 pixels (H.264) are made up first. The bare loops
open each film with PyAV, decode up to the last of 16 evenly spaced frames and convert those 16:
one film per thread at a time, or one film after the other with FFmpeg's own threads. "striate"
reads the same frames through `read_frames`, and once more with resizing to 224 × 224 and batching,
as a network is shown them. The loops take turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np

SIZE, RATE, SECONDS, WANTED = 268, 30, 3, 16


def film(path: Path, seed: int) -> None:
    """A drifting smooth texture: neither noise nor a still, as natural film compresses."""
    from scipy.ndimage import gaussian_filter

    texture = np.random.default_rng(seed).standard_normal((SIZE + 100, SIZE + 100, 3))
    texture = gaussian_filter(texture, (4, 4, 0))
    texture = (255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for k in range(RATE * SECONDS):
            part = np.ascontiguousarray(texture[k : k + SIZE, k // 2 : k // 2 + SIZE])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part)))
        container.mux(stream.encode())


def bare(path: Path, threading: str) -> list:
    """16 frames, and nothing decoded behind the last of them."""
    wanted = np.linspace(0, RATE * SECONDS - 1, WANTED).astype(int)
    found = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = threading
        if threading == "NONE":
            stream.codec_context.thread_count = 1
        for k, frame in enumerate(container.decode(stream)):
            if k in wanted:
                found[k] = frame.to_image()
            if k == wanted[-1]:
                break
    return [found[k] for k in wanted]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=60)
    options = parser.parse_args()
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)

    import torch

    from striate.data import Shown
    from striate.media import Frames, read_frames
    from striate.nets.inputs.pictures import Pictures
    from striate.nets.passes import in_turns
    from striate.nets.preprocessing import Preprocessing

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(threads) as pool:
        paths = [Path(folder) / f"{k}.mp4" for k in range(options.clips)]
        for k, path in enumerate(paths):
            film(path, k)
        rule, shows = Frames(WANTED), Pictures(Preprocessing((224, 224)), Frames(WANTED))
        turn = [0]

        def fresh() -> list[Shown]:
            """The films under names of this turn: nothing may be remembered of the last one."""
            turn[0] += 1
            links = [p.with_name(f"{turn[0]}-{p.name}") for p in paths]
            for link, path in zip(links, paths, strict=True):
                os.link(path, link)
                os.utime(link, (turn[0], turn[0]))
            return [Shown(str(k), str(link)) for k, link in enumerate(links)]

        def batched(shown: list[Shown]) -> None:
            for arrays in in_turns([[s] for s in shown], shows.read, threads, torch.device("cpu")):
                np.concatenate(arrays)

        loops = {
            "PyAV, a film per thread": lambda s: list(pool.map(lambda x: bare(x.file, "NONE"), s)),
            "PyAV, FFmpeg's threads": lambda s: [bare(x.file, "AUTO") for x in s],
            "striate, read_frames": lambda s: list(pool.map(lambda x: read_frames(x, rule), s)),
            "striate, resized batches": batched,
        }
        same = [
            np.array_equal(a, b)
            for a, b in zip(
                bare(paths[0], "NONE"), read_frames(Shown("", str(paths[0])), rule), strict=True
            )
        ]
        assert all(same), "striate and PyAV must read the same frames"
        rounds = []
        for _ in range(options.rounds):
            rounds.append({})
            for name, loop in loops.items():
                shown = fresh()
                start = time.perf_counter()
                loop(shown)
                rounds[-1][name] = 1000 * (time.perf_counter() - start) / len(shown)
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, {threads} threads, Python"
        f" {platform.python_version()}, PyAV {av.__version__}; {options.clips} films,"
        f" {options.rounds} rounds\n"
    )
    print("| loop | ms per film, median (all) | share of the best PyAV rate |")
    print("|---|---|---|")
    for name in loops:
        times = [r[name] for r in rounds]
        share = statistics.median(
            min(v for k, v in r.items() if "PyAV" in k) / r[name] for r in rounds
        )
        every = ", ".join(f"{t:.1f}" for t in times)
        print(f"| {name} | {statistics.median(times):.1f} ({every}) | {share:.2f} |")


if __name__ == "__main__":
    main()
