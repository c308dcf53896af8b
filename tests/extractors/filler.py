"""Fills a store with features of images, films and sounds, in step: `filler.py DATA STORE`."""

import sys
from pathlib import Path

from striate.data import Stimuli
from striate.extractors.edges import Edges
from striate.extractors.flow import Flow
from striate.extractors.sound import Sound
from striate.extractors.torchvision import Torchvision
from striate.machine import Machine, using
from striate.media import digests
from striate.registry import identity, key_of
from striate.store import fill, open_store, stored_spaces

SEEN = {
    "net": Torchvision(
        "squeezenet1_1", ("features.3", "features.12"), "none", pool="mean:2", size=64
    ),
    "edges": Edges(size=32, pool="mean:4", frames=3),
    "flow": Flow(size=32, frames=4),
}
HEARD = {"sound": Sound("mfcc", seconds=0.3)}


def stimuli_of(folder: Path, suffixes: tuple[str, ...]) -> Stimuli:
    files = sorted(f for f in folder.iterdir() if f.suffix in suffixes)
    return digests(Stimuli.from_files(files))


def main(data: Path, store: Path) -> None:
    seen, heard = stimuli_of(data, (".png", ".mp4")), stimuli_of(data, (".mp4", ".wav"))
    with using(Machine(batch=4, threads=1, device="cpu", quiet=True)):
        tables = {}
        folder = open_store(store)
        for extractors, stimuli in ((SEEN, seen), (HEARD, heard)):
            for name, extractor in extractors.items():
                spaces = stored_spaces(
                    folder, name, extractor, key_of(identity(extractor)), stimuli
                )
                table = next(iter(spaces.values())).table
                tables[table] = table.missing(table.nodes)
        fill({t: pieces for t, pieces in tables.items() if pieces}, together=4)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
