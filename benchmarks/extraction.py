"""How fast images become stored features, against loops that only run the network.

    STRIATE_REAL_DATA=/path python benchmarks/extraction.py [resnet50 ...] [--rounds 5] [--memory]

OMP_NUM_THREADS sets the threads of all loops (default: all cores).

Every measurement is a process of its own, and the kinds take turns, so that a busy machine is busy
for all of them. "Bare" loops find normalised images in memory and keep pooled features there: in
channels-last memory, norms folded, freed memory kept, at three batch sizes. The "hook loop" is
what toolkits with forward hooks do: a loader of batches of 32 from files, the whole network, every
activation flattened, copied and stacked. "striate" reads and decodes the files, extracts, and
writes a checked store. Importing, building the network and a first batch are left out of all times.
With one thread and busy neighbours, processor time (`--processor`) is the better clock.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NETWORKS = {
    "squeezenet1_0": ("features.9", "mean:6", 600),
    "resnet50": ("layer3", "mean:6", 208),
    "vit_b_32": ("encoder.layers.encoder_layer_11", "token", 128),
}
BARE = {f"bare, best form, batch {n}": n for n in (8, 16, 32)}
NAIVE = "bare, NCHW, batch 32"
HOOK = "hook loop, files to array, batch 32"
FULL = "striate, files to store, batch 16"


def files(count: int) -> list[str]:
    from striate.media import list_images

    return list_images(Path(os.environ["STRIATE_REAL_DATA"]) / "v4/201025")[:count]


def threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def extractor(model: str):
    from striate.extractors.torchvision import Torchvision

    node, pool, _ = NETWORKS[model]
    weights = Path(os.environ["STRIATE_REAL_DATA"]) / f"weights/{model}.safetensors"
    tag = str(weights) if weights.is_file() else "none"
    return Torchvision(model, (node,), tag, pool=pool, size=224)


def timed(loop) -> dict:
    begin, busy = time.perf_counter(), time.process_time()
    loop()
    return {"seconds": time.perf_counter() - begin, "busy": time.process_time() - busy}


def bare(model: str, batch: int, naive: bool) -> dict:
    import numpy as np
    import torch

    from striate.machine import keep_freed_memory
    from striate.nets.fusing import fuse
    from striate.nets.pooling import Pool
    from striate.nets.taps import Taps

    node, kind, count = NETWORKS[model]
    if not naive:
        keep_freed_memory()
    torch.set_num_threads(threads())
    part = extractor(model)
    module, shows, pool = part.network().build(), part.shows(), Pool.parse(kind)
    memory = torch.contiguous_format if naive else torch.channels_last
    module = module.to(memory_format=memory)
    if not naive:
        fuse(module)
    shown = stimuli(files(count)).shown()
    pixels = torch.from_numpy(np.concatenate([shows.read(s) for s in shown]))
    values = torch.cat([shows(p) for p in pixels.split(64)]).contiguous(memory_format=memory)
    taps = Taps(module, [node], lambda output, _: pool(output))
    with torch.inference_mode():
        taps(values[:batch]), taps(values[:batch])

        def loop():
            return [taps(values[i : i + batch])[node].numpy() for i in range(0, count, batch)]

        return timed(loop) | {"images": count}


def hooked(model: str) -> dict:
    """A loader, a hook on one module, all of its activations, as the usual toolkits do it."""
    import numpy as np
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    torch.set_num_threads(threads())
    node, _, count = NETWORKS[model]
    part = extractor(model)
    module = part.network().build().to(memory_format=torch.contiguous_format)
    from torchvision import transforms

    form = transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    class Images(Dataset):
        names = files(count)

        def __len__(self):
            return count

        def __getitem__(self, i):
            return form(Image.open(self.names[i]).convert("RGB"))

    activations = {}
    module.get_submodule(node).register_forward_hook(
        lambda _m, _i, output: activations.__setitem__(node, output.clone().detach())
    )

    def loop(limit: int = count) -> None:
        kept = []
        for batch in DataLoader(torch.utils.data.Subset(Images(), range(limit)), batch_size=32):
            with torch.no_grad():
                module(batch)
            kept.append(torch.flatten(activations[node], 1).cpu().numpy())
            activations.clear()
        np.vstack(kept)

    loop(32)
    return timed(loop) | {"images": count}


def stimuli(images: list[str], repeats: int = 1):
    import pandas as pd

    from striate.data import Stimuli
    from striate.media import digests

    many = images * repeats
    found = Stimuli(pd.DataFrame({"file": many}, index=[f"i{k}" for k in range(len(many))]))
    found = digests(found)
    if repeats > 1:  # copies have one digest and would be extracted once
        found = found.with_column("digest", [f"d{k}" for k in range(len(many))])
    return found


def full(model: str, repeats: int) -> dict:
    from striate.machine import Machine, keep_freed_memory, using
    from striate.store import stored_spaces

    keep_freed_memory()
    images = files(1000 if repeats != 1 else NETWORKS[model][2])
    part = extractor(model)
    with (
        tempfile.TemporaryDirectory() as folder,
        using(Machine(batch=16, threads=threads(), device="cpu", quiet=True)),
    ):
        for _ in part(stimuli(images[:16])):
            pass

        def loop():
            shown = stimuli(images, max(1, repeats))
            spaces = stored_spaces(Path(folder), "net", part, "0" * 32, shown)
            next(iter(spaces.values())).read(shown.ids[:1])

        found = timed(loop)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found | {"images": len(images) * max(1, repeats), "peak": peak}


def one(model: str, kind: str, repeats: int) -> dict:
    if kind in BARE:
        return bare(model, BARE[kind], naive=False)
    if kind == NAIVE:
        return bare(model, 32, naive=True)
    return hooked(model) if kind == HOOK else full(model, repeats)


def apart(model: str, kind: str, repeats: int = 1) -> dict:
    command = [sys.executable, __file__, model, "--one", kind, "--repeats", str(repeats)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", help=", ".join(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--processor", action="store_true")
    parser.add_argument("--one", default="")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.networks[0], options.one, options.repeats)))
        return
    clock = "busy" if options.processor else "seconds"
    kinds = [*BARE, NAIVE, HOOK, FULL]
    print(header(options.rounds, "processor" if options.processor else "wall"))
    for model in options.networks or NETWORKS:
        rounds: list[dict[str, float]] = []
        for number in range(options.rounds):
            rounds.append({})
            for kind in kinds:
                found = apart(model, kind)
                rounds[-1][kind] = 1000 * found[clock] / found["images"]
                said = f"{model} round {number + 1}: {kind}: {rounds[-1][kind]:.2f} ms"
                print(said, file=sys.stderr, flush=True)
        report(model, kinds, rounds)
    if options.memory:
        small, large = (apart("squeezenet1_0", FULL, n)["peak"] for n in (-1, 10))
        print(
            f"\nPeak memory: {small:.0f} MiB for 1,000 images, {large:.0f} MiB for 10,000:"
            f" {100 * (large / small - 1):+.1f} %"
        )


def header(rounds: int, clock: str) -> str:
    import torch

    return (
        f"\n{platform.machine()}, {os.cpu_count()} cores, {threads()} threads, Python"
        f" {platform.python_version()}, torch {torch.__version__}; {rounds} rounds, {clock} time"
    )


def report(model: str, kinds: list[str], rounds: list[dict[str, float]]) -> None:
    node, pool, count = NETWORKS[model]
    print(f"\n`{model}` at 224, {node}, {pool}, {count} images\n")
    print("| loop | ms per image, median (all) | striate is so many times as fast |")
    print("|---|---|---|")
    for kind in kinds:
        times = [r[kind] for r in rounds]
        ratio = statistics.median(r[kind] / r[FULL] for r in rounds)
        every = ", ".join(f"{t:.2f}" for t in times)
        print(f"| {kind} | {statistics.median(times):.2f} ({every}) | {ratio:.2f} |")
    best = statistics.median(min(r[k] for k in BARE) / r[FULL] for r in rounds)
    print(f"| best bare loop of each round | | {best:.2f} |")


if __name__ == "__main__":
    main()
